"""Whoever interrupts an apply is told what each host does now: a fake journal, interrupted at each station."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from fleet_in_memory import Fleet
from simulated_host import SimulatedHost

from mailprov.connection.fake import FakeHost
from mailprov.engine import transaction
from mailprov.model import Completed, HostSpec
from mailprov.workflows import run_plan

AT = 1_900_083_900  # 17:05:00
JSON = ("--format", "json")


class Journal(FakeHost):
    """A session with a simulated host, whose transactions say `lines`; then `at_end` has its turn."""

    def __init__(self, name: str, host: SimulatedHost, lines: tuple[str, ...], at_end: Callable[[str], None]) -> None:
        super().__init__(name, host.respond)
        self._lines = lines
        self._at_end = at_end

    def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        if argv[2:3] != (transaction.START,):
            return super().run(argv, stdin=stdin, timeout=timeout, on_line=on_line)
        assert on_line is not None
        for at, line in enumerate(self._lines):
            on_line(f"{AT + at} {line}")
        self._at_end(self.name)
        on_line(f"{AT + 99} verdict applied")
        return Completed(0, b"", b"")


class Interrupted:
    """Command lines on `count` hosts whose journals say `lines`, and then do `at_end`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._fleet, self._capsys = Fleet(folder), capsys
        self.lines: tuple[str, ...] = ()
        self.at_end: Callable[[str], None] = _interrupt
        monkeypatch.chdir(folder)
        monkeypatch.setenv("BOB_INITIAL", "correct horse")
        monkeypatch.setattr("mailprov.connection.connect.open_host", self._open)
        monkeypatch.setattr(run_plan.Confirmation, "give", lambda *_: None)

    def _open(self, declared: HostSpec, *, ask: object = None) -> FakeHost:
        return Journal(declared.name, self._fleet.hosts[declared.name], self.lines, self.at_end)

    def apply(self, count: int = 1, *words: str, yes: bool = True) -> tuple[int, str, Any]:
        self._fleet.declare(count)
        status = self._fleet.run("apply", *(["--yes"] if yes else []), *words)
        said = self._capsys.readouterr()
        return status, said.err, json.loads(said.out) if said.out.startswith("{") else said.out


def _interrupt(name: str) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Interrupted:
    return Interrupted(tmp_path, monkeypatch, capsys)


BEGUN = ("begin", "do 1", "done 1", "validate", "commit", "do 7")
AWAITS = (*BEGUN, "done 7", "health", f"await 60 {'a' * 64}")


@pytest.mark.parametrize(
    ("lines", "said", "verdict"),
    [
        ((), "it may go on by itself: it was just being handed the work", "unknown"),
        (BEGUN[:2], "it goes on by itself: it is at step 1 of ", "unknown"),
        (BEGUN, "; then it waits 60 seconds for a confirmation, and puts everything back without one", "unknown"),
        (AWAITS, "it is waiting until 17:06:08Z for confirmation, then puts everything back", "unknown"),
        ((*AWAITS, "confirmed"), "it is confirmed: the change stays", "unknown"),
        ((*BEGUN, "failed 7", "revert"), "it goes on by itself: it is putting everything back", "unknown"),
        ((*BEGUN, "failed 7", "revert", "verdict mixed"), "revert incomplete: goes on trying", "unknown"),
        ((*BEGUN, "failed 7", "revert", "verdict reverted"), "it had ended: everything was put back", "reverted"),
        ((*AWAITS, "confirmed", "verdict applied"), "it had ended: the change is applied", "applied"),
        (("says bob", "verdict locked"), "it had ended: it did not begin, and nothing was touched", "failed"),
    ],
)
def test_each_station(case: Interrupted, lines: tuple[str, ...], said: str, verdict: str) -> None:
    case.lines = lines
    status, err, out = case.apply(1, *JSON)
    assert status == 1
    assert "Error: h1: interrupted: " in err
    assert said in err
    assert "look with `mailprov status`" in err
    [host] = out["hosts"]
    assert (host["verdict"], said in host["error"]["what"]) == (verdict, True)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_before_anything_was_handed_over(
    case: Interrupted, count: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object, **__: object) -> bool:
        raise error

    monkeypatch.setattr("mailprov.commands.console.interactive", lambda: True)
    monkeypatch.setattr(click, "confirm", ask)
    status, err, _ = case.apply(count, yes=False)
    assert status == 1
    assert "interrupted: nothing was changed" in err


def test_a_fleet_is_told_of_each_host_at_work_and_waited_for(case: Interrupted) -> None:
    both, gone_on = threading.Barrier(2), threading.Event()

    def at_end(name: str) -> None:
        if both.wait(10) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        gone_on.wait(1)

    case.lines, case.at_end = BEGUN, at_end
    status, err, out = case.apply(3, "--canary", "2", *JSON)
    assert [host["verdict"] for host in out["hosts"]] == ["applied", "applied", "waiting"]
    assert out["hosts"][2]["error"]["what"] == "not begun: interrupted"
    assert status == 7
    assert "now h3" not in err
    assert "interrupted: nothing more is begun; waiting for 2 at work" in err
    assert "\n  h1: at step 7 of " in err
    assert "\n  h2: at step 7 of " in err


def test_a_fleet_that_is_interrupted_twice_is_left_to_itself(case: Interrupted) -> None:
    both, over = threading.Barrier(2), threading.Event()
    ended: list[str] = []

    def at_end(name: str) -> None:
        if both.wait(10) == 0:
            os.kill(os.getpid(), signal.SIGINT)
            over.wait(0.5)
            os.kill(os.getpid(), signal.SIGINT)
        over.wait(10)
        ended.append(name)

    case.lines, case.at_end = BEGUN, at_end
    status, err, _ = case.apply(3, "--canary", "2")
    still = list(ended)
    over.set()
    assert status == 1
    assert still == [], "who interrupts twice waits for nobody"
    assert "Error: interrupted: 0 hosts had ended, 2 are at work" in err
    for name in ("h1", "h2"):
        assert f"\n  {name}: it goes on by itself: it is at step 7 of " in err
    assert "to do: look with `mailprov status`" in err
