"""Generated passwords on their way through an apply: made and kept before any host is touched, settled after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from mailprov.errors import MailprovError
from mailprov.handout import entries
from mailprov.handout.entries import Entry
from mailprov.handout.folder import Folder
from mailprov.model import Plan, Secret, Spec
from mailprov.passwords import generated
from mailprov.resources import accounts, rows
from mailprov.rollout import Result, Verdict
from mailprov.verbs import console

_TOOK: Mapping[Verdict, bool] = {
    Verdict.APPLIED: True,
    Verdict.UNCHANGED: True,
    Verdict.REVERTED: False,
    Verdict.FAILED: False,
    Verdict.WAITING: False,
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
    """The declaration, its generated passwords filled in as far as they are known."""
    if not passwords:
        return spec
    users = tuple(
        replace(user, password=replace(user.password, plaintext=passwords[user.address]))
        if user.password.generated and user.address in passwords
        else user
        for user in spec.users
    )
    return replace(spec, users=users)


def kept(where: Folder) -> Mapping[str, Secret]:
    """The passwords in the hand-out folder, by address. Raises MailprovError where they cannot be read."""
    return {entry.address: entry.password for entry in where.entries()}


def remind(where: Folder) -> None:
    """Say so where passwords are kept longer than they should be."""
    try:
        late = entries.overdue(where.entries(), datetime.now(UTC).date())
    except MailprovError as error:
        console.say(f"! {error}", "warn")
        return
    if late:
        until = min(entry.until for entry in late)
        count = f"{len(late):,} password{'' if len(late) == 1 else 's'}"
        console.say(
            f"! {count} in {where} should have gone by {until}: once handed out, `mailprov handout purge`", "warn"
        )


@dataclass
class Handing:
    """The generated passwords of one apply, kept in the folder `where`, or (None, for hosts that are thrown away) only
    as long as this lasts."""

    where: Folder | None
    make: Callable[[], Secret] = generated
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    first: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """of `asked`, without what an earlier apply asked for, too"""
    closed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """by host: the accounts that are closed there"""

    def supply(self, spec: Spec, plans: Sequence[Plan]) -> Spec:
        """The declaration with a password for each account that the plans create; on disk when this returns.

        Raises MailprovError where the folder cannot be written: then no host may be touched.
        """
        asked = created(spec, plans)
        self.closed = _closed(plans)
        if not asked:
            return spec
        if self.where is None:
            return known(spec, {address: self.make() for address in asked})
        users = {user.address: user for user in spec.users if user.address in asked}
        now = datetime.now(UTC)

        def supplied(before: tuple[Entry, ...]) -> tuple[Entry, ...]:
            self.first = entries.first_asked(before, asked)
            return entries.supplied(before, asked, users, make=self.make, now=now, days=spec.handout.days)

        found = self.where.change(supplied)
        self.asked = asked
        return known(spec, {entry.address: entry.password for entry in found if entry.address in asked})

    def warn_of_losses(self, plan: Plan) -> None:
        """Say which passwords a roll-back takes out of the folder: the accounts may come back, these do not."""
        try:
            kept_now = {entry.address for entry in self.where.entries()} if self.where else set()
        except MailprovError:
            return  # it is told when they are to be taken out
        if lost := sorted(kept_now & _closed([plan])[plan.host]):
            console.say(f"  ! generated passwords that nobody keeps after this: {rows.some(lost)}", "warn")

    def take_back(self, plan: Plan) -> None:
        """Take out of the folder what a roll-back has closed."""
        self.closed = _closed([plan])
        self.settle([Result(plan.host, Verdict.APPLIED)])

    def settle(self, results: Iterable[Result]) -> None:
        """Take out of the folder what no host took, once it is known how each one ended, and say what is to do."""
        if self.where is None:
            return
        took = {result.host: _TOOK[result.verdict] for result in results if result.verdict in _TOOK}
        try:
            # What an apply that was cut off has left is settled by the next one, whatever that one changes.
            before = self.where.entries()
            if entries.settled(before, self.first, self.closed, took) == before:
                found = before
            else:
                found = self.where.change(lambda now: entries.settled(now, self.first, self.closed, took))
        except MailprovError as error:
            console.say(f"Error: {error}", "bad")  # what the hosts became matters more, and is still to be told
            return
        mine = [entry for entry in found if entry.address in self.asked]
        unsure = sum(bool(entry.pending) for entry in mine)
        if mine:
            count = f"{len(mine):,} password{'' if len(mine) == 1 else 's'}"
            console.say(f"  {count} to hand out in {self.where}; next: `mailprov handout list`", "head")
        if unsure:
            console.say(f"  of {unsure:,} of them it is not known whether a host took them", "warn")


def _closed(plans: Iterable[Plan]) -> Mapping[str, frozenset[str]]:
    return {
        plan.host: frozenset(chain.from_iterable(delta.removed for delta in accounts.deltas(plan.changes)))
        for plan in plans
    }
