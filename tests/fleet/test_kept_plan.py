"""A kept plan is a claim: whatever is written into the file, it is compared, and never done."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_in_memory import Fleet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailprov.engine import plan_file, saved_plan
from mailprov.errors import Exit, KeptPlanError
from mailprov.model import Key

CONSENTS = ("--yes", "--allow-removals", "--allow-many", "--allow-closing", "--allow-shrinking", "--allow-expiry")
REFUSED = (Exit.INVALID, Exit.STALE)
SHELL = "x\nid >/root/pwned\nEXPECTED=y"

Path_ = tuple[str | int, ...]


def kept(fleet: Fleet) -> dict[str, Any]:
    document = json.loads((fleet.folder / "kept.json").read_bytes())
    assert [host["dangers"][0]["flag"] for host in document["hosts"]] == ["removals", "removals"]
    assert document["hosts"][0]["effects"]["dovecot"] == "RELOAD"
    return document  # type: ignore[no-any-return]


def written(document: object, *, renewed: bool) -> bytes:
    """As a file; `renewed` with the seal that belongs to what is in it, as anybody can make it."""
    if renewed and isinstance(document, dict):
        document = {key: value for key, value in document.items() if key != "seal"}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        document["seal"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def refused(fleet: Fleet, data: bytes, capsys: pytest.CaptureFixture[str]) -> str:
    """That an apply of this file refuses it and touches nothing; what it says."""
    before = pickle.dumps(fleet.hosts)
    (fleet.folder / "tampered.json").write_bytes(data)
    status = fleet.run("apply", "tampered.json", *CONSENTS)
    said = capsys.readouterr()
    assert status in REFUSED, (status, said)
    assert fleet.begun == []
    assert pickle.dumps(fleet.hosts) == before
    assert "Error: " in said.err and "mistake" not in said.err
    return said.err


def nodes(value: object, path: Path_ = ()) -> Iterator[Path_]:
    """The path of everything in a document, itself left out."""
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, inner in pairs:
        yield (*path, step)
        yield from nodes(inner, (*path, step))


def few(document: object) -> Iterator[Path_]:
    """As `nodes`; of the fingerprints, which are all alike, one row in four."""
    for path in nodes(document):
        if len(path) < 4 or path[2] not in ("asked", "seen") or int(path[3]) % 4 == 0:
            yield path


def at(document: Any, path: Path_) -> Any:
    for step in path:
        document = document[step]
    return document


def changed(document: dict[str, Any], path: Path_, value: object) -> dict[str, Any]:
    made = copy.deepcopy(document)
    at(made, path[:-1])[path[-1]] = value
    return made


def without(document: dict[str, Any], path: Path_) -> dict[str, Any]:
    made = copy.deepcopy(document)
    del at(made, path[:-1])[path[-1]]
    return made


def other(value: object) -> list[object]:
    """What may stand in the place of `value`, and is something else."""
    if isinstance(value, str):
        return [value + "x", SHELL, 1]
    if isinstance(value, bool):
        return [not value, int(value)]
    return [[*value, *value[-1:]] if value else ["x"], []] if isinstance(value, list) else [{}, [], None]


def test_a_plan_that_is_as_it_was_written_is_applied(changing: Fleet) -> None:
    assert changing.run("apply", "kept.json", "--yes") == Exit.UNSAFE, "the consents are asked for again"
    assert changing.begun == []
    assert changing.run("apply", "kept.json", *CONSENTS) == 0
    assert changing.begun == ["h1", "h2"]
    assert changing.run("apply", "kept.json", *CONSENTS) == 0
    assert changing.begun == [], "it was cut off and run again, say"


def test_where_somebody_is_at_work_it_is_not_stale_but_locked(
    changing: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another apply has changed so far may go again."""
    mail = changing.document["users"][0]
    mail["quota"], quota = "3GiB", mail.get("quota")
    assert changing.run("apply", *CONSENTS) == 0
    mail["quota"] = quota
    if quota is None:
        del mail["quota"]
    capsys.readouterr()
    for name in ("h1", "h2"):
        changing.hosts[name].said["transactions"] = "locked anna@desk 3 changes\nopen 20261130T000000Z-abcdef\n"
    assert changing.run("apply", "kept.json", *CONSENTS, "--limit", "h1") == Exit.LOCKED
    said = capsys.readouterr().err
    assert "another apply is at work on this host" in said and "anna@desk 3 changes" in said
    assert changing.begun == []


