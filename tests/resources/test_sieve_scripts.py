"""Sieve scripts as managed things: what is right, what differs, what is done; and the host's functions for them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mailprov.model import Action, Backup, Change, Reason, listing
from mailprov.resources import scripts
from mailprov.resources.scripts import Script, script

WANTED = script("/etc/x/before.sieve", "stop;\n")
LIVE = replace(WANTED, binary="1" * 64, content=None)


def change(before: Script | None, after: Script | None) -> Change:
    action = Action.REMOVE if after is None else Action.CREATE if before is None else Action.UPDATE
    delta = scripts.delta(before, after)
    return Change(WANTED.key, action, Reason.PENDING, before, after, delta, scripts.effects(before, after))


def test_it_is_right_with_the_binary_that_was_compiled() -> None:
    assert scripts.same(WANTED, LIVE, "1" * 64)
    assert not scripts.same(WANTED, LIVE, "2" * 64)
    assert not scripts.same(WANTED, replace(LIVE, binary=""), "")
    for other in (
        replace(LIVE, digest="0"),
        replace(LIVE, attributes=("600", "root", "root")),
        replace(LIVE, beside=("file", "600", "root", "root")),
        replace(LIVE, type="symlink"),
    ):
        assert not scripts.same(WANTED, other, "1" * 64)
    assert not scripts.moved(LIVE, WANTED.fingerprint, "1" * 64)
    assert scripts.moved(replace(LIVE, digest="0"), WANTED.fingerprint, "1" * 64)
    assert scripts.moved(LIVE, WANTED.fingerprint, "2" * 64)


def test_how_it_differs_is_shown() -> None:
    old = replace(LIVE, digest="0", content=b"keep;\n")
    assert change(old, WANTED).delta.summary == "content, compile"
    assert [line for line in change(old, WANTED).delta.detail if line[:1] in "+-"][2:] == ["-keep;", "+stop;"]
    assert change(replace(LIVE, binary=""), WANTED).delta.summary == "compile"
    assert change(None, WANTED).delta.detail[-1] == "+stop;"
    assert change(LIVE, None).delta.summary == "remove"
    assert change(replace(LIVE, digest="0"), WANTED).delta.detail == ()


def test_what_is_in_the_way_is_named() -> None:
    assert scripts.obstacles(LIVE, WANTED, {}) == ()
    found = scripts.obstacles(replace(LIVE, type="symlink", beside=("directory", "755", "a", "b")), WANTED, {})
    assert [path for path, _ in found] == ["/etc/x/before.sieve", "/etc/x/before.svbin"]


def test_each_step_is_compiled_where_it_is_staged() -> None:
    (step,) = scripts.steps([change(None, WANTED)])
    assert step.stage == ("compile_script", "@", WANTED.path) and step.payload == b"stop;\n"
    (step,) = scripts.steps([change(LIVE, None)])
    assert step.do[0] == "drop_script" and step.undo[0] == "former_script"
    copy = listing.Listed("1", "file", "644", "root", "root", "0" * 64)
    binary = replace(copy, path="1.svbin", sha256="2" * 64)
    copies = {"": copy, ".svbin": binary}
    backup = Backup(WANTED.key, "/kept/1", copies, {}, "", False, None, (), ())
    back = scripts.restored(backup, LIVE)
    assert back and (back.digest, back.binary, back.kept) == ("0" * 64, "2" * 64, "/kept/1")
    (step,) = scripts.steps([change(LIVE, back)])
    assert step.stage == ("take_script", "@", "/kept/1", "0" * 64, WANTED.path)
    assert scripts.restored(replace(backup, copies={}), LIVE) is None


# --- the host's own functions


def test_a_binary_counts_where_it_is_newer(tmp_path: Path, probed: object) -> None:
    for name, age in (("fresh", 1), ("stale", 0), ("bare", None)):
        text = tmp_path / f"{name}.sieve"
        text.write_text("stop;\n")
        if age is not None:
            (tmp_path / f"{name}.svbin").write_text(name)
            os.utime(tmp_path / f"{name}.svbin", ns=(0, text.stat().st_mtime_ns + age * 10**9))
    (tmp_path / "managed").write_text(f"{tmp_path}/stale.sieve\n{tmp_path}/other\n")
    answer = probed(tmp_path, "scripts", f"{tmp_path}/fresh.sieve", f"{tmp_path}/bare.sieve")  # type: ignore[operator]
    found = {Path(item.path).stem: item for item in scripts.read({"scripts": answer}).values()}
    assert {name: bool(item.binary) for name, item in found.items()} == {"fresh": True, "stale": False, "bare": False}
    assert found["bare"].beside is None and found["stale"].beside is not None


@pytest.fixture
def probed() -> object:
    import subprocess

    from mailprov.engine import probe
    from mailprov.standard import REGISTRY

    def ask(state: Path, *words: str) -> str:
        script = f'{probe.functions(REGISTRY)}\nSTATE="{state}"\n"$@"\n'
        return subprocess.run(["dash", "-c", script, "probe", *words], capture_output=True, text=True).stdout

    return ask
