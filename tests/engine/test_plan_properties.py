"""What holds of every plan: it depends on nothing but its inputs, and after an apply there is none left."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from simulated_host import NOW, SimulatedHost, declare, self_signed

from mailprov.connection.fake import Call
from mailprov.engine import plan_file, saved_plan, transaction
from mailprov.engine.plan import Observation, differences, queries, steps
from mailprov.engine.transaction import Work, bundle
from mailprov.errors import HostError, MailprovError, StalePlanError
from mailprov.model import Effect, Facts, HostSpec, Plan, Reason, Secret, Spec
from mailprov.resources import rows
from mailprov.roles import mailhost
from mailprov.standard import REGISTRY
from mailprov.workflows.survey import survey

EXAMPLES = settings().max_examples // 3

ON_HOST = {"on_host": {"certificate": "/etc/ssl/mail.pem", "key": "/etc/ssl/mail.key"}}
USERS: list[dict[str, Any]] = [
    {"address": "alice@example.com", "password": {"hash": "$HASH"}, "aliases": ["postmaster@example.com"]},
    {"address": "bob@example.com", "password": {"initial": {"env": "BOB_INITIAL"}}, "protocols": ["pop3"]},
    {"address": "carol@example.com", "password": {"hash": "$HASH"}, "quota": "1GiB", "allow_from": ["10.0.0.0/8"]},
    {"address": "dave@other.example", "password": {"initial": {"env": "BOB_INITIAL"}}, "aliases": ["d@other.example"]},
]
DECLARATIONS = st.fixed_dictionaries(
    {
        "domains": st.just([{"name": "example.com"}, {"name": "other.example"}]),
        "users": st.lists(st.sampled_from(USERS), unique_by=lambda user: user["address"]),
        "tls": st.sampled_from([{"self_signed": {}}, ON_HOST, {"self_signed": {}, "min_version": "TLSv1.3"}]),
        "services": st.fixed_dictionaries(
            {},
            optional={
                "imap": st.sampled_from([{"tls": 993}, {"starttls": 143}, {"tls": 993, "starttls": 143}]),
                "pop3": st.sampled_from([{"tls": 995}, {"starttls": 110}]),
                "submission": st.sampled_from([{"tls": 465}, {"tls": 465, "starttls": 587}]),
                "smtp": st.just({"port": 25}),
            },
        ).filter(bool),
        "firewall": st.sampled_from([{"manage": True}, {"manage": False}, {"manage": True, "allow": [{"port": 9100}]}]),
    }
)


def fresh(release: str = "12") -> SimulatedHost:
    host = SimulatedHost(release)
    host.pems["/etc/ssl/mail.pem"] = _pem()
    return host


@cache
def _pem() -> str:
    return self_signed(("mail.example.com",), NOW + timedelta(days=90))


def loaded(changes: Mapping[str, object]) -> Spec:
    with tempfile.TemporaryDirectory() as folder:
        return declare(Path(folder), changes)


@settings(max_examples=EXAMPLES)
@given(DECLARATIONS, DECLARATIONS, st.sampled_from(["11", "12", "13"]))
def test_after_an_apply_there_is_nothing_to_do(first: dict[str, Any], second: dict[str, Any], release: str) -> None:
    assume(release != "11" or "TLSv1.3" not in (first["tls"].get("min_version"), second["tls"].get("min_version")))
    host = fresh(release)
    for declared in (first, second):
        spec = loaded(declared)
        host.become(spec)
        again = host.plan(spec)
        assert [str(change.key) for change in again.changes] == []
        assert (dict(again.effects), steps(REGISTRY, again)) == ({}, ())


@settings(max_examples=EXAMPLES)
@given(DECLARATIONS, DECLARATIONS)
def test_back_and_forth_is_pending_and_never_drift(first: dict[str, Any], second: dict[str, Any]) -> None:
    host = fresh()
    host.become(loaded(first))
    made = host.plan(loaded(second))
    # A certificate that is taken up again may have been renewed meanwhile: that is the host's doing.
    assert {change.reason for change in made.changes if change.key.kind != "certificate"} <= {Reason.PENDING}


@settings(max_examples=EXAMPLES)
@given(DECLARATIONS, DECLARATIONS)
def test_a_plan_is_well_formed(first: dict[str, Any], second: dict[str, Any]) -> None:
    host = fresh()
    host.become(loaded(first))
    made = host.plan(loaded(second))
    acts = steps(REGISTRY, made)
    assert [act.phase for act in acts] == sorted(act.phase for act in acts)
    assert len({change.key for change in made.changes}) == len(made.changes)
    for change in made.changes:
        assert change.summary
        assert change.before is not None or change.after is not None
        for name, effect in change.effects.items():
            assert name not in made.effects or made.effects[name] >= effect or made.effects[name] is Effect.START
    for act in acts:
        assert act.do
        assert act.undo
        assert act.what
    work = Work(REGISTRY, made, acts, b"", "id", "meta", "mailprov-manifest 3\n")
    read = transaction.steps(work).splitlines()
    assert [line.split("\t")[3:] for line in read if line.split("\t")[1] == "do"] == [
        [str(n) if word == "@" else word for word in act.do[1:]] for n, act in enumerate(acts, 1)
    ]


@settings(max_examples=EXAMPLES)
@given(DECLARATIONS, DECLARATIONS, st.sampled_from([0, 1, 40]))
def test_a_plan_that_is_kept_is_known_again(first: dict[str, Any], second: dict[str, Any], days: int) -> None:
    """To the letter, also some days later; and where the host is what was asked for, that is no other plan."""
    host, spec = fresh(), loaded(second)
    host.become(loaded(first))
    claims = []
    for passing in (0, days):
        host.clock += timedelta(days=passing)
        found = survey(spec, spec.hosts["mail1"], host.host())
        claims.append(saved_plan.claim(found.plan, "SHA256:x", found.seen))
    kept, now = claims
    text = plan_file.dump(False, [kept])
    assert plan_file.load(text.encode(), "plan").hosts == (kept,)
    assert kept == now
    saved_plan.require(kept, now)
    host.become(spec)
    found = survey(spec, spec.hosts["mail1"], host.host())
    done = saved_plan.claim(found.plan, "SHA256:x", found.seen)
    saved_plan.require(kept, done)
    if kept.changes:
        assert done != kept
        with pytest.raises(StalePlanError):
            saved_plan.require(done, kept)


def shuffled(spec: Spec, chance: random.Random) -> Spec:
    """The same declaration, its parts in another order."""

    def mixed(values: Any) -> list[Any]:
        return chance.sample(list(values), len(list(values)))

    return replace(
        spec,
        hosts=dict(mixed(spec.hosts.items())),
        domains=dict(mixed(spec.domains.items())),
        users=mixed(spec.users),
        aliases=mixed(spec.aliases),
    )


@settings(max_examples=EXAMPLES)
@given(DECLARATIONS, DECLARATIONS, st.randoms(use_true_random=False))
def test_another_order_gives_the_same_plan(
    first: dict[str, Any], second: dict[str, Any], chance: random.Random
) -> None:
    host = fresh()
    host.become(loaded(first))
    spec = loaded(second)
    one, other = host.plan(spec), host.plan(shuffled(spec, chance))
    assert other == one
    assert list(other.desired) == list(one.desired)
    assert [change.detail for change in other.changes] == [change.detail for change in one.changes]
    assert other.digest == one.digest
    assert other.managed == one.managed
    assert [(act.do, act.undo, act.stage) for act in steps(REGISTRY, other)] == [
        (act.do, act.undo, act.stage) for act in steps(REGISTRY, one)
    ]


def test_the_same_plan_makes_the_same_bundle(tmp_path: Path) -> None:
    spec = declare(tmp_path, {"users": [USERS[0], USERS[2]]})
    first, second = (_work(spec) for _ in range(2))
    assert bundle(first) == bundle(second)


def _work(spec: Spec) -> Work:
    found = survey(spec, spec.hosts["mail1"], SimulatedHost().host())
    return Work(REGISTRY, found.plan, steps(REGISTRY, found.plan), found.ask, "id", "meta", "mailprov-manifest 3\n")


def test_what_is_asked_does_not_depend_on_what_is_there(tmp_path: Path) -> None:
    """So the host can ask itself the very same again, under its lock."""
    asked: list[Call] = []
    host = fresh()
    spec = declare(tmp_path)
    for _ in range(2):
        session = host.host()
        survey(spec, spec.hosts["mail1"], session)
        asked.append(session.calls[0])
        host.become(spec)
    assert asked[0] == asked[1]


def test_a_plan_without_changes_takes_one_question(tmp_path: Path) -> None:
    host, spec = fresh(), declare(tmp_path)
    host.become(spec)
    session = host.host()
    assert survey(spec, spec.hosts["mail1"], session).plan.empty
    assert len(session.calls) == 1


def test_a_missing_initial_password_stops_before_anything(tmp_path: Path) -> None:
    spec = declare(tmp_path, environ={})
    made = SimulatedHost().plan(spec)
    assert any("bob@example.com" in warning for warning in made.warnings)
    with pytest.raises(MailprovError, match="initial password is not here") as caught:
        steps(REGISTRY, made)
    assert "BOB_INITIAL" in caught.value.fix


def test_an_unusable_certificate_on_the_host_stops_the_plan(tmp_path: Path) -> None:
    spec = declare(tmp_path, {"tls": ON_HOST})
    with pytest.raises(HostError, match="no readable certificate"):
        SimulatedHost().plan(spec)
    host = fresh()
    host.clock = NOW.replace(year=2031)
    with pytest.raises(HostError, match="it expired on 2030"):
        host.plan(spec)
    host.clock = NOW.replace(year=2029)
    with pytest.raises(HostError, match="not valid before 2030"):
        host.plan(spec)


def test_no_manifest_means_no_drift(tmp_path: Path) -> None:
    host, spec = fresh(), declare(tmp_path)
    host.become(spec)
    host.entries["/etc/postfix/main.cf"].content += "x = y\n"
    host.kept = ""
    made: Plan = host.plan(spec)
    assert {change.reason for change in made.changes} == {Reason.PENDING}


def test_nothing_is_removed_that_was_not_ours() -> None:
    spec = loaded({"firewall": None})
    declared: HostSpec = spec.hosts["mail1"]
    facts = Facts("", "12", 0, (22,), "2.3", 0)
    desired = mailhost.desired(spec, declared, facts, lambda user: Secret(""))
    foreign = REGISTRY.live({"files": "regular file|644|root|root|/etc/theirs\n", "firewall": "0" * 64 + "  -\n"})
    assert all(
        difference.after is not None
        for difference in differences(REGISTRY, desired, Observation(facts, foreign, None, ""))
    )
    assert {query.section for query in queries(REGISTRY, desired)} >= {"firewall", "services", "files"}


def test_a_converged_host_is_compared_by_digests_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = declare(tmp_path, {"users": USERS, "domains": [{"name": "example.com"}, {"name": "other.example"}]})
    host = SimulatedHost()
    host.become(spec)

    def asked(_: rows.Table) -> None:
        raise AssertionError("a row was asked for")

    monkeypatch.setattr(rows.Table, "reveal", asked)
    assert host.plan(spec).empty


def test_of_many_passwords_that_are_not_here_the_first_are_named(tmp_path: Path) -> None:
    people = [{"address": f"{name}@example.com", "password": {"initial": {"env": "ABSENT"}}} for name in "gcbfade"]
    host, spec = SimulatedHost(), declare(tmp_path, {"users": people})
    made = host.plan(spec)
    named = ", ".join(f"{name}@example.com" for name in "abcde")
    told = f"initial passwords are not here for {named}: creating these accounts will need them"
    assert told in made.warnings
    with_passwords = [{**each, "password": {"initial": {"env": "BOB_INITIAL"}}} for each in people]
    host.become(declare(tmp_path, {"users": with_passwords}))
    assert not any("initial passwords" in each for each in host.plan(spec).warnings), "who is there needs none"
