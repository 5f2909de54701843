"""The order in which a fleet is changed, and where it stops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.errors import HostError, MailprovError
from mailprov.report import json, text
from mailprov.rollout import FAILURES, Pace, Result, Verdict, batches, roll_out, size


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
PACES = st.builds(Pace, st.integers(0, 5), st.sampled_from(["1", "3", "20%", "50%", "100%"]), st.integers(0, 4))


@given(HOSTS, PACES)
def test_every_host_has_its_turn_once(hosts: list[str], pace: Pace) -> None:
    parts = batches(hosts, pace)
    assert [host for part in parts for host in part] == hosts
    assert all(parts)
    if hosts and pace.canary:
        assert len(parts[0]) == min(pace.canary, len(hosts))


@given(HOSTS, PACES, st.sets(st.integers(0, 99)), st.integers(0, 3))
def test_nothing_is_begun_after_too_many_failures(hosts: list[str], pace: Pace, bad: set[int], gone: int) -> None:
    begun: list[tuple[str, ...]] = []

    def change(batch: tuple[str, ...]) -> list[Result]:
        begun.append(batch)
        return [Result(host, Verdict.FAILED if int(host[4:]) in bad else Verdict.APPLIED) for host in batch]

    before = {f"gone{number}": Result(f"gone{number}", Verdict.FAILED) for number in range(gone)}
    results = roll_out(hosts, pace, before, change)
    assert results.keys() == {*hosts, *before}
    assert all(results[name] is result for name, result in before.items())
    failed = gone
    for batch in batches(hosts, pace):
        waiting = [results[host].verdict is Verdict.WAITING for host in batch]
        assert waiting == [failed > pace.max_failures] * len(batch)
        failed += sum(results[host].verdict in FAILURES for host in batch)
    assert [host for batch in begun for host in batch] == [
        host for host in hosts if results[host].verdict is not Verdict.WAITING
    ]


def test_the_report_names_each_failure_and_counts_the_rest() -> None:
    results = [Result(f"mail{number}", Verdict.APPLIED, 3, 1.5) for number in range(1000)]
    results[7] = Result("mail7", Verdict.UNKNOWN, 3, 60.0, HostError("the host gave no verdict", cure="run it again"))
    results[8] = Result("mail8", Verdict.WAITING, 3)
    lines = [line.text for line in text.rollout(results)]
    assert len(lines) == 5
    assert any("applied" in line and "998" in line and "and 986 more" in line for line in lines)
    assert any(line.strip() == "mail7: the host gave no verdict" for line in lines)
    assert '"verdict": "unknown"' in json.rollout(results)
