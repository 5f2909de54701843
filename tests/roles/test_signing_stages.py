"""Which keys sign when: by what a host has made, what DNS has and what its clock says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.model import Domain, Facts, Firewall, HostSpec, KeyPair, Outgoing, Services, Signing, Spec, Ssh, Tls
from mailprov.model.signing import DAY, Use
from mailprov.roles.rspamd import stages

NOW = 1_900_000_000
KEEP = (Outgoing().days + 2) * DAY
PUBLIC = (("rsa", "MIIB"), ("ed25519", "FNfo"))


def host(name: str = "mail1") -> HostSpec:
    return HostSpec(name, "192.0.2.1", "mail.example.com", Ssh(), False, Tls("self_signed"), Services(), Firewall())


def spec(sign: Signing | None, *names: str) -> Spec:
    hosts = {name: host(name) for name in names or ("mail1",)}
    return Spec(hosts, {"example.com": Domain("example.com", tuple(hosts), sign=sign)}, (), ())


def pair(number: int, use: Use, since: int = NOW, *, intact: bool = True) -> KeyPair:
    return KeyPair("example.com", f"mail1-{number}", use, since, PUBLIC, intact)


def facts(*pairs: KeyPair, published: tuple[KeyPair, ...] = (), clock: int = NOW) -> Facts:
    records = frozenset(record for each in published for record in each.records)
    return Facts("", "12", clock, (22,), "2.3.19", 0, reported=pairs, published=records)


def wanted(sign: Signing | None, told: Facts) -> dict[str, Use]:
    return {each.name: each.use for each in stages.pairs(spec(sign), host(), told)}


ON, ROTATING = Signing(), Signing(90)
FIRST, SECOND = pair(1, "waits"), pair(2, "waits")
SIGNS = pair(1, "signs", NOW - 90 * DAY)


@pytest.mark.parametrize(
    ("sign", "told", "expected"),
    [
        (None, facts(), {}),
        (ON, facts(), {"mail1-1": "waits"}),
        (ON, facts(FIRST), {"mail1-1": "waits"}),
        (ON, facts(FIRST, published=(FIRST,)), {"mail1-1": "signs"}),
        (None, facts(FIRST, published=(FIRST,)), {"mail1-1": "retired"}),
        (ON, facts(SIGNS), {"mail1-1": "signs"}),
        (ROTATING, facts(SIGNS), {"mail1-1": "signs", "mail1-2": "waits"}),
        (ROTATING, facts(SIGNS, clock=NOW - 1), {"mail1-1": "signs"}),
        (ROTATING, facts(SIGNS, SECOND), {"mail1-1": "signs", "mail1-2": "waits"}),
        (ROTATING, facts(SIGNS, SECOND, published=(SECOND,)), {"mail1-1": "signed", "mail1-2": "signs"}),
        # the keys that wait go on to, also where nobody asks for a rotation any more
        (ON, facts(SIGNS, SECOND, published=(SECOND,)), {"mail1-1": "signed", "mail1-2": "signs"}),
        (None, facts(SIGNS), {"mail1-1": "signed"}),
        (None, facts(pair(1, "signed", NOW - KEEP + 1)), {"mail1-1": "signed"}),
        (None, facts(pair(1, "signed", NOW - KEEP)), {"mail1-1": "retired"}),
        (None, facts(pair(1, "retired")), {"mail1-1": "retired"}),
        # signed again: with the same keys where DNS has them still, and else once it has
        (ON, facts(pair(1, "signed")), {"mail1-1": "waits"}),
        (ON, facts(pair(1, "signed"), published=(pair(1, "signed"),)), {"mail1-1": "signs"}),
        (ON, facts(pair(1, "retired", intact=False)), {"mail1-1": "retired", "mail1-2": "waits"}),
        # spoilt keys sign nothing, and their records stay as long as others may look for them
        (ON, facts(pair(1, "signs", intact=False)), {"mail1-1": "signed", "mail1-2": "waits"}),
        (ON, facts(pair(1, "waits", intact=False)), {"mail1-1": "retired", "mail1-2": "waits"}),
        (ON, facts(pair(1, "signed", intact=False)), {"mail1-1": "signed", "mail1-2": "waits"}),
        # of two that sign, the newer one does
        (ON, facts(pair(9, "signs"), pair(10, "signs")), {"mail1-9": "signed", "mail1-10": "signs"}),
        (ON, facts(FIRST, SECOND, published=(FIRST,)), {"mail1-1": "signs", "mail1-2": "retired"}),
    ],
)
def test_stages(sign: Signing | None, told: Facts, expected: dict[str, Use]) -> None:
    assert wanted(sign, told) == expected


def test_hosts_of_a_domain_have_selectors_of_their_own() -> None:
    names = ["mail1", "Mail1", "mail.1", "mail-1", "x" * 100, "x" * 101, "1.", "-"]
    both = spec(ON, *names)
    made = [stages.pairs(both, both.hosts[name], facts())[0].name for name in names]
    assert len(set(made)) == len(names)
    assert all(len(name) < 60 and name == name.lower() and "." not in name for name in made), made


def test_what_nobody_has_yet_is_waited_for_with_words() -> None:
    (first,) = stages.waits(spec(ON), host(), facts(), {})
    assert first.what == "mail from example.com is signed with mail1-1; until then it is not signed"
    assert "`mailprov dns example.com`" in first.until and not first.since
    told = facts(SIGNS, SECOND)
    names = dict.fromkeys((name for name, _ in SECOND.records), "ns1.example.com: it is not there")
    (wait,) = stages.waits(spec(ROTATING), host(), told, names)
    assert wait.what == "mail from example.com is signed with mail1-2"
    assert "mail1-2r._domainkey.example.com and mail1-2e._domainkey.example.com" in wait.until
    assert (wait.seen, wait.since) == ("ns1.example.com: it is not there", NOW)
    assert [each.name for each in stages.awaited(spec(ON), host(), told)] == ["mail1-2"]
    assert stages.awaited(spec(None), host(), told) == []


@given(
    st.lists(st.tuples(st.sampled_from(["apply", "day", "publish", "on", "off", "spoil", "lose"]), st.integers(1, 60)))
)
def test_whatever_happens_nothing_signs_that_dns_does_not_have(acts: list[tuple[str, int]]) -> None:
    """Applies, days, DNS, a declaration that is changed, keys that somebody spoils: in any order."""
    sign: Signing | None = Signing(30)
    clock, there, dns = NOW, list[KeyPair](), set[str]()
    for act, number in acts:
        clock += number * DAY if act == "day" else 1
        if act == "publish":
            dns |= {each.name for each in there if each.use != "retired"}
        elif act in ("on", "off"):
            sign = Signing(30) if act == "on" else None
        elif act == "spoil":
            there = [replace(each, intact=each.intact and place != number % 3) for place, each in enumerate(there)]
        elif act == "lose":
            dns -= {each.name for each in there if each.use in ("waits", "retired")}
        elif act == "apply":
            told = facts(*there, published=tuple(each for each in there if each.name in dns), clock=clock)
            before = {each.name: each for each in there}
            after = stages.pairs(spec(sign), host(), told)
            assert before.keys() <= {each.name for each in after}, "what was made is not forgotten"
            new = [each for each in after if each.name not in before]
            assert len(new) <= 1 and all(each.use == "waits" for each in new)
            now = [each for each in after if each.use == "signs"]
            assert len(now) <= bool(sign)
            assert all(each.name in dns and each.intact for each in now)
            assert not any(each.use == "retired" and before[each.name].use == "signs" for each in after)
            was = [each for each in there if each.use == "signs" and each.intact]
            assert now or not (was and sign), "signing does not stop by itself"
            there = [
                each
                if each.name in before and each.use == before[each.name].use
                else replace(each, since=clock, public=PUBLIC)
                for each in after
            ]
            again = stages.pairs(spec(sign), host(), replace(told, reported=tuple(there)))
            assert {each.name: each.use for each in again} == {each.name: each.use for each in there} or new
