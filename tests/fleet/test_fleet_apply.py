"""A rollout from the command line to the report, its hosts in memory: kept plans, and all that comes between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fleet_in_memory import Fleet

from mailprov import commands as cli
from mailprov.engine.saved_plan import stale
from mailprov.errors import Exit, MailprovError, StalePlanError
from mailprov.workflows import fleet as fleets
from mailprov.workflows import open_hosts
from mailprov.workflows import session as sessions


def verdicts(out: str) -> dict[str, str]:
    return {host["host"]: host["verdict"] for host in json.loads(out)["hosts"]}


JSON = ("--format", "json")


# --- a kept plan


@pytest.mark.parametrize("limit", [(), ("--limit", "h1")])
def test_a_plan_without_changes_is_no_word_about_hosts_that_nobody_looked_at(
    fleet: Fleet, limit: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleet.run("apply", "--yes") == 0
    assert fleet.run("plan", "--out", "kept.json") == 0
    assert fleet.run("apply", "kept.json", "--yes", *limit) == 0
    assert sorted(fleet.opened) == (["h1"] if limit else sorted(fleet.hosts))
    fleet.hosts["h1"].entries.clear()
    assert fleet.run("apply", "kept.json", "--yes", *limit) == Exit.STALE
    assert "h1: the host changed after it was looked at" in capsys.readouterr().err
    assert fleet.begun == []
    fleet.gone = set(fleet.hosts)
    assert fleet.run("apply", "kept.json", "--yes", *limit) != 0


def test_the_session_of_the_look_is_the_one_of_the_change(fleet: Fleet) -> None:
    names = [*fleet.hosts]
    assert fleet.run("apply", "--yes") == 0
    assert sorted(fleet.opened) == fleet.begun == sorted(fleet.closed) == names
    assert fleet.run("apply", "--yes") == 0
    assert sorted(fleet.opened) == sorted(fleet.closed) == names and fleet.begun == []


@pytest.mark.parametrize(("name", "value", "again"), [("SECONDS", 0.0, 5), ("MOST", 2, 3)])
def test_a_session_that_is_not_kept_is_opened_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, name: str, value: float, again: int
) -> None:
    monkeypatch.setattr(open_hosts, name, value)
    assert fleet.run("apply", "--yes") == 0
    assert sorted(fleet.begun) == [*fleet.hosts]
    assert len(fleet.opened) == len(fleet.closed) == len(fleet.hosts) + again


def test_what_is_not_agreed_to_leaves_no_session(fleet: Fleet) -> None:
    assert fleet.run("apply") == Exit.UNSAFE
    assert sorted(fleet.closed) == sorted(fleet.opened) == [*fleet.hosts]


def test_what_was_cut_off_goes_on_with_the_same_plan(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_hosts, "SECONDS", 0.0)
    assert fleet.run("plan", "--out", "kept.json") == 0
    fleet.before = lambda name: fleet.gone.add("h3")
    capsys.readouterr()
    assert fleet.run("apply", "kept.json", "--yes", *JSON) == Exit.PARTIAL
    assert [*verdicts(capsys.readouterr().out).values()] == ["applied", "applied", "failed", "waiting", "waiting"]
    fleet.before = lambda name: None
    assert fleet.run("apply", "kept.json", "--yes", *JSON) == Exit.PARTIAL, "who cannot be reached has failed"
    assert fleet.begun == []
    capsys.readouterr()
    fleet.gone = set()
    assert fleet.run("apply", "kept.json", "--yes", *JSON) == 0
    assert [*verdicts(capsys.readouterr().out).values()] == ["unchanged", "unchanged", "applied", "applied", "applied"]


def test_what_moved_since_is_no_host_that_is_done(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.run("plan", "--out", "kept.json") == 0
    fleet.hosts["h1"].users["somebody"] = "vmail:x:1:1::/:/bin/sh\n"
    fleet.hosts["h1"].packages_["postfix"] = "1.0"
    capsys.readouterr()
    assert fleet.run("apply", "kept.json", "--yes", *JSON) == Exit.STALE
    said = capsys.readouterr()
    assert [*verdicts(said.out).values()] == ["failed", "waiting", "waiting", "waiting", "waiting"]
    assert "moved: package postfix" in said.err
    assert fleet.begun == []
    assert fleet.run("apply", "kept.json", "--yes", "--max-failures", "1", *JSON) == Exit.PARTIAL
    assert fleet.begun == ["h2", "h3", "h4", "h5"], "the others are what they were"


def test_a_plan_is_for_its_own_hosts(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.run("plan", "--out", "all.json") == 0
    assert fleet.run("plan", "--out", "one.json", "--limit", "h1") == 0
    hosts = fleet.document["hosts"]
    hosts["other"] = hosts.pop("h1")
    fleet.document["groups"] = {"h1": {"hosts": ["other"]}}
    for plan in ("one.json", "all.json"):
        assert fleet.run("apply", plan, "--yes") == Exit.STALE
        assert "not declared any more: h1" in capsys.readouterr().err
    assert fleet.begun == []


def test_the_declaration_may_be_elsewhere_now(fleet: Fleet, tmp_path: Path) -> None:
    assert fleet.run("plan", "--out", "kept.json") == 0
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mail.yaml").rename(tmp_path / "elsewhere/mail.yaml")
    words = ["apply", "kept.json", "--yes", "-f"]
    assert cli.run(words[:-1]) == Exit.INVALID, "the plan names no file: it is -f, or mail.yaml here"
    assert cli.run([*words, "absent.yaml"]) == Exit.INVALID
    assert cli.run([*words, "elsewhere/mail.yaml"]) == 0


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"[" * 200_000, b"[1]", b"mailprov: 1\n", b"", b'{"format": "mail'],
    ids=["no-text", "deep", "list", "yaml", "empty", "cut"],
)
def test_what_is_no_plan(fleet: Fleet, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept.json").write_bytes(data)
    assert fleet.run("apply", "kept.json", "--yes") == Exit.INVALID
    said = capsys.readouterr().err
    assert "kept.json: this is not a plan" in said
    assert "mailprov apply -f mail.yaml" in said


# --- where a plan is kept, and when not


@pytest.mark.parametrize("out", ["", ".", "/", "folder", "link", "absent/plan.json"])
def test_a_plan_replaces_nothing_but_a_plan(fleet: Fleet, tmp_path: Path, out: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert fleet.run("plan", "--out", out) == Exit.ERROR
    assert fleet.opened == []
    assert (tmp_path / "link").is_symlink()
    assert not [*tmp_path.glob("*.new")]


def test_programs_are_told_of_hosts_without_a_plan(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.gone = {"h2"}
    assert fleet.run("plan", *JSON, "--out", "kept.json") == Exit.PARTIAL
    said = capsys.readouterr()
    place = {"host": "h2", "file": None, "line": None, "column": None, "exit": 1}
    told = [{"where": "h2", "what": "no answer", "why": "", "cure": "", **place}]
    assert json.loads(said.out)["failed"] == told
    assert "not kept in kept.json" in said.err
    assert fleet.run("plan", "--format", "markdown") == Exit.PARTIAL
    assert "❌ `h2`: no answer" in capsys.readouterr().out
    fleet.gone = set(fleet.hosts)
    assert fleet.run("plan", *JSON) == Exit.PARTIAL
    assert len(json.loads(capsys.readouterr().out)["failed"]) == 5


def test_what_nobody_agreed_to_is_in_the_report(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.run("apply", "--yes", "--limit", "h1") == 0
    capsys.readouterr()
    assert fleet.run("apply", *JSON) == Exit.UNSAFE
    out, err = capsys.readouterr()
    hosts = json.loads(out)["hosts"]
    assert [host["verdict"] for host in hosts] == ["unchanged", *["failed"] * 4] and fleet.begun == []
    assert {host["error"]["what"] in err for host in hosts[1:]} == {True}
    assert all(len(host["plan"]["changes"]) == host["changes"] for host in hosts)


def test_a_shard_without_hosts_is_done(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.run("plan", *JSON, "--shard", "7/8", "--out", "kept.json") == 0
    assert json.loads(capsys.readouterr().out)["hosts"] == []
    assert fleet.run("apply", "kept.json", "--yes") == 0


# --- before anything is begun


@pytest.mark.parametrize("limit", [(), ("--limit", "h1")])
@pytest.mark.parametrize("words", [("--batch", "bananas"), ("--batch", "0"), ("--executor", "bananas")])
def test_a_wrong_option_makes_no_password(
    fleet: Fleet, tmp_path: Path, words: tuple[str, str], limit: tuple[str, ...]
) -> None:
    fleet.document["users"].append({"address": "new@example.com"})
    assert fleet.run("apply", "--yes", *words, *limit) == Exit.ERROR
    assert fleet.begun == []
    assert not (tmp_path / "handout").exists()


# --- what comes between


def test_a_mistake_on_one_host_is_one_hosts(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(name: str) -> None:
        if name == "h4":
            raise ValueError("secret")

    fleet.before = fail
    assert fleet.run("apply", "--yes", "--batch", "100%", *JSON) == Exit.PARTIAL
    said = capsys.readouterr()
    assert [*verdicts(said.out).values()] == ["applied", "applied", "applied", "unknown", "applied"]
    assert "ValueError" in said.err
    assert "secret" not in said.err


def test_whoever_interrupts_gets_a_report(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fleets, "CHANGES", 1)
    held = threading.Event()

    def interrupt(name: str) -> None:
        if name == "h2":
            held.wait(0.3)  # until the main thread waits
            os.kill(os.getpid(), signal.SIGINT)
            held.wait(0.3)  # until it has heard of it

    fleet.before = interrupt
    assert fleet.run("apply", "--yes", "--batch", "3", *JSON) == Exit.PARTIAL
    said = capsys.readouterr()
    assert [*verdicts(said.out).values()] == ["applied", "applied", "waiting", "waiting", "waiting"]
    assert "nothing more is begun; waiting for 1 at work" in said.err
    assert fleet.begun == ["h1", "h2"]


def test_whoever_should_do_the_work_is_gone(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there, times = fleets.executor, iter(range(9))

    @contextmanager
    def until_the_third(where: str, most: int) -> Iterator[Any]:
        if next(times) == 2:
            raise MailprovError("no Dask scheduler answers", where=where)
        with there(where, most) as pool:
            yield pool

    monkeypatch.setattr(fleets, "executor", until_the_third)
    assert fleet.run("apply", "--yes", "--batch", "2", *JSON) == Exit.PARTIAL
    said = capsys.readouterr()
    assert [*verdicts(said.out).values()] == ["applied", "waiting", "waiting", "waiting", "waiting"]
    assert "no Dask scheduler answers" in said.err


def test_one_passphrase_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sessions, "_answers", {})

    def ask(text: str) -> Any:
        asked.append(text)
        return object()

    one, other = sessions._asker(ask), sessions._asker(ask)
    assert one("passphrase of id") is other("passphrase of id")
    assert asked == ["passphrase of id"]
    wrong = one("passphrase of id")
    assert wrong is not None
    assert asked == ["passphrase of id"] * 2, "what is asked for again was wrong"
    assert other("passphrase of id") is wrong
    other("passphrase of another")
    assert asked[2:] == ["passphrase of another"]


_HASHERS = """
import time
from concurrent.futures import ThreadPoolExecutor
from mailprov.model import Secret
from mailprov.credentials.passwords import sha512_crypt

def hash(number):
    time.sleep(number * 0.0003)  # one after another while the first one still loads what it needs
    return sha512_crypt(Secret("x")).reveal()[:3]

with ThreadPoolExecutor(64) as pool:
    print(set(pool.map(hash, range(64))))
"""


def test_many_hosts_need_their_first_hash_at_about_the_same_time() -> None:
    done = subprocess.run((sys.executable, "-c", _HASHERS), capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{'{SH'}\n", "")


def test_stale_names_what_moved() -> None:
    error = stale({}, {}, "h1")
    assert isinstance(error, StalePlanError)
    assert "something that is not shown" in str(error)
