"""One plan carried out by one host, seen from here: its progress, and the confirmation over a new connection."""

from __future__ import annotations

import getpass
import secrets
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from mailprov import manifest, testaccount
from mailprov.apply import answer
from mailprov.apply import apply as carry_out
from mailprov.errors import MailprovError
from mailprov.host import Host
from mailprov.model import HostSpec, Plan, Spec
from mailprov.plan import prints, steps
from mailprov.report import text
from mailprov.resources import accounts
from mailprov.roles import mailhost
from mailprov.roles.tls import paths
from mailprov.survey import Survey
from mailprov.transaction import Event, OnEvent, Tester, Work
from mailprov.verbs import console, outside
from mailprov.verbs.heard import Heard
from mailprov.verbs.session import session
from mailprov.verify import Account

Tell = Callable[[str, str], None]
"""shows a line in a style: what is being done"""


def transact(
    found: Survey,
    spec: Spec,
    declared: HostSpec,
    host: Host,
    tell: Tell = console.say,
    heard: Heard | None = None,
) -> None:
    """Have a host carry out a plan; `heard` gets to know what it says. Raises the errors of mailprov.apply.apply."""
    name, plan = transaction_name(), found.plan
    domains = spec.domains_of(declared.name)
    account, row = testaccount.new(domains[0].name) if plan.effects and domains else (None, b"")
    work = Work(
        plan,
        steps(plan),
        found.ask,
        name,
        who(f"{len(plan.changes)} change{'' if len(plan.changes) == 1 else 's'}"),
        manifest.head(name, prints(plan.desired), plan.made),
        mailhost.validators(declared),
        mailhost.health(spec, declared),
        str(paths(declared).certificate),
        Tester(account.address, row) if account else None,
    )
    confirm = Confirmation(name, declared, plan, spec, account, tell)
    follow = (heard or Heard()).follow(work, progress(work, tell))
    carry_out(found.seen, work, host, on_event=follow, confirm=confirm.give)


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


def progress(work: Work, tell: Tell = console.say) -> OnEvent:
    """What shows each of a transaction's events as it comes."""

    def show(event: Event) -> None:
        if event.name == "do" and event.text.isdigit() and int(event.text) <= len(work.steps):
            step = work.steps[int(event.text) - 1]
            tell(f"  {event.text:>3}/{len(work.steps)} {step.what}", "dim")
        elif event.name in _WORDS:
            tell(f"  {_WORDS[event.name]}", "dim")

    return show


LOGINS = 3
"""how many new accounts are logged in to before an apply is confirmed"""


def answer_anew(transaction: str, declared: HostSpec, complaint: Callable[[], str], tell: Tell) -> None:
    """Over a new connection, confirm what a waiting host has done, or refuse it for a complaint that is not ""."""
    try:
        with session(declared) as fresh:
            answer(fresh, transaction, complaint())
    except MailprovError as error:
        tell(f"  not confirmed ({error.what}); the host puts everything back by itself", "warn")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Looks at a host as a client and over a new connection, and tells it what was found."""

    transaction: str
    declared: HostSpec
    plan: Plan
    spec: Spec
    tester: Account | None
    tell: Tell

    def give(self, leaf: str) -> None:
        """Confirm or refuse a host whose certificate has the fingerprint `leaf`.

        Where no new connection can be had the host is left to put everything back by itself.
        """
        answer_anew(self.transaction, self.declared, lambda: self._complaint(leaf), self.tell)

    def _complaint(self, leaf: str) -> str:
        """What a client would complain of; "" where all is well."""
        trusted = outside.trust(self.declared, leaf)
        if self.plan.effects:
            checks = outside.listeners(self.declared, trusted, self.tester)
        else:
            checks = outside.glance(self.declared, trusted, self._new_accounts())
        for line in text.problems(checks):
            self.tell(line.text, line.style)
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