@pytest.mark.parametrize("renewed", [True, False], ids=["sealed-anew", "seal-as-it-was"])
def test_any_one_leaf(changing: Fleet, renewed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Every leaf and every branch of the file: changed, or left out."""
    document = kept(changing)
    tried = compared = 0
    for path in few(document):
        if path == ("seal",) and renewed:
            continue
        value = at(document, path)
        # One of them for each, in turn: with the seal renewed each makes a plan.
        choices = [new for new in other(value) if new != value or type(new) is not type(value)]
        texts = [changed(document, path, choices[tried % len(choices)]), without(document, path)]
        for text in texts[: 2 if len(path) < 5 else 1]:
            compared += "nothing was touched" in refused(changing, written(text, renewed=renewed), capsys)
            tried += 1
    assert tried > 300
    assert (compared > 100) is renewed, "what is sealed and well-formed is compared"
    assert changing.run("apply", "kept.json", *CONSENTS) == 0


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_leaf_is_anything(changing: Fleet, capsys: pytest.CaptureFixture[str], data: st.DataObject) -> None:
    document = kept(changing)
    path = data.draw(st.sampled_from([path for path in nodes(document) if path != ("seal",)]))
    was = at(document, path)
    inner = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(SHELL)
    anything = st.recursive(
        inner, lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(), more, max_size=3)
    )
    elsewhere = st.sampled_from([*nodes(document)]).map(lambda path: at(document, path))
    new = data.draw(st.one_of(anything, elsewhere))
    if json.dumps(new, sort_keys=True) == json.dumps(was, sort_keys=True):
        return
    refused(changing, written(changed(document, path, new), renewed=data.draw(st.booleans())), capsys)


# --- what somebody would write there


def reorder(host: dict[str, Any]) -> None:
    host["changes"].reverse()


def add_a_removal(host: dict[str, Any]) -> None:
    foreign = {"key": ["file", "/etc/foreign"], "action": "REMOVE", "reason": "PENDING", "summary": "remove"}
    host["changes"].append({**foreign, "detail": hashlib.sha256().hexdigest(), "effects": {}, "rows": {}})


TAMPERED = {
    "digest": lambda host: host.update(digest=SHELL),
    "added": add_a_removal,
    "taken away": lambda host: host["changes"].pop(),
    "order": reorder,
    "dangers": lambda host: host.update(dangers=[]),
    "effects": lambda host: host["effects"].update(dovecot="NONE"),
    "another effect": lambda host: host["effects"].update({"ssh; reboot": "RESTART"}),
    "identity": lambda host: host.update(identity="SHA256:" + "A" * 43),
    "machine": lambda host: host.update(machine="f" * 32),
    "asked": lambda host: host["asked"].pop(),
    "seen": lambda host: host["seen"].pop(),
    "name": lambda host: host.update(host="h0"),
    "a terminal": lambda host: host["asked"][0].__setitem__(1, "\x1b[2J\r\nError: all is well\u202e"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_written_into_it_is_not_done(changing: Fleet, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = kept(changing)
    TAMPERED[name](document["hosts"][0])  # type: ignore[no-untyped-call]
    said = refused(changing, written(document, renewed=True), capsys)
    # Each has the shape of a plan, so that it is the comparison with the host that refuses it.
    assert "nothing was touched" in said, said
    assert "\x1b" not in said and not any(line.startswith("Error: all is well") for line in said.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "%F", "format": "%F"}',
        '{"format": "%F", "mailprov": "%V", "partial": false, "hosts": [], "seal": ""}',
        '{"format": "%F", "mailprov": "%V", "hosts": [' + "[" * 50_000 + "]" * 50_000 + "]}",
        '{"format": "%F", "mailprov": NaN}',
        '{"format": "%F", "mailprov": "%V", "partial": ' + "9" * 5_000 + "}",
        '{"format": "%F", "mailprov": "%V", "hosts": "\\ud800"}',
        "[" + "[]," * 5_000_000 + "[]]",
    ],
    ids=["twice", "unsealed", "deep", "nan", "number", "surrogate", "many"],
)
def test_a_file_of_any_shape_is_one_error(fleet: Fleet, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = text.replace("%F", plan_file.FORMAT).replace("%V", plan_file.__version__)
    refused(fleet, text.encode(), capsys)


def test_what_the_file_says_twice_is_refused(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON takes the last value of a key: the first one would be read by whoever reviews it, and by nobody else."""
    text = (changing.folder / "kept.json").read_text()
    for new in (
        text.replace('"partial": false', '"partial": true,\n "partial": false'),
        text.replace("\n  {", "\n\n  {", 1),
        text.replace("RELOAD", "RELO\\u0041D", 1),
        text + "{}",
    ):
        assert new != text
        assert "not as it was written" in (said := refused(changing, new.encode(), capsys)) or "not a plan" in said


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "device", "large"])
def test_it_is_a_plain_file_of_bearable_size(
    fleet: Fleet, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kept.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        monkeypatch.setattr(plan_file, "LIMIT", 1 << 20)
        path.write_bytes(b" " * ((1 << 20) + 1))
    assert fleet.run("apply", "kept.json", "--yes") == Exit.INVALID
    assert "kept.json" in capsys.readouterr().err
    assert fleet.opened == []


def test_a_plan_that_would_not_be_read_is_not_written(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan_file, "MARKS", 500)
    assert fleet.run("plan", "--out", "kept.json") == Exit.ERROR
    assert "--shard or --limit" in capsys.readouterr().err
    assert not (tmp_path / "kept.json").exists()


# --- what moved, in words


def test_what_the_declaration_moved(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    changing.document["services"]["imap"] = {"tls": 1993}
    assert changing.run("apply", "kept.json", *CONSENTS) == Exit.STALE
    said = capsys.readouterr().err
    assert "the declaration, or what it waits for, changed since the plan was made" in said
    assert "moved: file /etc/dovecot/dovecot.conf" in said
    assert changing.begun == []


def test_what_the_host_moved(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    changing.hosts["h2"].entries["/etc/postfix/main.cf"].content += "# by hand\n"
    assert changing.run("apply", "kept.json", *CONSENTS) == Exit.STALE
    said = capsys.readouterr().err
    assert "h2: the host changed after it was looked at" in said
    assert "moved: file /etc/postfix/main.cf" in said
    assert changing.begun == []


def test_a_plan_that_lies_of_what_did_not_move(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    document = kept(changing)
    host = document["hosts"][0]
    host["dangers"] = []
    host["effects"]["postfix"] = "RESTART"
    host["changes"][1]["summary"] = "remove"
    said = refused(changing, written(document, renewed=True), capsys)
    assert "the declaration and the host give another plan than the one that was kept" in said
    name = " ".join(host["changes"][1]["key"])
    assert f"other changes: {name}; other consents; other effects on services" in said


def test_what_apt_would_bring_along_by_now(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of the declaration moved, nor of the host: the archive has a newer Dovecot."""
    version = "1:2.3.21+dfsg1-1"
    newer = dict.fromkeys(("dovecot-core", "dovecot-imapd", "dovecot-pop3d"), version)
    changing.hosts["h2"].edit("archive", newer)
    assert changing.run("apply", "kept.json", *CONSENTS) == Exit.STALE
    said = capsys.readouterr().err
    assert "h2: the declaration and the host give another plan than the one that was kept" in said
    assert "other changes: package dovecot-core" in said and "other consents; other effects on services" in said
    assert changing.begun == []


def test_a_host_that_was_declared_since(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    changing.declare(3)
    assert changing.run("apply", "kept.json", *CONSENTS) == Exit.STALE
    assert "declared since: h3" in capsys.readouterr().err
    assert changing.run("plan", "--out", "some.json", "--limit", "h1") == 0
    assert changing.run("apply", "some.json", *CONSENTS) == 0
    assert changing.begun == ["h1"]


@pytest.mark.parametrize("count", [1, 2])
def test_that_it_did_something_once_is_no_claim_of_a_host_as_declared(
    fleet: Fleet, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A change that is added to a plan without any: the host did not move, so that none was made meanwhile."""
    fleet.hosts = {}
    fleet.declare(count)
    assert fleet.run("apply", "--yes") == 0
    assert fleet.run("plan", "--out", "kept.json") == 0
    document = json.loads((fleet.folder / "kept.json").read_bytes())
    add_a_removal(document["hosts"][0])
    refused(fleet, written(document, renewed=True), capsys)


def test_another_machine_is_no_host_that_is_done(changing: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert changing.run("apply", "kept.json", *CONSENTS) == 0
    changing.hosts["h1"].machine = "e" * 32
    assert changing.run("apply", "kept.json", *CONSENTS) == Exit.STALE
    assert "its machine-id is " in capsys.readouterr().err


# --- what is in it


def test_it_holds_no_word_that_moves_with_time_or_place(fleet: Fleet, tmp_path: Path) -> None:
    assert fleet.run("plan", "--out", "one.json") == 0
    for host in fleet.hosts.values():
        host.edit("days", 3)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mail.yaml").write_bytes((tmp_path / "mail.yaml").read_bytes())
    assert fleet.run("plan", "--out", "other.json", "-f", "elsewhere/mail.yaml") == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert (tmp_path / "one.json").stat().st_mode & 0o777 == 0o600
    assert fleet.run("apply", "one.json", "--yes") == 0


def test_what_is_kept_is_what_is_loaded() -> None:
    claim = saved_plan.Claim("h", "i", "m", "d", {"a": "NONE"}, (), (), {Key("file", "/é\n"): "1"}, {})
    text = plan_file.dump(True, [claim])
    assert plan_file.load(text.encode(), "x") == saved_plan.SavedPlan(True, (claim,))
    with pytest.raises(KeptPlanError, match="not as it was written"):
        plan_file.load(plan_file.dump(True, [claim, claim]).encode(), "x")
