"""`status` and `history`, from a host's answer to what people and programs are shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from simulated_host import BASE, HASH, SimulatedHost, Unit, declare

from mailprov import commands as cli
from mailprov.connection.fake import FakeHost
from mailprov.errors import ConnectError
from mailprov.model import HostSpec

Run = Callable[..., tuple[int, str]]
NAME = "20300317T170459Z-abcdef"
LISTENS = "".join(
    f'LISTEN 0 100 0.0.0.0:{port} 0.0.0.0:* users:(("x",pid={port},fd=1))\n'
    f"process\t{port}\t0\t1\t/system.slice/{unit}.service\t\n"
    for port, unit in ((993, "dovecot"), (587, "postfix@-"), (25, "postfix@-"), (22, "ssh"))
)
BY = "anna@desk commit=abc123 3 changes"
SAID = {"by": BY, "who": "anna@desk", "commit": "abc123", "summary": "3 changes"}


def record(*verdicts: str) -> str:
    """A host's history file."""
    text, before = "", b""
    for at, verdict in enumerate(verdicts):
        line = f"{hashlib.sha256(before).hexdigest()} {1_900_083_000 + at} {NAME}{at} {verdict} {BY}\n"
        text, before = text + line, line.encode()
    return text


LAST = f"last {record('applied')}"


@pytest.fixture
def host(tmp_path: Path) -> SimulatedHost:
    """A host that is as declared, and at rest."""
    made = SimulatedHost()
    made.become(declare(tmp_path))
    made.kept = made.kept.replace("transaction 20300601T120000Z-abcdef", f"transaction {NAME}0")
    made.said = {"listeners": LISTENS, "transactions": LAST, "history": record("applied", "reverted")}
    return made


