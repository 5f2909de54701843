"""The order in which a fleet is changed, and where it stops."""

from __future__ import annotations

import json as reader

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.engine.rollout import FAILURES, HostStatus, Result, RolloutPolicy, batches, roll_out, size
from mailprov.errors import HostError, MailprovError
from mailprov.report import json, markdown, text


@pytest.mark.parametrize(
    ("batch", "total", "expected"),
    [("5", 20, 5), ("20%", 20, 4), ("20%", 3, 1), ("1%", 1000, 10), ("100%", 7, 7), ("1000", 20, 1000)],
)
def test_the_size_of_a_batch(batch: str, total: int, expected: int) -> None:
    assert size(batch, total) == expected


@pytest.mark.parametrize("batch", ["", "0", "0%", "101%", "-1", "5.5", "five", "5 %", "٥"])
def test_what_is_no_size(batch: str) -> None:
    with pytest.raises(MailprovError, match="is no size of a batch"):
        size(batch, 20)


HOSTS = st.lists(st.integers(0, 99), unique=True).map(lambda found: [f"mail{number}" for number in found])
PACES = st.builds(
    RolloutPolicy, st.integers(0, 5), st.sampled_from(["1", "3", "20%", "50%", "100%"]), st.integers(0, 4)
)


@given(HOSTS, PACES)
def test_every_host_has_its_turn_once(hosts: list[str], policy: RolloutPolicy) -> None:
    parts = batches(hosts, policy)
    assert [host for part in parts for host in part] == hosts
    assert all(parts)
    if hosts and policy.canary:
        assert len(parts[0]) == min(policy.canary, len(hosts))


@given(HOSTS, PACES, st.sets(st.integers(0, 99)), st.integers(0, 3))
def test_nothing_is_begun_after_too_many_failures(
    hosts: list[str], policy: RolloutPolicy, bad: set[int], gone: int
) -> None:
    begun: list[tuple[str, ...]] = []

    def change(batch: tuple[str, ...]) -> list[Result]:
        begun.append(batch)
        return [Result(host, HostStatus.FAILED if int(host[4:]) in bad else HostStatus.APPLIED) for host in batch]

    before = {f"gone{number}": Result(f"gone{number}", HostStatus.FAILED) for number in range(gone)}
    results = roll_out(hosts, policy, before, change)
    assert results.keys() == {*hosts, *before}
    assert all(results[name] is result for name, result in before.items())
    failed = gone
    for batch in batches(hosts, policy):
        waiting = [results[host].status is HostStatus.WAITING for host in batch]
        assert waiting == [failed > policy.max_failures] * len(batch)
        failed += sum(results[host].status in FAILURES for host in batch)
    assert [host for batch in begun for host in batch] == [
        host for host in hosts if results[host].status is not HostStatus.WAITING
    ]


ROUTE = MailprovError("no route")


@pytest.mark.parametrize(
    ("policy", "before", "ends", "why"),
    [
        (RolloutPolicy(), {}, {"m1": HostStatus.FAILED}, "canary m1 failed (no route)"),
        (RolloutPolicy(), {}, {"m1": HostStatus.REVERTED}, "canary m1 was put back (no route)"),
        (RolloutPolicy(), {}, {"m1": HostStatus.UNKNOWN}, "canary m1 has not said how it ended (no route)"),
        (RolloutPolicy(), {"m0": HostStatus.FAILED}, {}, "canary m0 failed (no route)"),
        (RolloutPolicy(), {"m9": HostStatus.FAILED}, {}, "m9 failed (no route)"),
        (RolloutPolicy(0, "1"), {}, {"m2": HostStatus.FAILED}, "m2 failed (no route)"),
        (
            RolloutPolicy(2, "1", 1),
            {},
            {"m1": HostStatus.FAILED, "m2": HostStatus.FAILED},
            "canary m1 failed (no route), and 1 more",
        ),
        (RolloutPolicy(1, "1", 0), {}, {"m1": HostStatus.WAITING}, "no route"),
    ],
)
def test_who_waits_says_why(
    policy: RolloutPolicy, before: dict[str, HostStatus], ends: dict[str, HostStatus], why: str
) -> None:
    def change(batch: tuple[str, ...]) -> list[Result]:
        return [
            Result(host, ends.get(host, HostStatus.APPLIED), error=ROUTE if host in ends else None) for host in batch
        ]

    decided = {host: Result(host, status, error=ROUTE) for host, status in before.items()}
    results = roll_out(["m1", "m2", "m3", "m4"], policy, decided, change)
    waiting = [
        result for result in results.values() if result.status is HostStatus.WAITING and result.error is not ROUTE
    ]
    assert waiting
    reasons = {result.error.what for result in waiting if result.error}
    assert len(reasons) == 1
    said = reasons.pop()
    assert said.startswith(f"not begun: {why}")
    names = {result.host for result in waiting}
    assert [line.text for line in text.rollout(waiting)][1].endswith(f": {said}")
    assert {
        each["host"] for each in reader.loads(json.rollout(waiting))["hosts"] if each["error"]["what"] == said
    } == names
    assert markdown.rollout(waiting).count("not begun") == len(names)


def test_the_report_names_each_failure_and_counts_the_rest() -> None:
    results = [Result(f"mail{number}", HostStatus.APPLIED, 3, 1.5) for number in range(1000)]
    results[7] = Result("mail7", HostStatus.UNKNOWN, 3, 60.0, HostError("the host gave no verdict", fix="run it again"))
    results[8] = Result("mail8", HostStatus.WAITING, 3)
    lines = [line.text for line in text.rollout(results)]
    assert len(lines) == 5
    assert any("applied" in line and "998" in line and "and 986 more" in line for line in lines)
    assert any(line.strip() == "mail7: the host gave no verdict" for line in lines)
    assert '"verdict": "unknown"' in json.rollout(results)
