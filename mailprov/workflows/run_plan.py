"""One plan carried out by one host, seen from here: its progress, and the confirmation over a new connection."""

from __future__ import annotations

import getpass
import re
import secrets
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from mailprov import standard
from mailprov.checks import Account
from mailprov.connection import Host
from mailprov.engine import manifest
from mailprov.engine.plan import prints, steps
from mailprov.engine.transaction import Event, OnEvent, Tester, Work
from mailprov.errors import MailprovError
from mailprov.model import HostSpec, Plan, Spec
from mailprov.observer import Complaints, NotConfirmed, Observer, PartBegun, StepBegun
from mailprov.resources import accounts
from mailprov.roles import mailhost
from mailprov.roles.tls import paths
from mailprov.workflows import client_view, test_account
from mailprov.workflows.at_work import AtWork
from mailprov.workflows.hand_over import answer
from mailprov.workflows.hand_over import apply as carry_out
from mailprov.workflows.session import session
from mailprov.workflows.survey import PlanResult


def run_plan(
    found: PlanResult,
    spec: Spec,
    declared: HostSpec,
    host: Host,
    observer: Observer,
    at_work: AtWork | None = None,
) -> None:
    """Have a host carry out a plan; `at_work` gets to know what it says. Raises as `hand_over.apply`."""
    name, plan = transaction_name(), found.plan
    domains = spec.domains_of(declared.name)
    account, row = test_account.new(domains[0].name) if plan.effects and domains else (None, b"")
    serving = standard.REGISTRY.serving(plan.desired)
    work = Work(
        standard.REGISTRY,
        plan,
        steps(standard.REGISTRY, plan),
        found.ask,
        name,
        who(f"{len(plan.changes)} change{'' if len(plan.changes) == 1 else 's'}"),
        manifest.head(name, prints(plan.desired), plan.made),
        mailhost.validators(declared, serving),
        mailhost.health(spec, declared),
        str(paths(declared).certificate),
        Tester(account.address, row) if account else None,
        daemons=serving,
    )
    confirm = Confirmation(name, declared, plan, spec, account, observer)
    follow = (at_work or AtWork()).follow(work, progress(work, observer))
    carry_out(found.seen, work, host, on_event=follow, confirm=confirm.give)


def transaction_name() -> str:
    """A new transaction's name: names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


# Git's configuration can name programs, and a folder that somebody committed can be taken for a repository with one.
_GIT = ("git", "-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false")


def who(what: str) -> str:
    """One line for the history: who does what from where, at which commit of the folder that this is run in."""
    try:
        describe = (*_GIT, "describe", "--always", "--dirty")
        commit = subprocess.run(describe, capture_output=True, text=True, timeout=2, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return f"{getpass.getuser()}@{socket.gethostname()} commit={commit or '-'} {what}"


PARTS = ("validate", "health", "await", "revert")
"""events of a journal that are told although they are no step"""


def progress(work: Work, observer: Observer) -> OnEvent:
    """What tells each of a transaction's events as it comes."""
    host, total = work.plan.host, len(work.steps)

    def show(event: Event) -> None:
        number = int(event.text) if event.name == "do" and re.fullmatch("[0-9]{1,6}", event.text) else 0
        if 0 < number <= total:
            observer.tell(StepBegun(host, number, total, work.steps[number - 1].what))
        elif event.name in PARTS:
            observer.tell(PartBegun(host, event.name))

    return show


LOGINS = 3
"""how many new accounts are logged in to before an apply is confirmed"""


def answer_anew(transaction: str, declared: HostSpec, diagnostic: Callable[[], str], observer: Observer) -> None:
    """Over a new connection, confirm what a waiting host has done, or refuse it for a complaint that is not ""."""
    try:
        with session(declared) as fresh:
            answer(fresh, transaction, diagnostic())
    except MailprovError as error:
        observer.tell(NotConfirmed(declared.name, error))


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Looks at a host as a client and over a new connection, and tells it what was found."""

    transaction: str
    declared: HostSpec
    plan: Plan
    spec: Spec
    tester: Account | None
    observer: Observer

    def give(self, leaf: str) -> None:
        """Confirm or refuse a host whose certificate has the fingerprint `leaf`.

        Where no new connection can be had the host is left to put everything back by itself.
        """
        answer_anew(self.transaction, self.declared, lambda: self._complaint(leaf), self.observer)

    def _complaint(self, leaf: str) -> str:
        """What a client would complain of; "" where all is well."""
        trusted = client_view.trust(self.declared, leaf)
        if self.plan.effects:
            checks = client_view.listeners(self.declared, trusted, self.tester)
        else:
            checks = client_view.glance(self.declared, trusted, self._new_accounts())
        self.observer.tell(Complaints(self.declared.name, checks))
        failed = next((check for check in checks if check.failed), None)
        return f"{failed.endpoint}: {failed.step}: {failed.detail}" if failed else ""

    def _new_accounts(self) -> list[Account]:
        """Accounts that are made now and whose password is known here; those narrowed to other networks left out."""
        added = {name for delta in accounts.deltas(self.plan.changes) for name in delta.added}
        return [
            Account(user.address, user.password.plaintext, user.protocols)
            for user in self.spec.users_of(self.declared.name)
            if user.address in added and user.password.plaintext is not None and not user.allow_from
        ][:LOGINS]