@pytest.fixture
def run(
    host: SimulatedHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """A command line, on two hosts of which the second cannot be reached, unless they are limited."""
    document = yaml.safe_load(BASE.replace("$HASH", HASH))
    document["hosts"]["mail2"] = {"address": "192.0.2.11", "hostname": "mail2.example.com"}
    (tmp_path / "mail.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOB_INITIAL", "correct horse")

    def opened(declared: HostSpec, *, ask: object = None) -> FakeHost:
        if declared.name == "mail2":
            raise ConnectError("no route", where="mail2", why="it is off", fix="turn it on")
        return host.host()

    monkeypatch.setattr("mailprov.connection.connect.open_host", opened)

    def ran(*words: str, limit: str = "mail1") -> tuple[int, str]:
        status = cli.run([*words, *(("--limit", limit) if limit else ())])
        return status, capsys.readouterr().out

    return ran


def open_transaction(host: SimulatedHost, *lines: str, locked: bool = True) -> None:
    held = f"locked {BY}\n" if locked else ""
    events = "".join(f"event {1_900_083_900 + at} {line}\n" for at, line in enumerate(lines))
    host.said["transactions"] = f"open {NAME}\n{held}{events}{LAST}"


def test_idle(run: Run) -> None:
    status, said = run("status")
    assert (status, said.splitlines()) == (
        0,
        [
            "mail1",
            f"  last: 2030-03-18 16:50:00Z  {NAME}0  applied   {BY}",
            "  idle: no apply running, no reload pending",
        ],
    )


def test_nothing_applied(run: Run, host: SimulatedHost) -> None:
    host.kept, host.units, host.said = "", {}, {}
    status, said = run("status")
    assert (status, "nothing has been applied yet" in said) == (0, True)
    assert "declared" not in said and "down" not in said
    assert json.loads(run("status", "--format", "json")[1])["hosts"][0]["state"] == "nothing_applied"


@pytest.mark.parametrize("applied", [True, False], ids=["the last apply wanted it", "it is enabled"])
@pytest.mark.parametrize(
    ("name", "unit", "said"),
    [
        ("dovecot", Unit("failed"), "dovecot is down (failed)"),
        ("dovecot", Unit("inactive"), "dovecot is down (inactive)"),
        ("dovecot", Unit("activating"), "dovecot is down (activating)"),
        ("postfix@-", Unit("failed", "indirect"), "postfix is down (failed)"),
        ("mailprov-firewall", Unit("failed"), "mailprov-firewall is down (failed)"),
    ],
)
def test_a_host_with_a_service_down_is_not_idle(
    run: Run, host: SimulatedHost, name: str, unit: Unit, said: str, applied: bool
) -> None:
    host.units[name] = unit
    host.kept = host.kept if applied else ""
    status, shown = run("status")
    assert status == 0
    assert f"  {said}\n" in shown
    assert "idle" not in shown
    found = json.loads(run("status", "--format", "json")[1])["hosts"][0]
    assert found["state"] == "services_down"
    assert found["services_down"] == [{"service": said.split(" ")[0], "state": said[said.index("(") + 1 : -1]}]


def test_what_the_last_apply_wanted_is_missed_when_it_is_gone(run: Run, host: SimulatedHost) -> None:
    del host.units["dovecot"]
    assert "  dovecot is down (not installed)\n" in run("status")[1]


def test_what_reloads_is_not_down(run: Run, host: SimulatedHost) -> None:
    host.units["dovecot"] = Unit("reloading")
    assert "down" not in run("status")[1]


def test_nobody_misses_what_is_not_wanted(run: Run, host: SimulatedHost) -> None:
    host.kept, host.units["dovecot"] = "", Unit("inactive", "disabled")
    assert "down" not in run("status")[1]


def test_declared_listeners_that_are_not_there(run: Run, host: SimulatedHost) -> None:
    host.said["listeners"] = LISTENS.replace("dovecot", "nginx")
    assert "  declared, but no mail service listens there: 993 (imap)\n" in run("status")[1]
    found = json.loads(run("status", "--format", "json")[1])["hosts"][0]
    assert found["not_listening"] == [{"protocol": "imap", "port": 993}]


def test_a_reload_that_is_pending(run: Run, host: SimulatedHost) -> None:
    host.owed = ["dovecot reload"]
    status, said = run("status")
    assert status == 0
    assert "  reload pending: dovecot reload; the next apply gives it\n" in said
    assert "idle" not in said
    found = json.loads(run("status", "--format", "json")[1])["hosts"][0]
    assert (found["state"], found["reloads_pending"]) == ("reload_pending", ["dovecot reload"])


def test_at_work(run: Run, host: SimulatedHost) -> None:
    open_transaction(host, "begin", "commit", "do 7")
    _, said = run("status")
    assert f"  at work since 2030-03-18 17:05:00Z: {BY}\n    {NAME}: at step 7\n" in said
    assert "idle" not in said
    found = json.loads(run("status", "--format", "json")[1])["hosts"][0]
    assert found["state"] == "at_work"
    assert found["transaction"] == {
        "name": NAME,
        "station": "changing",
        "begun": "2030-03-18T17:05:00Z",
        "since": "2030-03-18T17:05:02Z",
        "step": 7,
        "until": None,
        "reason": "",
        "text": "at step 7",
    }


def test_waiting_for_confirmation(run: Run, host: SimulatedHost) -> None:
    host.clock = datetime(2030, 3, 18, 17, 5, 30, tzinfo=UTC)
    open_transaction(host, "begin", "commit", "do 7", "done 7", f"await 60 {'a' * 64}")
    assert "waiting until 17:06:04Z for confirmation, then puts everything back" in run("status")[1]
    found = json.loads(run("status", "--format", "json")[1])["hosts"][0]
    assert (found["state"], found["at_work"]) == ("waiting_for_confirmation", BY)
    assert found["transaction"]["until"] == "2030-03-18T17:06:04Z"


def test_who_should_have_put_everything_back_by_now(run: Run, host: SimulatedHost) -> None:
    open_transaction(host, "begin", "commit", "do 7", "done 7", f"await 60 {'a' * 64}")
    host.clock = datetime(2030, 3, 18, 17, 6, 20, tzinfo=UTC)
    said = run("status")[1]
    assert "revert incomplete" in said and "is /var/lib/mailprov writable?" in said
    found = json.loads(run("status", "--format", "json")[1])["hosts"][0]
    assert found["state"] == "revert_incomplete"


@pytest.mark.parametrize("locked", [True, False])
def test_a_revert_that_is_incomplete_says_why(run: Run, host: SimulatedHost, locked: bool) -> None:
    open_transaction(host, "commit", "do 7", "revert", "verdict mixed", "stuck 3", "says disk is full", locked=locked)
    _, said = run("status")
    assert f"{NAME}: revert incomplete" in said
    assert "step 3; disk is full" in said
    assert ("goes on trying" in said) == locked
    assert ("nobody is at work" in said) != locked
    found = json.loads(run("status", "--format", "json")[1])["hosts"][0]
    assert (found["state"], found["transaction"]["reason"]) == ("revert_incomplete", "disk is full")


def test_cut_off(run: Run, host: SimulatedHost) -> None:
    open_transaction(host, "begin", "commit", "do 7", locked=False)
    _, said = run("status")
    assert f"  cut off: {NAME}: at step 7; nobody is at work; the next apply settles it first\n" in said
    assert "idle" not in said
    assert json.loads(run("status", "--format", "json")[1])["hosts"][0]["state"] == "cut_off"


def test_a_host_that_cannot_be_read_is_among_the_failed(run: Run) -> None:
    for verb in ("status", "history"):
        status, said = run(verb, "--format", "json", limit="")
        found = json.loads(said)
        assert (status, found["format"], [host["host"] for host in found["hosts"]]) == (7, 1, ["mail1"])
        place = {"host": "mail2", "file": None, "line": None, "column": None, "exit": 1}
        told = {"where": "mail2", "what": "no route", "why": "it is off", "cure": "turn it on"}
        assert found["failed"] == [told | place]


def test_history(run: Run) -> None:
    status, said = run("history")
    assert (status, len(said.splitlines())) == (0, 3)
    assert f"  2030-03-18 16:50:01Z  {NAME}1  reverted  {BY}" in said
    status, said = run("history", "--format", "json")
    assert status == 0
    assert json.loads(said) == {
        "format": 1,
        "report": "history",
        "hosts": [
            {
                "host": "mail1",
                "gap": None,
                "entries": [
                    {"at": "2030-03-18T16:50:00Z", "transaction": f"{NAME}0", "verdict": "applied", **SAID},
                    {"at": "2030-03-18T16:50:01Z", "transaction": f"{NAME}1", "verdict": "reverted", **SAID},
                ],
            }
        ],
        "failed": [],
    }


def test_a_history_with_a_gap_is_shown_and_is_an_error(run: Run, host: SimulatedHost) -> None:
    host.said["history"] = record("applied", "reverted").replace("applied", "failed")
    status, said = run("history")
    assert (status, "reverted" in said) == (1, True)
    status, said = run("history", "--format", "json")
    found = json.loads(said)
    assert (status, found["hosts"][0]["gap"], len(found["hosts"][0]["entries"])) == (1, 2, 2)
    assert found["failed"][0]["what"] == "the record has a gap at line 2"


@pytest.mark.parametrize("said", ["\x1b[2J\x1b]0;title\x07", "\u202egnp.exe", "a\rb"])
def test_what_a_host_says_steers_no_terminal(run: Run, host: SimulatedHost, said: str) -> None:
    open_transaction(host, "revert", "verdict mixed", f"says {said}")
    host.owed = [f"dovecot {said}"]
    _, shown = run("status")
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(shown)
    assert run("status", "--format", "json")[1].isascii()


@pytest.mark.parametrize(
    ("meta", "who", "commit", "summary"),
    [
        (BY, "anna@desk", "abc123", "3 changes"),
        (
            "anna@desk commit=- rollback of 20300101T000000Z-abcdef",
            "anna@desk",
            None,
            "rollback of 20300101T000000Z-abcdef",
        ),
        ("anna@desk commit=v1-3-gabc-dirty", "anna@desk", "v1-3-gabc-dirty", ""),
        ("an older line", None, None, "an older line"),
        ("an na@desk commit=abc x", None, None, "an na@desk commit=abc x"),
        ("a commit= b", None, None, "a commit= b"),
        ("a commit=b commit=c d", "a", "b", "commit=c d"),
        ("", None, None, ""),
    ],
)
def test_who_which_commit_and_what_are_told_apart(
    host: SimulatedHost, run: Run, meta: str, who: str | None, commit: str | None, summary: str
) -> None:
    host.said["history"] = record("applied").replace(BY, meta)
    _, said = run("history", "--format", "json")
    (entry,) = json.loads(said)["hosts"][0]["entries"]
    assert (entry["by"], entry["who"], entry["commit"], entry["summary"]) == (meta, who, commit, summary)
