"""mailprov handout list and purge. No password is ever shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click

from mailprov.errors import ConsentError, Exit, MailprovError
from mailprov.handout.entries import Entry, overdue
from mailprov.handout.folder import Folder
from mailprov.handout.letters import password_version
from mailprov.handout.records import Record
from mailprov.model import User
from mailprov.report import printable
from mailprov.report.text import Line
from mailprov.resources import rows
from mailprov.verbs import console
from mailprov.verbs.handing import folder
from mailprov.verbs.session import load, meant


def show(file: Path, given: Path | None) -> Exit:
    """Show whose password is kept, since when, and what was sent."""
    where = folder(file, given)
    entries, sent = where.entries(), where.sent()
    if not entries:
        console.show([Line(f"nobody waits: no generated password is in {where}", "good")])
        return Exit.DONE
    today = datetime.now(UTC).date()
    late = overdue(entries, today)
    users = {user.address: user for user in load(file).users}
    console.show(_table(entries, sent, users, today))
    count = f"{len(entries):,} password{'' if len(entries) == 1 else 's'}"
    unsent = sum(not _sent(entry, sent) for entry in entries)
    console.show([Line(f"{count} in {where.passwords}; {unsent:,} not sent from here", "head")])
    if late:
        console.show([Line(f"! {len(late):,} should have gone: `mailprov handout purge --expired`", "warn")])
    return Exit.DONE


def purge(file: Path, given: Path | None, addresses: Sequence[str], *, expired: bool, yes: bool) -> Exit:
    """Remove passwords: of `addresses`, of those past their day, or (neither) the whole folder.

    Raises ConsentError when nobody agreed, and MailprovError for an address that has none.
    """
    where = folder(file, given)
    entries, sent = where.entries(), where.sent()
    gone = _chosen(entries, addresses, expired=expired)
    everything = not addresses and not expired
    if not gone and not (everything and where.path.exists()):
        console.show([Line("nothing to remove", "good")])
        return Exit.DONE
    lost = [entry.address for entry in gone if not _sent(entry, sent)]
    _agree(len(gone), lost, where, yes=yes)
    if everything:
        left = where.purge()
        console.show([Line(f"removed {len(gone):,} password{'' if len(gone) == 1 else 's'} and {where}", "warn")])
        if left:
            console.show([Line(f"  the folder stays: {rows.some(left)} is not mailprov's", "warn")])
        return Exit.DONE
    names = {entry.address for entry in gone}
    where.change(lambda before: [entry for entry in before if entry.address not in names])
    console.show([Line(f"removed {len(gone):,}: {rows.some([printable(entry.address) for entry in gone])}", "warn")])
    return Exit.DONE


def _chosen(entries: Sequence[Entry], addresses: Sequence[str], *, expired: bool) -> Sequence[Entry]:
    known = [entry.address for entry in entries]
    for address in addresses:
        if address not in known:
            raise MailprovError(f"no password of {address} is kept", cure=meant(address, known) if known else "")
    found = [entry for entry in entries if not addresses or entry.address in addresses]
    return overdue(found, datetime.now(UTC).date()) if expired else found


def _agree(count: int, lost: Sequence[str], where: Folder, *, yes: bool) -> None:
    if lost:
        console.say(f"! not sent from here: {rows.some(lost, 5)}", "warn")
    if yes:
        return
    if not console.interactive():
        cure = "see `mailprov handout list`, then add --yes"
        raise ConsentError("there is no terminal to ask at; nothing was removed", where=str(where), cure=cure)
    if not click.confirm(f"Remove {count} passwords? Nobody can show them again.", err=True):
        raise ConsentError("not removed, as you said", where=str(where))


def _sent(entry: Entry, sent: Iterable[Record]) -> str:
    """When this password was sent; "" where it was not."""
    version = password_version(entry)
    return next(
        (it.when for it in sent if (it.what, it.address, it.version) == ("passwords", entry.address, version)), ""
    )


def _table(entries: Sequence[Entry], sent: Sequence[Record], users: Mapping[str, User], today: date) -> Iterator[Line]:
    columns: tuple[tuple[str, Callable[[Entry], str]], ...] = (
        ("mailbox", lambda it: it.address),
        ("name", lambda it: it.name),
        ("contact", lambda it: it.contact or "-"),
        ("waits since", lambda it: f"{it.made:%Y-%m-%d %H:%M}"),
        ("until", lambda it: str(it.until)),
        ("sent", lambda it: _sent(it, sent)[:16].replace("T", " ") or "-"),
        ("hosts", lambda it: " ".join((*it.hosts, *(f"{host}?" for host in it.pending)))),
    )
    table = [[title for title, _ in columns], *([printable(read(it)) for _, read in columns] for it in entries)]
    widths = [max(map(console.width, column)) for column in zip(*table, strict=True)]
    for row, entry in zip(table, [None, *entries], strict=True):
        cells = (cell + " " * (width - console.width(cell)) for cell, width in zip(row, widths, strict=True))
        gone = entry is not None and entry.address not in users
        style = "head" if entry is None else "warn" if gone or entry.until < today else ""
        yield Line("  ".join(cells).rstrip() + ("  (not declared any more)" if gone else ""), style)
    if any(entry.pending for entry in entries):
        yield Line("HOST? was given the password, and has not said whether it made the account", "dim")
