"""Generated passwords on their way through an apply: made and kept before any host is touched, settled after it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from mailprov.credentials import entries
from mailprov.credentials.entries import Entry
from mailprov.credentials.folder import Folder
from mailprov.credentials.passwords import generated
from mailprov.engine.rollout import HostStatus, Result
from mailprov.errors import MailprovError
from mailprov.model import Plan, Secret, Spec
from mailprov.observer import (
    Failed,
    Observer,
    PasswordsKept,
    PasswordsLost,
    PasswordsOverdue,
    PasswordsUnreadable,
)
from mailprov.resources import accounts

_TOOK: Mapping[HostStatus, bool] = {
    HostStatus.APPLIED: True,
    HostStatus.UNCHANGED: True,
    HostStatus.REVERTED: False,
    HostStatus.FAILED: False,
    HostStatus.WAITING: False,
}


def folder(file: Path, given: Path | None) -> Folder:
    """The hand-out folder: the one that was named, or `handout` beside the declaration."""
    return Folder(given or file.parent / "handout")


def created(spec: Spec, plans: Iterable[Plan]) -> Mapping[str, tuple[str, ...]]:
    """The users whose password is generated because a plan creates their account; each with the hosts that do."""
    names = {user.address for user in spec.users if user.password.generated}
    found: dict[str, list[str]] = {}
    for plan in plans if names else ():
        for name in names.intersection(chain.from_iterable(delta.added for delta in accounts.deltas(plan.changes))):
            found.setdefault(name, []).append(plan.host)
    return {name: tuple(sorted(hosts)) for name, hosts in sorted(found.items())}


def noted(spec: Spec, plans: Sequence[Plan], where: Folder) -> list[Plan]:
    """The plans, each with a word about the passwords that an apply of it generates."""
    counts = Counter(chain.from_iterable(created(spec, plans).values()))
    words = {
        host: f"{count:,} password{'' if count == 1 else 's'} will be generated, handed out in {where}"
        for host, count in counts.items()
    }
    return [replace(it, warnings=(*it.warnings, words[it.host])) if it.host in words else it for it in plans]


def known(spec: Spec, passwords: Mapping[str, Secret]) -> Spec:
    """The declaration with the passwords that users have now, as far as they are known: the generated ones, and those
    that were reset since the declared one was set."""
    if not passwords:
        return spec
    users = tuple(
        replace(user, password=replace(user.password, plaintext=passwords[user.address]))
        if user.password.ownership == "initial" and user.address in passwords
        else user
        for user in spec.users
    )
    return replace(spec, users=users)


def kept(where: Folder) -> Mapping[str, Secret]:
    """The passwords in the hand-out folder, by address. Raises MailprovError where they cannot be read."""
    return {entry.address: entry.password for entry in where.entries()}


def remind(where: Folder, observer: Observer) -> None:
    """Say so where passwords are kept longer than they should be."""
    try:
        late = entries.overdue(where.entries(), datetime.now(UTC).date())
    except MailprovError as error:
        observer.tell(PasswordsUnreadable(error))
        return
    if late:
        observer.tell(PasswordsOverdue(len(late), str(where), min(entry.until for entry in late)))


@dataclass
class GeneratedPasswords:
    """The generated passwords of one apply, kept in the folder `where`, or (None, for hosts that are thrown away) only
    as long as this lasts."""

    where: Folder | None
    observer: Observer
    make: Callable[[], Secret] = generated
    asked: set[str] = field(default_factory=set)
    first: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """of `asked`, without what an earlier apply asked for, too"""
    closed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """by host: the accounts whose users' passwords end there"""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """by address: the one that a roll-back has given back"""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def supply(self, spec: Spec, plans: Sequence[Plan]) -> Spec:
        """The declaration with a password for each account that the plans create; on disk when this returns.

        May be called again, by several threads, for plans that turned out to be others. Raises MailprovError where the
        folder cannot be written: then no host may be touched.
        """
        with self._lock:
            asked = created(spec, plans)
            self.closed = {**self.closed, **_ended(plans)}
            if not asked:
                return spec
            if self.where is None:
                return known(spec, {address: self.make() for address in asked})
            users = {user.address: user for user in spec.users if user.address in asked}
            now = datetime.now(UTC)

            def supplied(before: tuple[Entry, ...]) -> tuple[Entry, ...]:
                self.first = _merged(self.first, entries.first_asked(before, asked))
                return entries.supplied(before, asked, users, make=self.make, now=now, days=spec.handout.days)

            found = self.where.change(supplied)
            self.asked |= asked.keys()
            return known(spec, {entry.address: entry.password for entry in found if entry.address in asked})

    def supply_one(self, spec: Spec, plan: Plan) -> Spec:
        """The same for one host's plan."""
        return self.supply(spec, [plan])

    def warn_of_losses(self, plan: Plan) -> None:
        """Say which passwords a roll-back takes out of the folder: the accounts may come back, these do not."""
        try:
            kept_now = {entry.address for entry in self.where.entries()} if self.where else set()
        except MailprovError:
            return  # it is told when they are to be taken out
        if lost := sorted(kept_now & _ended([plan])[plan.host]):
            self.observer.tell(PasswordsLost(lost))

    def take_back(self, plan: Plan) -> None:
        """Take out of the folder what a roll-back has ended."""
        self.closed = _ended([plan])
        for delta in accounts.deltas(plan.changes):
            self.renamed = {now: then for then, now in delta.renamed.items()}
        self.settle([Result(plan.host, HostStatus.APPLIED)])

    def settle(self, results: Iterable[Result], spec: Spec | None = None) -> None:
        """Take out of the folder what no host took, and what a host that is as `spec` declares has no use for, once it
        is known how each one ended; and say what is to do."""
        if self.where is None:
            return
        took = {result.host: _TOOK[result.status] for result in results if result.status in _TOOK}
        try:
            # What an apply that was cut off has left is settled by the next one, whatever that one changes.
            before = self.where.entries()
            if spec is not None:
                names = {entry.address for entry in before}
                self.closed = _merged(self.closed, {host: _without_own(spec, host, names) for host in took})
            former = self.renamed
            if spec is not None and before:
                former = {user.was: user.address for user in spec.users if user.was}

            def settled(now: tuple[Entry, ...]) -> tuple[Entry, ...]:
                return entries.settled(entries.renamed(now, former, took), self.first, self.closed, took)

            found = before if settled(before) == before else self.where.change(settled)
        except MailprovError as error:
            self.observer.tell(Failed(error))  # what the hosts became matters more, and is still to be told
            return
        mine = [entry for entry in found if entry.address in self.asked]
        if mine:
            unsure = sum(bool(entry.pending) for entry in mine)
            self.observer.tell(PasswordsKept(len(mine), unsure, str(self.where)))


def _ended(plans: Iterable[Plan]) -> Mapping[str, frozenset[str]]:
    return {
        plan.host: frozenset(chain.from_iterable(map(accounts.ended, accounts.deltas(plan.changes)))) for plan in plans
    }


def _without_own(spec: Spec, host: str, names: Collection[str]) -> frozenset[str]:
    """Those of `names` that have no password of their own on a host that is as declared: no account, or a declared
    hash. That is so whoever brought it there, and when."""
    users = [user for user in spec.users_of(host) if user.password.ownership == "initial"] if names else []
    # That of one who is renamed is kept under the address of before, until all hosts have taken the new one.
    former = {user.was for user in users}
    return frozenset(names) - {user.address for user in users} - former


def _merged(one: Mapping[str, Iterable[str]], more: Mapping[str, Iterable[str]]) -> Mapping[str, frozenset[str]]:
    return {name: frozenset((*one.get(name, ()), *more.get(name, ()))) for name in (*one, *more)}
