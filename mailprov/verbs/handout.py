"""mailprov handout list and purge. No password is ever shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from mailprov.errors import Exit, MailprovError
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
    entries = where.entries()
    if not entries:
        console.show([Line(f"nobody waits: no generated password is in {where}", "good")])
        return Exit.DONE
    today = datetime.now(UTC).date()
    late = overdue(entries, today)
    users = {user.address: user for user in load(file).users}
    sent = _sent(entries, where.sent())
    console.show(_table(entries, sent, users, today))
    count = f"{len(entries):,} password{'' if len(entries) == 1 else 's'}"
    unsent = len(entries) - len(sent)
    console.show([Line(f"{count} in {where.passwords}; {unsent:,} not sent from here", "head")])
    if late:
        console.show([Line(f"! {len(late):,} should have gone: `mailprov handout purge --expired`", "warn")])
    return Exit.DONE


def purge(file: Path, given: Path | None, addresses: Sequence[str], *, expired: bool, yes: bool) -> Exit:
    """Remove passwords: of `addresses`, of those past their day, or (neither) the whole folder.

    Raises ConsentError when nobody agreed, and MailprovError for an address that has none.
    """
    where = folder(file, given)
    entries = where.entries()
    gone = _chosen(entries, addresses, expired=expired)
    everything = not addresses and not expired
    if not gone and not (everything and where.path.exists()):
        console.show([Line("nothing to remove", "good")])
        return Exit.DONE
    sent = _sent(gone, where.sent())
    lost = [entry.address for entry in gone if entry.address not in sent]
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
    if not yes:
        question = f"Remove {count} passwords? Nobody can show them again."
        cure = "see `mailprov handout list`, then add --yes"
        console.agree(question, str(where), act="removed", untouched="removed", cure=cure)


def _sent(entries: Iterable[Entry], records: Iterable[Record]) -> Mapping[str, str]:
    """When each password was first sent, by address; those that were not are left out."""
    when: dict[tuple[str, str], str] = {}
    for record in records:
        if record.what == "passwords":
            when.setdefault((record.address, record.version), record.when)
    keys = {entry.address: (entry.address, password_version(entry)) for entry in entries}
    return {address: when[key] for address, key in keys.items() if key in when}


def _table(entries: Sequence[Entry], sent: Mapping[str, str], users: Mapping[str, User], today: date) -> Iterator[Line]:
    columns: tuple[tuple[str, Callable[[Entry], str]], ...] = (
        ("mailbox", lambda it: it.address),
        ("name", lambda it: it.name),
        ("contact", lambda it: it.contact or "-"),
        ("waits since", lambda it: f"{it.made:%Y-%m-%d %H:%M}"),
        ("until", lambda it: str(it.until)),
        ("sent", lambda it: sent.get(it.address, "-")[:16].replace("T", " ")),
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
