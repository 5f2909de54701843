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
from mailprov.lab import Lab, LabHost
from mailprov.model import HostSpec, Spec
from mailprov.observer import Failed
from mailprov.report import junit, text
from mailprov.report.json import check, document, errors
from mailprov.report.text import Line
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
@reported("json", files=("junit",))
def command(outputs: Outputs, file: Path, limit: tuple[str, ...], release: str, keep: bool) -> Exit:
    """Boot a disposable Debian host for each declared one; apply, verify, plan again, and throw them away.

    Needs Linux, root and systemd-nspawn on this machine. The declared hosts are not touched.
    """
    terminal, reads = Terminal(yes=True, err=not outputs.text), APPLY - SESSION
    spec = load(file, reads, terminal)
    chosen = hosts(spec, limit)
    require(spec, chosen, reads)
    done: list[Rehearsal] = []
    with Lab(progress=lambda line: console.say(f"  {line}", "dim")) as lab:
        for declared in chosen:
            console.say(f"{declared.name}: booting a disposable {release}")
            machine = lab.boot(declared.name, release)
            done.append(_rehearsed(spec, declared, machine, terminal))
            if keep:
                console.say(f"  {declared.name} stays up: {_login(machine)}", "head")
        # Before anybody looks at the hosts: the report does not wait for that.
        outputs.give(
            json=lambda: _json(done, release),
            junit=lambda: junit.junit(
                junit.rehearsed(each.host, each.checks, each.seconds, each.error) for each in done
            ),
        )
        if keep:
            _wait()
    return worst([each.error for each in done if each.error], len(chosen))


def _rehearsed(spec: Spec, declared: HostSpec, machine: LabHost, terminal: Terminal) -> Rehearsal:
    """How it went on one host, which is told as it goes."""
    seen: list[Check] = []
    error: MailprovError | None = None
    begun = time.monotonic()

    def show(*lines: Line) -> None:
        console.show(lines, err=terminal.err)

    def look(made: Sequence[Check]) -> None:
        seen.extend(made)
        show(*text.verification(made))

    try:
        name = declared.name
        rehearse_one(spec, declared, machine, terminal, lambda whose: show(Line(f"{name}  {whose}", "head")), look)
        show(Line(f"{name}  rehearsed: applied, verified, and a second plan is empty", "good"))
    except MailprovError as wrong:
        error = wrong
        error.at(declared.name)
        terminal.tell(Failed(error))
    return Rehearsal(declared.name, seen, time.monotonic() - begun, error)


def _json(done: Sequence[Rehearsal], release: str) -> str:
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
    return document("rehearse", rehearsed=not failed, release=release, hosts=told, failed=errors(failed))


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
