"""mailprov apply."""

from __future__ import annotations

import getpass
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from mailprov import planfile, testaccount
from mailprov.apply import answer
from mailprov.apply import apply as carry_out
from mailprov.errors import ConsentError, Exit, MailprovError, StalePlanError
from mailprov.host import Host
from mailprov.model import HostSpec, Plan, Spec
from mailprov.passwords import initial_hash
from mailprov.plan import steps
from mailprov.report import effects, text
from mailprov.report.text import Line
from mailprov.resources import accounts, rows
from mailprov.roles import mailhost
from mailprov.roles.tls import paths
from mailprov.survey import Survey, script, survey
from mailprov.transaction import Event, OnEvent, Tester, Work
from mailprov.verbs import console, outside
from mailprov.verbs.session import hosts, load, session, worst
from mailprov.verify import Account


@dataclass(frozen=True, slots=True)
class Consent:
    """What was agreed to beforehand: `yes` to the question, `flags` to dangers; `details` is how it is shown."""

    yes: bool = False
    flags: frozenset[str] = frozenset()
    details: bool = False


def apply(file: Path, limit: Sequence[str], kept: Path | None, consent: Consent) -> Exit:
    """Host by host: plan (or take the plan that was kept), ask, change, look from outside, confirm."""
    plan = planfile.load(kept.read_text(encoding="utf-8"), str(kept)) if kept else None
    spec = load(Path(plan.declaration) if plan else file)
    wanted = {host.name for host in hosts(spec, limit)}
    # A kept plan is applied to its own hosts and to no other.
    parts = {part.plan.host: part for part in plan.hosts if not limit or part.plan.host in wanted} if plan else {}
    if plan and (not parts or (limit and wanted - parts.keys())):
        held = ", ".join(part.plan.host for part in plan.hosts) or "no host"
        raise MailprovError("the plan is not for all of these hosts", where=str(kept), why=f"it is for {held}")
    chosen = hosts(spec, list(parts) or limit)
    failures: list[MailprovError] = []
    for declared in chosen:
        try:
            with session(declared) as host:
                if declared.name in parts:
                    one_kept(spec, declared, host, parts[declared.name], consent)
                else:
                    one(spec, declared, host, consent)
        except MailprovError as error:
            error.where = error.where or declared.name
            failures.append(error)
            console.say(f"Error: {error}", "bad")
    return worst(failures, len(chosen))


def one(spec: Spec, declared: HostSpec, host: Host, consent: Consent) -> None:
    """Look at one host and apply what differs.

    Raises ConsentError when nobody agreed, and the errors of mailprov.apply.apply.
    """
    with console.doing(f"looking at {declared.name}"):
        found = survey(spec, declared, host)
    _carry_out(found, spec, declared, host, consent)


def one_kept(spec: Spec, declared: HostSpec, host: Host, part: planfile.Kept, consent: Consent) -> None:
    """Apply a kept plan to one host, without a look before: the host itself refuses it when it is stale.

    Raises what `one` does, and StalePlanError where the declaration or the host's key is not the plan's.
    """
    if host.identity != part.identity:
        why = f"it shows the key {host.identity or '(none)'}, the plan is for {part.identity or '(none)'}"
        raise StalePlanError("this is not the host that the plan was made for", where=declared.name, why=why)
    desired = mailhost.desired(spec, declared, part.plan.facts, initial_hash)
    found = Survey(planfile.bind(part, desired), script(spec, declared), part.seen)
    _carry_out(found, spec, declared, host, consent)


def _carry_out(found: Survey, spec: Spec, declared: HostSpec, host: Host, consent: Consent) -> None:
    console.show(text.plan(found.plan, details=consent.details))
    if found.plan.empty:
        return
    _agree(found.plan, consent)
    begun = time.monotonic()
    _transact(found, spec, declared, host)
    console.show([Line(f"  applied in {time.monotonic() - begun:.1f} s; {effects(found.plan)}", "good")])


