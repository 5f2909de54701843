"""What a host changed, and nothing else; each file in drift/ is a host, what became of it, and what is told of that.

before, applied, host, declared     as in cases/ (see test_plan_cases.py); `drift` is one of BASE's keys, too
expect      what is told; UPDATE_GOLDEN=1 writes this part, for you to read
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_host import HASH, SimulatedHost, declare
from test_plan_properties import DECLARATIONS, EXAMPLES, fresh, loaded

from mailprov.declaration import schema
from mailprov.engine.drift import Drift
from mailprov.errors import HostError, LockedError, MailprovError
from mailprov.model import ASPECTS, GONE, KeyPair, Reason, Spec
from mailprov.resources import accounts, dkim_keys, files, maps, scripts, system_users
from mailprov.resources.services import Service
from mailprov.standard import REGISTRY
from mailprov.workflows.drift import look

HERE = Path(__file__).parent
CASES = sorted((HERE / "drift").glob("*.yaml"))
OTHERS = [path for path in sorted((HERE / "cases").glob("*.yaml")) if "\napplied:" in path.read_text()]


def drift(host: SimulatedHost, spec: Spec) -> Drift:
    return look(spec, spec.hosts["mail1"], host.host())


def told(made: Drift) -> dict[str, Any]:
    lines = {False: list[str](), True: list[str]()}
    for each in made.found:
        one = each.change
        lines[each.ignored is not None].append(
            f"{'gone' if each.gone else 'changed'} {one.key} ({one.reason.value}): {one.summary}"
        )
    more = {"ignored": lines[True], "settled": list(map(str, made.settled)), "warnings": list(made.warnings)}
    return {"drift": lines[False], **{name: text for name, text in more.items() if text}, "pending": made.pending}


def lived(case: Mapping[str, Any], folder: Path) -> SimulatedHost:
    """The host of a case, with all that happened to it."""
    host = SimulatedHost()
    for act, value in (pair for each in case.get("before", ()) for pair in each.items()):
        host.edit(act, value)
    host.become(declare(folder, case["applied"]))
    for act, value in (pair for each in case.get("host", ()) for pair in each.items()):
        host.edit(act, value)
    return host


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path, tmp_path: Path) -> None:
    head, _, _ = path.read_text(encoding="utf-8").partition("\nexpect:\n")
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = told(drift(lived(case, tmp_path), declare(tmp_path, case["declared"])))
    if os.environ.get("UPDATE_GOLDEN"):
        expected = yaml.safe_dump({"expect": found}, sort_keys=False, allow_unicode=True, width=1000)
        path.write_text(f"{head.rstrip()}\n\n{expected}", encoding="utf-8")
    assert found == yaml.safe_load(path.read_text(encoding="utf-8"))["expect"]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_it_is_what_a_plan_calls_drift(path: Path, tmp_path: Path) -> None:
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    host, spec = lived(case, tmp_path), declare(tmp_path, case["declared"])
    try:
        planned = host.plan(spec)
    except HostError:
        made = drift(host, spec)  # does not refuse, and says what a plan would
        assert made.found or made.warnings or made.pending
        return
    moved = [change for change in planned.changes if change.reason is not Reason.PENDING]
    assert [each.change.key for each in drift(host, spec).found] == [change.key for change in moved]
    assert drift(host, spec).pending == sum(not each.brought_along for each in planned.changes) - len(moved)


# --- of every host


@settings(max_examples=EXAMPLES)
@given(DECLARATIONS, DECLARATIONS, st.sampled_from([0, 1, 40, 400]))
def test_what_nobody_touched_has_not_drifted(first: dict[str, Any], second: dict[str, Any], days: int) -> None:
    host = fresh()
    host.become(loaded(first))
    host.clock += timedelta(days=days)
    made = drift(host, loaded(second))
    # A certificate that is taken up again may have been renewed meanwhile: that is the host's doing.
    assert {each.change.key.kind for each in made.found} <= {"certificate"}


ACTS = {
    "file": lambda host, path: host.edit("append", {"path": path, "text": "# by hand\n"}),
    "mode": lambda host, path: host.edit("chmod", {"path": path, "mode": "1777"}),
    "gone": lambda host, path: host.edit("remove", path),
}


@settings(max_examples=EXAMPLES)
@given(DECLARATIONS, DECLARATIONS, st.sampled_from([*ACTS]), st.data())
def test_what_somebody_touched_is_told(
    first: dict[str, Any], second: dict[str, Any], act: str, data: st.DataObject
) -> None:
    host, spec = fresh(), loaded(first)
    host.become(spec)
    kinds = ("regular file",) if act == "file" else ("regular file", "directory")
    made = [path for path, entry in sorted(host.entries.items()) if entry.type in kinds and path not in host.pems]
    path = data.draw(st.sampled_from(made))
    ACTS[act](host, path)
    for declared in (spec, loaded(second)):
        names = [each.change.key.name for each in drift(host, declared).counted]
        gone = act == "gone" and declared is not spec  # by now nobody wants it
        assert names == [path] or (gone and not names), names


def test_one_question_where_nothing_drifted(tmp_path: Path) -> None:
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    session = host.host()
    assert look(declare(tmp_path, {"firewall": None}), spec.hosts["mail1"], session).found == ()
    assert len(session.calls) == 1


# --- what cannot be told


def _row(host: SimulatedHost, path: str) -> str:
    return next(line for line in host.kept.splitlines(keepends=True) if line.endswith(f" {path}\n"))


RECORDS = {
    "never": lambda host: vars(host).update(kept="", entries={}),
    "lost": lambda host: host.edit("manifest", ""),
    "emptied": lambda host: host.edit("manifest", "\0" * 4096),
    "cut off": lambda host: host.edit("manifest", host.kept[: host.kept.index("desired file") + 20]),
    "cut at a line": lambda host: host.edit("manifest", host.kept[: host.kept.index("desired map")]),
    "a line gone": lambda host: host.edit("manifest", host.kept.replace(_row(host, "/etc/postfix/main.cf"), "")),
    "of a later version": lambda host: host.edit("manifest", host.kept.replace("manifest 3", "manifest 4")),
    "rolled back": lambda host: host.edit("manifest", "mailprov-manifest 3\ntransaction x\n"),
    "overtaken": lambda host: host.said.update(transactions=f"last {'0' * 64} 1900000000 20310101T000000Z-1 applied\n"),
}
WHY = {
    "never": "nothing is applied to this host",
    "lost": "is gone",
    "rolled back": "nothing is applied to this host",
    "overtaken": "20310101T000000Z-1 came after it",
}


@pytest.mark.parametrize("name", RECORDS)
def test_without_a_record_nothing_is_said_to_be_well(name: str, tmp_path: Path) -> None:
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    RECORDS[name](host)
    with pytest.raises(HostError, match="what drifted cannot be told") as refused:
        drift(host, spec)
    assert WHY.get(name, "cannot be read") in refused.value.why
    assert refused.value.where == "mail1" and refused.value.fix


def test_a_record_that_counts_nothing_is_read_as_before(tmp_path: Path) -> None:
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    host.kept = "".join(line for line in host.kept.splitlines(keepends=True) if not line.startswith("count "))
    assert drift(host, spec).found == () and host.plan(spec).empty
    host.edit("append", {"path": "/etc/postfix/main.cf", "text": "x = y\n"})
    assert len(drift(host, spec).found) == 1


def test_the_record_of_the_last_apply_is_believed(tmp_path: Path) -> None:
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    last = "20300601T120000Z-abcdef"
    for verdict, name in (("applied", last), ("reverted", "20310101T000000Z-1"), ("failed", "20310101T000000Z-1")):
        host.said["transactions"] = f"last {'0' * 64} 1900000000 {name} {verdict} somebody\n"
        assert drift(host, spec).since == last


AT_WORK = f"open 20310101T000000Z-1\nlocked anna\nevent 1900000000 do 3\nlast {'0' * 64} 1800000000 x reverted\n"


def test_an_apply_that_is_at_work(tmp_path: Path) -> None:
    """As a plan does: what is seen may be its own, and nothing to be seen is no success."""
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    host.said["transactions"] = AT_WORK
    with pytest.raises(LockedError, match="has not come to its end"):
        drift(host, spec)
    host.edit("append", {"path": "/etc/postfix/main.cf", "text": "# by it, or by hand\n"})
    assert "an apply is at work there" in drift(host, spec).warnings[0]
    ignoring = declare(tmp_path, {"drift": {"ignore": [{"kind": "file", "name": "*"}]}})
    with pytest.raises(LockedError):
        drift(host, ignoring)
    host.edit("manifest", "")
    with pytest.raises(LockedError):
        drift(host, spec)


# --- secrets that are not here


MANAGED = [
    {"address": "alice@example.com", "password": {"hash": {"env": "ALICE"}}, "aliases": ["postmaster@example.com"]},
    {"address": "bob@example.com", "password": {"initial": {"env": "BOB_INITIAL"}}},
]


def test_what_is_not_here_is_done_without(tmp_path: Path) -> None:
    host, whole = SimulatedHost(), declare(tmp_path, {"users": MANAGED}, {"ALICE": HASH, "BOB_INITIAL": "x"})
    host.become(whole)
    without = declare(tmp_path, {"users": MANAGED}, {})
    with pytest.raises(MailprovError, match="a password hash was not read"):
        host.plan(without)
    assert told(drift(host, without)) == {"drift": [], "pending": 0}
    host.edit("append", {"path": "/etc/postfix/main.cf", "text": "x = y\n"})
    assert told(drift(host, without)) == told(drift(host, whole))
    host.edit("append", {"path": "/etc/dovecot/mailprov/accounts", "text": "eve@example.com:{PLAIN}hunter2::::::\n"})
    session = host.host()
    line = told(look(without, without.hosts["mail1"], session))["drift"][1]
    assert line.startswith("changed accounts /etc/dovecot/mailprov/accounts (drift): changed; how is not told")
    assert "rows" not in session.calls[1].stdin.decode().partition("section 'mailprov-answer")[2], "nor asked for"
    host.edit("remove", "/etc/dovecot/mailprov/accounts")
    assert told(drift(host, without))["drift"][1].startswith("gone accounts /etc/dovecot/mailprov/accounts (drift)")


def test_nothing_hides_behind_a_secret_that_is_not_here(tmp_path: Path) -> None:
    """Whoever has no key cannot tell whether the declaration has another one; services are looked at all the same."""
    host, spec = SimulatedHost(), declare(tmp_path, {"users": MANAGED}, {"ALICE": HASH, "BOB_INITIAL": "x"})
    host.become(spec)
    host.owed = ["dovecot reload"]
    without = declare(tmp_path, {"users": MANAGED}, {})
    assert [str(each.change.key) for each in drift(host, without).found] == ["service dovecot"]


# --- what may be ignored


def test_the_schema_knows_what_may_be_ignored() -> None:
    properties = schema.document()["$defs"]["ignored_change"]["properties"]
    assert properties["kind"]["enum"] == [*ASPECTS]
    assert set(ASPECTS) == {kind.KIND for kind in REGISTRY.kinds if kind.SECTIONS}
    assert set(properties["only"]["items"]["enum"]) == {aspect for each in ASPECTS.values() for aspect in each} | {GONE}


def test_each_aspect_is_one_of_a_delta(tmp_path: Path) -> None:
    """What the declaration may name, something has; and what is never to be ignored by itself is no such word."""
    host = files.text_file("/x", "a")
    other = files.File("/x", "600", "bob", "bob", "symlink", "0")
    seen = {"file": files.delta(other, host).aspects}
    table = accounts.Accounts("/x", "1")
    seen["accounts"] = accounts.delta(accounts.Accounts("/x", "2", ("600", "a", "b"), "symlink"), table).aspects
    made = maps.Map("/x", "1")
    seen["map"] = maps.delta(maps.Map("/x", "2", ("600", "a", "b"), type="symlink"), made).aspects
    seen["map"] |= maps.delta(made, made).aspects
    text = scripts.script("/x.sieve", "stop;\n")
    other_text = scripts.Script("/x.sieve", "2", ("600", "a", "b"))
    seen["script"] = scripts.delta(other_text, text).aspects | scripts.delta(text, text).aspects
    pair = dkim_keys.dkim_key(KeyPair("d", "n", "signs"))
    spoilt = replace(pair, pair=replace(pair.pair, intact=False), attributes=(("600", "a", "b"),))
    seen["dkim_key"] = dkim_keys.delta(spoilt, pair).aspects
    user = system_users.SystemUser("u", "/a", "/b", "c")
    seen["user"] = system_users.delta(user, system_users.SystemUser("u", "/d", "/e", "f")).aspects
    service = REGISTRY.services.delta(Service("s", False, False, "reload"), Service("s"))
    seen["service"] = service.aspects
    case = yaml.safe_load((HERE / "drift/certificate-renewed.yaml").read_text(encoding="utf-8"))
    (change,) = lived(case, tmp_path).plan(declare(tmp_path, case["declared"])).changes
    seen["certificate"] = change.delta.aspects
    assert {kind: aspects - {"type"} for kind, aspects in seen.items()} == {
        kind: frozenset(aspects) for kind, aspects in ASPECTS.items() if aspects
    }
