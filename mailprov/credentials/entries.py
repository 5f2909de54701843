"""Generated passwords as they are kept until they are handed out (pure).

The file is CSV as RFC 4180 has it, UTF-8 with a byte order mark (so that Excel reads Chinese names): the names of
`COLUMNS`, then a line a person. Each cell went through `encode.csv_cell`: no spreadsheet takes it for a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from mailprov.encode import csv_cell, csv_text
from mailprov.errors import MailprovError
from mailprov.model import Secret, User

COLUMNS: Final = ("address", "name", "contact", "password", "hosts", "pending", "made", "until", "reset")
_FORMER: Final = COLUMNS[:-1]
"""as it was until 0.1"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One person's generated password.

    `hosts` created the account with it, or (`reset`) gave it to one that was there; `pending` ones were handed it, and
    have not said how that ended. It was `made` then (UTC, whole seconds), and should be gone after the day `until`.
    """

    address: str
    name: str
    contact: str
    password: Secret
    hosts: tuple[str, ...]
    pending: tuple[str, ...]
    made: datetime
    until: date
    reset: bool = False


def dump(entries: Iterable[Entry]) -> str:
    """The file's text, people in address order."""
    text = io.StringIO()
    text.write("\ufeff")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for entry in sorted(entries, key=lambda entry: entry.address):
        cells = (
            entry.address,
            entry.name,
            entry.contact,
            entry.password.reveal(),
            " ".join(entry.hosts),
            " ".join(entry.pending),
            f"{entry.made:%Y-%m-%dT%H:%M:%SZ}",
            entry.until.isoformat(),
            "yes" if entry.reset else "",
        )
        writer.writerow(map(csv_cell, cells))
    return text.getvalue()


