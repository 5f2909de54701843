"""How much is judged: what is alike is looked at once, and what is too much is one error. Counted, and not timed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from expectation_tools import office
from hypothesis import given
from hypothesis import strategies as st

from mailprov.engine.saved_plan import Claim
from mailprov.errors import MailprovError
from mailprov.expectations import work
from mailprov.expectations.declared import Declared
from mailprov.expectations.model import AnExpectation, PlanLimit, Witness
from mailprov.expectations.planned import Planned
from mailprov.expectations.reading import read
from mailprov.expectations.work import MOST_HINTS, MOST_WORK, Work
from mailprov.model import Spec
from mailprov.workflows.expectations import rendering

MANY = 1000


def expected(section: str, *items: str, spec: Spec | None = None) -> tuple[AnExpectation, ...]:
    text = f"expectations: 1\n{section}:\n" + "".join(f"  - {{{item}}}\n" for item in items)
    return read(text, "case.yaml", spec or office())


@pytest.fixture(scope="module")
def crowd() -> Spec:
    """The office with a thousand accounts more, each from another network."""
    (some, *_) = office().users
    users = [
        replace(
            some, address=f"u{n}@example.com", aliases=(), allow_from=(ip_network(f"10.{n // 256}.{n % 256}.0/24"),)
        )
        for n in range(MANY)
    ]
    return replace(office(), users=(*office().users, *users))


def done(spec: Spec, expectations: tuple[AnExpectation, ...]) -> int:
    """How much work it is to judge these."""
    witness = Declared(spec, [*spec.hosts], rendering(spec))
    for it in expectations:
        assert witness.findings(it)
    return witness._work.done


@pytest.mark.parametrize(
    ("section", "item"),
    [
        ("logins", "user: u%d@example.com, by: imap"),
        ("logins", "user: nobody%d@example.com, by: imap"),
        ("deliveries", "to: u%d@example.com, reaches: u%d@example.com"),
        ("deliveries", "to: nobody%d@example.com, refused: true"),
        ("ports", "port: 993, answers: tls, reason: '%d'"),
        ("limits", "of: quota, at_most: %dMiB"),
        ("limits", "of: quota, at_most: %dMiB, user: '*@example.com', host: mail1"),
        ("limits", "of: accounts, at_most: %d"),
        ("limits", "of: accounts, at_most: 1, user: u%d@example.com"),
        ("limits", "of: starttls_listeners, at_most: %d"),
    ],
)
def test_a_thousand_expectations_of_a_thousand_accounts(crowd: Spec, section: str, item: str) -> None:
    items = [item.replace("%d", str(number + 1)) for number in range(MANY - 1)]
    assert done(crowd, expected(section, *items)) < 8 * MANY, "and not a thousand times a thousand"


@pytest.mark.parametrize(
    ("section", "item"),
    [
        ("logins", "user: '*', by: imap, from: 10.0.0.0/8, allowed: false"),
        ("ports", f"port: [{', '.join(map(str, range(1, MANY)))}], answers: closed"),
    ],
)
def test_what_is_too_much_is_one_error(crowd: Spec, section: str, item: str) -> None:
    with pytest.raises(MailprovError, match="too much to judge") as raised:
        done(crowd, expected(section, *[item] * 40) * 20)
    assert "--limit" in str(raised.value.fix)


def test_names_that_nobody_has_are_looked_for_a_few_times(crowd: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(work, "meant", lambda text, _: asked.append(text) or "")
    for section, item in (
        ("logins", "user: v%d@example.com"),
        ("limits", "of: quota, at_most: 1GiB, user: v%d@example.com"),
        ("limits", "of: accounts, at_most: 1, user: v@example%d.com"),
    ):
        asked.clear()
        done(crowd, expected(section, *(item.replace("%d", str(number)) for number in range(200))))
        assert len(asked) == MOST_HINTS


def test_the_readers_hints_are_a_few_too(crowd: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(work, "meant", lambda text, _: asked.append(text) or "")
    items = [f"port: 993, answers: tls, host: absent{number}" for number in range(200)]
    with pytest.raises(MailprovError, match="no host or group is called `absent199`"):
        expected("ports", *items, spec=crowd)
    assert len(asked) == MOST_HINTS


# --- plans


def claim(host: str, *changes: dict[str, Any], opens: tuple[str, ...] = (), flags: tuple[str, ...] = ()) -> Claim:
    risks = tuple({"flag": flag, "text": f"takes {flag}"} for flag in flags)
    return Claim(host, "i", "m", "d", {"dovecot": "RESTART"} if changes else {}, risks, changes, {}, {}, opens)


def change(kind: str, name: str, action: str = "UPDATE", reason: str = "PENDING", **rows: int) -> dict[str, Any]:
    whole = {"key": [kind, name], "action": action, "reason": reason, "summary": "", "detail": "", "effects": {}}
    return {**whole, "rows": rows}


CHANGES = st.builds(
    lambda kind, name, action, reason, rows: change(kind, name, action, reason, **rows),
    st.sampled_from(["file", "accounts", "map"]),
    st.sampled_from(["/etc/a", "/etc/b", "a*", "[", "x" * 300]),
    st.sampled_from(["CREATE", "UPDATE", "REMOVE"]),
    st.sampled_from(["PENDING", "DRIFT", "BOTH"]),
    st.dictionaries(st.sampled_from(["added", "removed", "unclear", "changed", "renamed"]), st.integers(-1, 4)),
)
CLAIMS = st.lists(
    st.builds(
        lambda changes, opens, flags: claim("h", *changes, opens=tuple(opens), flags=tuple(flags)),
        st.lists(CHANGES, max_size=6),
        st.lists(st.sampled_from(["tcp/1", "tcp/2"]), max_size=3),
        st.lists(st.sampled_from(["closing", "many"]), max_size=3),
    ),
    max_size=3,
).map(lambda claims: [replace(each, host=f"h{number}") for number, each in enumerate(claims)])
LIMITS = st.builds(
    PlanLimit,
    origin=st.just(office().users[0].origin),
    of=st.sampled_from(["changes", "drift"]),
    at_most=st.integers(0, 5),
    kind=st.sampled_from(["", "file", "accounts"]),
    name=st.sampled_from(["", "/etc/*", "/etc/a", "[[]", "*"]),
    action=st.sampled_from(["", "create", "remove"]),
) | st.builds(
    PlanLimit,
    origin=st.just(office().users[0].origin),
    of=st.sampled_from(["accounts_closed", "accounts_created", "ports_opened", "restarts", "consents", "hosts"]),
    at_most=st.integers(0, 5),
    flag=st.sampled_from(["", "closing"]),
).map(lambda it: it if it.of == "consents" else replace(it, flag=""))


def total(it: PlanLimit, claims: list[Claim]) -> int:
    """How many there are, counted one by one."""
    rows = {"accounts_closed": ("removed", "unclear"), "accounts_created": ("added",)}
    found = 0
    for each in claims:
        match it.of:
            case "accounts_closed" | "accounts_created":
                tables = [made["rows"] for made in each.changes if made["key"][0] == "accounts"]
                found += sum(max(0, table.get(kind, 0)) for table in tables for kind in rows[it.of])
            case "ports_opened":
                found += len(each.opens)
            case "restarts":
                found += list(each.effects.values()).count("RESTART")
            case "consents":
                found += sum(it.flag in ("", risk["flag"]) for risk in each.risks)
            case "hosts":
                found += bool(each.changes)
            case _:
                found += sum(
                    it.fits(*made["key"], made["action"].lower())
                    for made in each.changes
                    if it.of == "changes" or made["reason"] != "PENDING"
                )
    return found


@given(claims=CLAIMS, limits=st.lists(LIMITS, min_size=1, max_size=6))
def test_plans_are_counted_as_if_one_by_one(claims: list[Claim], limits: list[PlanLimit]) -> None:
    plans = Planned(claims, Witness.KEPT_PLAN)
    for it in [*limits, *limits]:
        found, count = plans.finding(it), total(it, claims)
        assert found.holds is (None if not claims else count <= it.at_most)
        assert not claims or f"the plan {it.does(count)}" in found.what


def test_a_firewall_that_goes_opens_more_than_any_limit_allows() -> None:
    plans = Planned([claim("h", change("file", "/etc/a"), opens=("all",))], Witness.KEPT_PLAN)
    for it in expected("plan", "of: ports_opened, at_most: 0", "of: ports_opened, at_most: 65535"):
        found = plans.finding(it)  # type: ignore[arg-type]
        assert found.holds is False and "131,070 ports" in found.what


def test_a_plan_is_gone_through_once_however_much_is_expected_of_it() -> None:
    claims = [claim(f"h{number}", *(change("file", f"/{n}") for n in range(50))) for number in range(50)]
    plans = Planned(claims, Witness.KEPT_PLAN)
    for of, more in (("changes", "kind: file"), ("drift", "action: remove"), ("accounts_closed", ""), ("restarts", "")):
        for it in expected("plan", *(f"of: {of}, at_most: {n}, {more}" for n in range(MANY // 2))):
            plans.finding(it)  # type: ignore[arg-type]
    assert plans._work.done < 4 * MANY


def test_patterns_for_all_of_a_large_plan_are_one_error() -> None:
    claims = [claim("h", *(change("file", f"/{n}" * 200) for n in range(MANY)))]
    plans = Planned(claims, Witness.KEPT_PLAN)
    with pytest.raises(MailprovError, match="too much to judge"):
        for it in expected("plan", *(f"of: changes, at_most: 0, name: '*{n}*a*b*c'" for n in range(MANY))):
            plans.finding(it)  # type: ignore[arg-type]


def test_work_is_counted() -> None:
    found = Work()
    found.add(MOST_WORK)
    with pytest.raises(MailprovError):
        found.add(1)
