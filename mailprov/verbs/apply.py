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

from mailprov.apply import Survey, answer, survey
from mailprov.apply import apply as carry_out
from mailprov.errors import ConsentError, Exit, MailprovError
from mailprov.host import Host
from mailprov.model import HostSpec, Spec
from mailprov.plan import steps
from mailprov.report import effects, text
from mailprov.report.text import Line
from mailprov.resources import accounts
from mailprov.roles import mailhost
from mailprov.transaction import Event, Work
from mailprov.verbs import console, outside
from mailprov.verbs.session import hosts, load, session, worst
from mailprov.verify import Account


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
    if found.plan.empty:
        return
    _consent(found, yes)
    begun = time.monotonic()
    _transact(found, spec, declared, host)
    done = f"  applied in {time.monotonic() - begun:.1f} s; {effects(found.plan)}"
    console.show([Line(done, "good")])


def _consent(found: Survey, yes: bool) -> None:
    if yes:
        return
    if not console.interactive():
        raise ConsentError(
            "there is no terminal to ask at", where=found.plan.host, cure="look at `mailprov plan`, then add --yes"
        )
    if not click.confirm(f"Apply {len(found.plan.changes)} changes to {found.plan.host}?", err=True):
        raise ConsentError("not applied, as you said", where=found.plan.host)


def _transact(found: Survey, spec: Spec, declared: HostSpec, host: Host) -> None:
    acts = steps(found.plan)
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    work = Work(
        found.plan,
        acts,
        found.ask,
        name,
        f"{getpass.getuser()}@{socket.gethostname()} {now:%Y-%m-%dT%H:%M:%SZ} {len(found.plan.changes)} changes",
        mailhost.validators(declared),
        mailhost.health(spec, declared),
    )

    def show(event: Event) -> None:
        if event.name == "do" and event.text.isdigit():
            console.say(f"  {event.text:>3}/{len(acts)} {acts[int(event.text) - 1].what}", "dim")
        elif event.name in _WORDS:
            console.say(f"  {_WORDS[event.name]}", "dim")

    carry_out(found, work, host, on_event=show, confirm=lambda: _confirm(found, spec, declared, name))


_WORDS = {
    "validate": "running the staged configuration with the host's own programs, apart from the live service",
    "health": "checking each listener on the host",
    "await": "looking at the host over a new connection",
    "revert": "something failed: putting everything back",
}


def _confirm(found: Survey, spec: Spec, declared: HostSpec, name: str) -> None:
    """Look at the host as a client and over a new connection; say what was found, so that it keeps or takes back."""
    try:
        with session(declared) as fresh:
            if found.plan.effects:
                checks = outside.listeners(declared, fresh)
            else:
                checks = outside.glance(declared, fresh, _new_accounts(found, spec, declared))
            console.show(text.problems(checks))
            failed = next((check for check in checks if check.failed), None)
            answer(fresh, name, f"{failed.endpoint}: {failed.step}: {failed.detail}" if failed else "")
    except MailprovError as error:
        console.say(f"  not confirmed ({error.what}); the host puts everything back by itself", "warn")


LOGINS = 3
"""how many new accounts are logged in to before an apply is confirmed"""


def _new_accounts(found: Survey, spec: Spec, declared: HostSpec) -> list[Account]:
    """Accounts that this apply makes and whose password is known here; those narrowed to other networks left out."""
    rows = [change.detail for change in found.plan.changes if change.key.kind == accounts.KIND]
    added = {row[2:] for detail in rows for row in detail if row.startswith("+ ")}
    return [
        Account(user.address, user.password.plaintext, user.protocols)
        for user in spec.users_of(declared.name)
        if user.address in added and user.password.plaintext is not None and not user.allow_from
    ][:LOGINS]
