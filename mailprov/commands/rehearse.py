"""mailprov rehearse."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from mailprov.checks import Check
from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.expectations.model import Outcome, Verdict
from mailprov.lab import Lab, LabHost
from mailprov.model import HostSpec, Spec
from mailprov.observer import Failed
from mailprov.report import expectations as report
from mailprov.report import junit, text
from mailprov.report.json import check, document, errors
from mailprov.report.text import Line
from mailprov.workflows.expectations import Judging
from mailprov.workflows.expectations import load as load_expectations
from mailprov.workflows.rehearse import rehearse as rehearse_one
from mailprov.workflows.secrets import APPLY, SESSION, require
from mailprov.workflows.selection import hosts, load


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a client saw of one host, how long it took in all, and why it failed, if it did."""

    host: str
    checks: Sequence[Check]
    seconds: float
    error: MailprovError | None


@click.command("rehearse")
@declaration
@click.option("--release", type=click.Choice(["bullseye", "bookworm", "trixie"]), default="bookworm", show_default=True)
@click.option("--keep", is_flag=True, help="Leave the hosts running until Enter or Ctrl-C.")
@click.option("--test", "judge", is_flag=True, help="Judge what is expected in tests/ (see `mailprov test`), too.")
@reported("json", files=("junit",))
def command(outputs: Outputs, file: Path, limit: tuple[str, ...], release: str, keep: bool, judge: bool) -> Exit:
    """Boot a disposable Debian host for each declared one; apply, verify, plan again, and throw them away.

    Needs Linux, root and systemd-nspawn on this machine. The declared hosts are not touched. With --test, ports are
    asked and logins tried as a team's expectations want it: exit 9 where something does not hold.
    """
    terminal, reads = Terminal(yes=True, err=not outputs.text), APPLY - SESSION
    spec = load(file, reads, terminal)
    chosen = hosts(spec, limit)
    require(spec, chosen, reads)
    judging = Judging(spec, load_expectations(file, (), spec), chosen) if judge else None
    done: list[Rehearsal] = []
    with Lab(progress=lambda line: console.say(f"  {line}", "dim")) as lab:
        for declared in chosen:
            console.say(f"{declared.name}: booting a disposable {release}")
            machine = lab.boot(declared.name, release)
            done.append(_rehearsed(spec, declared, machine, terminal, judging))
            if keep:
                console.say(f"  {declared.name} stays up: {_login(machine)}", "head")
        # Before anybody looks at the hosts: the report does not wait for that.
        verdicts = _judged(judging, terminal)
        outputs.give(json=lambda: _json(done, release, verdicts), junit=lambda: _junit(done, verdicts))
        if keep:
            _wait()
    failed = [each.error for each in done if each.error]
    if not failed and report.of(verdicts or (), Outcome.FAILS):
        return Exit.UNVERIFIED
    return worst(failed, len(chosen))


def _judged(judging: Judging | None, terminal: Terminal) -> Sequence[Verdict] | None:
    """How what is expected stands, which is told; None where nobody wants to know."""
    if judging is None:
        return None
    judging.declared()
    verdicts = judging.verdicts()
    console.show([*report.text(verdicts), report.total(verdicts)], err=terminal.err)
    return verdicts


def _rehearsed(
    spec: Spec, declared: HostSpec, machine: LabHost, terminal: Terminal, judging: Judging | None
) -> Rehearsal:
    """How it went on one host, which is told as it goes."""
    seen: list[Check] = []
    error: MailprovError | None = None
    begun, name = time.monotonic(), declared.name

    def show(*lines: Line) -> None:
        console.show(lines, err=terminal.err)

    def look(made: Sequence[Check]) -> None:
        seen.extend(made)
        show(*text.verification(made))

    def begun_as(whose: str) -> None:
        show(Line(f"{name}  {whose}", "head"))

    try:
        rehearse_one(spec, declared, machine, terminal, begun_as, look, judging.rehearsed if judging else None)
        show(Line(f"{name}  rehearsed: applied, verified, and a second plan is empty", "good"))
    except MailprovError as wrong:
        error = wrong
        error.at(declared.name)
        terminal.tell(Failed(error))
    return Rehearsal(declared.name, seen, time.monotonic() - begun, error)


def _junit(done: Sequence[Rehearsal], verdicts: Sequence[Verdict] | None) -> str:
    seen = [junit.rehearsed(each.host, each.checks, each.seconds, each.error) for each in done]
    return junit.junit([*seen, *report.suites(verdicts or ())])


def _json(done: Sequence[Rehearsal], release: str, verdicts: Sequence[Verdict] | None) -> str:
    told = [
        {
            "host": each.host,
            "rehearsed": each.error is None,
            "seconds": round(each.seconds, 3),
            "checks": list(map(check, each.checks)),
        }
        for each in done
    ]
    failed = [each.error for each in done if each.error]
    judged = None if verdicts is None else list(map(report.entry, verdicts))
    whole = {"rehearsed": not failed, "release": release, "hosts": told, "expectations": judged}
    return document("rehearse", **whole, failed=errors(failed))


def _login(machine: LabHost) -> str:
    options = f"-i {machine.identity_file} -o UserKnownHostsFile={machine.known_hosts}"
    return f"ssh {options} root@{machine.address}"


def _wait() -> None:
    if sys.stdin.isatty():
        click.pause("Press Enter to throw the hosts away", err=True)
        return
    with suppress(KeyboardInterrupt):
        console.say("the hosts stay until this is interrupted (Ctrl-C, SIGTERM)", "head")
        signal.pause()