def _agree(plan: Plan, consent: Consent) -> None:
    missing = [danger for danger in plan.dangers if danger.flag not in consent.flags]
    if missing:
        raise ConsentError(
            "the plan is unsafe without consent; nothing was touched",
            where=plan.host,
            why="; ".join(danger.text for danger in missing),
            cure=f"if it is meant, add {' '.join(f'--allow-{danger.flag}' for danger in missing)}",
        )
    if consent.yes:
        return
    if not console.interactive():
        cure = "look at `mailprov plan`, then add --yes"
        raise ConsentError("there is no terminal to ask at; nothing was touched", where=plan.host, cure=cure)
    if not click.confirm(f"Apply {len(plan.changes)} changes to {plan.host}?", err=True):
        raise ConsentError("not applied, as you said", where=plan.host)


def _transact(found: Survey, spec: Spec, declared: HostSpec, host: Host) -> None:
    acts = steps(found.plan)
    name = transaction_name()
    domains = spec.domains_of(declared.name)
    account, row = testaccount.new(domains[0].name) if found.plan.effects and domains else (None, b"")
    work = Work(
        found.plan,
        acts,
        found.ask,
        name,
        who(f"{len(found.plan.changes)} changes"),
        mailhost.validators(declared),
        mailhost.health(spec, declared),
        str(paths(declared).certificate),
        Tester(account.address, row) if account else None,
    )
    confirm = Confirmation(name, declared, found.plan, spec, account)
    carry_out(found.seen, work, host, on_event=progress(work), confirm=confirm.give)


def transaction_name() -> str:
    """A new transaction's name: names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def who(what: str) -> str:
    """One line for the history: who does what from where, at which commit of the folder that this is run in."""
    try:
        commit = subprocess.run(
            ("git", "describe", "--always", "--dirty"), capture_output=True, text=True, timeout=2, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return f"{getpass.getuser()}@{socket.gethostname()} commit={commit or '-'} {what}"


_WORDS = {
    "validate": "running the staged configuration with the host's own programs, apart from the live service",
    "health": "checking each listener on the host",
    "await": "looking at the host over a new connection",
    "revert": "something failed: putting everything back",
}


def progress(work: Work) -> OnEvent:
    """What shows each of a transaction's events as it comes."""

    def show(event: Event) -> None:
        if event.name == "do" and event.text.isdigit() and int(event.text) <= len(work.steps):
            step = work.steps[int(event.text) - 1]
            console.say(f"  {event.text:>3}/{len(work.steps)} {step.what}", "dim")
        elif event.name in _WORDS:
            console.say(f"  {_WORDS[event.name]}", "dim")

    return show


LOGINS = 3
"""how many new accounts are logged in to before an apply is confirmed"""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Looks at a host as a client and over a new connection, and tells it what was found."""

    transaction: str
    declared: HostSpec
    plan: Plan
    spec: Spec
    tester: Account | None

    def give(self, leaf: str) -> None:
        """Confirm or refuse a host whose certificate has the fingerprint `leaf`.

        Where no new connection can be had the host is left to put everything back by itself.
        """
        try:
            with session(self.declared) as fresh:
                answer(fresh, self.transaction, self._complaint(leaf))
        except MailprovError as error:
            console.say(f"  not confirmed ({error.what}); the host puts everything back by itself", "warn")

    def _complaint(self, leaf: str) -> str:
        """What a client would complain of; "" where all is well."""
        trusted = outside.trust(self.declared, leaf)
        if self.plan.effects:
            checks = outside.listeners(self.declared, trusted, self.tester)
        else:
            checks = outside.glance(self.declared, trusted, self._new_accounts())
        console.show(text.problems(checks))
        failed = next((check for check in checks if check.failed), None)
        return f"{failed.endpoint}: {failed.step}: {failed.detail}" if failed else ""

    def _new_accounts(self) -> list[Account]:
        """Accounts that are made now and whose password is known here; those narrowed to other networks left out."""
        changed = [change.detail for change in self.plan.changes if change.key.kind == accounts.KIND]
        added = rows.added(line for detail in changed for line in detail)
        return [
            Account(user.address, user.password.plaintext, user.protocols)
            for user in self.spec.users_of(self.declared.name)
            if user.address in added and user.password.plaintext is not None and not user.allow_from
        ][:LOGINS]
