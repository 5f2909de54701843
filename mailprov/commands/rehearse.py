"""mailprov rehearse."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.lab import Lab, LabHost
from mailprov.observer import Failed
from mailprov.report import text
from mailprov.report.text import Line
from mailprov.workflows.rehearse import rehearse as rehearse_one
from mailprov.workflows.secrets import APPLY, SESSION, require
from mailprov.workflows.selection import hosts, load


@click.command("rehearse")
@declaration
@click.option("--release", type=click.Choice(["bullseye", "bookworm", "trixie"]), default="bookworm", show_default=True)
@click.option("--keep", is_flag=True, help="Leave the hosts running until Enter or Ctrl-C.")
def command(file: Path, limit: tuple[str, ...], release: str, keep: bool) -> Exit:
    """Boot a disposable Debian host for each declared one; apply, verify, plan again, and throw them away.

    Needs Linux, root and systemd-nspawn on this machine. The declared hosts are not touched.
    """
    terminal, reads = Terminal(yes=True), APPLY - SESSION
    spec = load(file, reads, terminal)
    chosen = hosts(spec, limit)
    require(spec, chosen, reads)
    failures: list[MailprovError] = []
    with Lab(progress=lambda line: console.say(f"  {line}", "dim")) as lab:
        for declared in chosen:
            name = declared.name
            console.say(f"{name}: booting a disposable {release}")
            machine = lab.boot(name, release)

            def begun(whose: str, name: str = name) -> None:
                console.show([Line(f"{name}  {whose}", "head")])

            try:
                rehearse_one(
                    spec, declared, machine, terminal, begun, lambda made: console.show(text.verification(made))
                )
                told = "rehearsed: applied, verified, and a second plan is empty"
                console.show([Line(f"{name}  {told}", "good")])
            except MailprovError as error:
                error.where = error.where or name
                failures.append(error)
                terminal.tell(Failed(error))
            if keep:
                console.say(f"  {name} stays up: {_login(machine)}", "head")
        if keep:
            _wait()
    return worst(failures, len(chosen))


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
