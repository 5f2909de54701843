"""mailprov apply."""

from __future__ import annotations

import getpass
import secrets
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from mailprov.apply import Survey, survey
from mailprov.apply import apply as carry_out
from mailprov.errors import ConsentError, Exit, MailprovError, VerifyError
from mailprov.host import Host
from mailprov.model import HostSpec, Spec
from mailprov.plan import steps
from mailprov.report import effects, text
from mailprov.report.text import Line
from mailprov.transaction import Event
from mailprov.verbs import console, outside
from mailprov.verbs.session import hosts, load, session, worst


def apply(file: Path, limit: Sequence[str], *, details: bool, yes: bool) -> Exit:
    """Host by host: plan, ask, change, check from outside."""
    spec = load(file)
    chosen = hosts(spec, limit)
    failures: list[MailprovError] = []
    for declared in chosen:
        try:
            with session(declared) as host:
                one(spec, declared, host, details=details, yes=yes)
        except MailprovError as error:
            error.where = error.where or declared.name
            failures.append(error)
            console.say(f"Error: {error}", "bad")
    return worst(failures, len(chosen))


def one(spec: Spec, declared: HostSpec, host: Host, *, details: bool, yes: bool) -> None:
    """Apply to one host.

    Raises ConsentError when nobody agreed, the errors of mailprov.apply.apply, and VerifyError when clients are not
    served what was declared.
    """
    with console.doing(f"looking at {declared.name}"):
        found = survey(spec, declared, host)
    console.show(text.plan(found.plan, details=details))
    if not found.plan.empty:
        _consent(found, yes)
        begun = time.monotonic()
        _transact(found, declared, host)
        done = f"  applied in {time.monotonic() - begun:.1f} s; {effects(found.plan)}"
        console.show([Line(done, "good")])
    _check(declared, host, quick=not found.plan.effects)


def _consent(found: Survey, yes: bool) -> None:
    if yes:
        return
    if not console.interactive():
        raise ConsentError(
            "there is no terminal to ask at", where=found.plan.host, cure="look at `mailprov plan`, then add --yes"
        )
    if not click.confirm(f"Apply {len(found.plan.changes)} changes to {found.plan.host}?", err=True):
        raise ConsentError("not applied, as you said", where=found.plan.host)


def _transact(found: Survey, declared: HostSpec, host: Host) -> None:
    acts = steps(found.plan)
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ-") + secrets.token_hex(3)
    holder = f"{getpass.getuser()}@{socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z ({name})\n"

    def show(event: Event) -> None:
        if event.name == "do" and event.text.isdigit():
            console.say(f"  {event.text:>3}/{len(acts)} {acts[int(event.text) - 1].what}", "dim")
        elif event.name in ("validate", "health", "revert"):
            console.say(f"  {_WORDS[event.name]}", "dim")

    carry_out(found, declared, host, acts, transaction_id=name, holder=holder, on_event=show)


_WORDS = {
    "validate": "validating the staged configuration with the host's own programs",
    "health": "checking each listener on the host",
    "revert": "something failed: putting everything back",
}


def _check(declared: HostSpec, host: Host, *, quick: bool) -> None:
    """What clients are served, seen from here; a quick look where no daemon was touched."""
    if quick:
        return
    with console.doing(f"looking at {declared.name} as a client"):
        checks = outside.listeners(declared, host)
    console.show(text.problems(checks))
    failed = [check for check in checks if check.failed]
    if failed:
        first = failed[0]
        raise VerifyError(
            f"{first.endpoint}: {first.step} failed: {first.detail}",
            where=declared.name,
            why="the host applied everything, but this is what a client sees from here",
            cure="look for a firewall between here and the host, then run `mailprov verify`",
        )
    console.show([Line(f"  every listener answers as declared, seen from here ({len(checks)} checks)", "good")])