def parse(text: str, where: str) -> tuple[Entry, ...]:
    """What `dump` wrote. Raises MailprovError, which shows none of it, where the file `where` is anything else."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        if tuple(next(reader, ())) not in (COLUMNS, _FORMER):
            raise ValueError
        return tuple(_entry(*map(csv_text, row)) for row in reader)
    except (ValueError, TypeError, csv.Error):
        raise MailprovError(
            "this is no file of generated passwords, or it was changed",
            where=f"{where}:{reader.line_num}",
            why="it holds passwords that hosts were given, and nobody else may know",
            fix="put it back as it was, or move it away",
        ) from None


def _entry(
    address: str,
    name: str,
    contact: str,
    password: str,
    hosts: str,
    pending: str,
    made: str,
    until: str,
    reset: str = "",
) -> Entry:
    if not address or not password or reset not in ("", "yes"):
        raise ValueError
    when = datetime.strptime(made, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    given, asked = tuple(hosts.split()), tuple(pending.split())
    return Entry(
        address, name, contact, Secret(password), given, asked, when, date.fromisoformat(until), reset == "yes"
    )


def supplied(
    entries: Iterable[Entry],
    created: Mapping[str, Collection[str]],
    users: Mapping[str, User],
    *,
    make: Callable[[], Secret],
    now: datetime,
    days: int,
) -> tuple[Entry, ...]:
    """The entries with one for each of `created` (address → hosts that will create the account), pending there.

    A password that is kept is used again: a person has one password everywhere, and an entry is never taken from
    whoever may need it. Where the plan is stale, or an earlier apply was cut off, a host has that very password.
    """
    found = {entry.address: entry for entry in entries}
    for address, hosts in created.items():
        old, user = found.get(address), users[address]
        if old is not None:
            pending = tuple(sorted({*old.pending, *hosts} - {*old.hosts}))
            found[address] = replace(old, name=user.name, contact=user.contact, pending=pending, reset=False)
        elif user.was in found:  # there, the person has it under the address of before
            there = replace(found[user.was], address=address, name=user.name, contact=user.contact)
            found[address] = replace(there, hosts=(), pending=tuple(sorted(hosts)))
        else:
            found[address] = _made(user, hosts, make(), now, days)
    return tuple(found.values())


def _made(user: User, hosts: Iterable[str], password: Secret, now: datetime, days: int) -> Entry:
    made, until = now.replace(microsecond=0), (now + timedelta(days=days)).date()
    return Entry(user.address, user.name, user.contact, password, (), tuple(sorted(hosts)), made, until)


def with_resets(
    entries: Iterable[Entry],
    asked: Mapping[str, Collection[str]],
    users: Mapping[str, User],
    *,
    make: Callable[[], Secret],
    now: datetime,
    days: int,
) -> tuple[Entry, ...]:
    """The entries, each of `asked` (address → hosts that have the account) with a new password in place of any other.

    One that is kept is never used again: whoever asks for another password has a reason.
    """
    found = {entry.address: entry for entry in entries}
    for address, hosts in asked.items():
        found[address] = replace(_made(users[address], hosts, make(), now, days), reset=True)
    return tuple(found.values())


def reset_settled(
    entries: Iterable[Entry],
    before: Mapping[str, Entry],
    asked: Mapping[str, Collection[str]],
    took: Mapping[str, bool],
) -> tuple[Entry, ...]:
    """The entries once it is known how a reset ended on which host; one that has said nothing is not in `took`.

    Where no host of a person took the new password, what was kept `before` is what holds. Where some did, the others
    stay pending: there, the person has another password until the reset is done again.
    """
    kept: list[Entry] = []
    for entry in entries:
        hosts = asked.get(entry.address, ())
        if hosts and all(took.get(host) is False for host in hosts):
            kept += [before[entry.address]] if entry.address in before else []
            continue
        made = {host for host in hosts if took.get(host)}
        pending = tuple(host for host in entry.pending if host not in made)
        kept.append(replace(entry, hosts=tuple(sorted({*entry.hosts, *made})), pending=pending))
    return tuple(kept)


def first_asked(entries: Iterable[Entry], created: Mapping[str, Sequence[str]]) -> Mapping[str, tuple[str, ...]]:
    """Of `created`, what no earlier apply asked for: that one may be at work yet, whatever becomes of this one."""
    before = {entry.address: {*entry.hosts, *entry.pending} for entry in entries}
    return {name: tuple(host for host in hosts if host not in before.get(name, ())) for name, hosts in created.items()}


def settled(
    entries: Iterable[Entry],
    first: Mapping[str, Collection[str]],
    closed: Mapping[str, Collection[str]],
    took: Mapping[str, bool],
) -> tuple[Entry, ...]:
    """The entries once it is known how an apply ended.

    `took`: host → whether it is now as declared; one that has said nothing is absent. A host that is as declared has
    every account that it was ever asked for, without those that were `closed` there; one that is as before has none
    that it was asked for now, for the `first` time. Whether it took a reset password is another question. Whoever has
    no host left is gone.
    """
    kept: list[Entry] = []
    for entry in entries:
        have = {host for host in (*entry.hosts, *entry.pending) if entry.address in closed.get(host, ())}
        gone = {host for host in have if took.get(host)}
        gone |= {host for host in first.get(entry.address, ()) if took.get(host) is False}
        made = {host for host in entry.pending if took.get(host) and not entry.reset}
        hosts = tuple(sorted({*entry.hosts, *made} - gone))
        pending = tuple(host for host in entry.pending if host not in made | gone)
        if hosts or pending:
            kept.append(replace(entry, hosts=hosts, pending=pending))
    return tuple(kept)


def renamed(entries: Iterable[Entry], names: Mapping[str, str], took: Mapping[str, bool]) -> tuple[Entry, ...]:
    """The entries under the addresses of today, as far as hosts have taken them; `names`: of before → of today."""
    kept = {entry.address: entry for entry in entries}
    for was, name in names.items():
        entry = kept.get(was)
        moved = {host for host in (*entry.hosts, *entry.pending) if took.get(host)} if entry else set()
        mine = kept.get(name)
        if entry is None or not moved or (mine and mine.password.reveal() != entry.password.reveal()):
            continue
        hosts, pending = (mine.hosts, mine.pending) if mine else ((), ())
        kept[name] = replace(
            mine or replace(entry, address=name),
            hosts=tuple(sorted({*hosts, *moved.intersection(entry.hosts)})),
            pending=tuple(sorted({*pending, *moved.intersection(entry.pending)})),
        )
        rest = tuple(tuple(host for host in each if host not in moved) for each in (entry.hosts, entry.pending))
        kept[was] = replace(entry, hosts=rest[0], pending=rest[1])
        if not any(rest):
            del kept[was]
    return tuple(kept.values())


def overdue(entries: Iterable[Entry], today: date) -> tuple[Entry, ...]:
    """Those that should be gone by `today`."""
    return tuple(entry for entry in entries if entry.until < today)
