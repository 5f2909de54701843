"""mailprov handout: who waits for a password, how people get theirs, and when it is gone. None is ever shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import click

from mailprov.commands import completing, console
from mailprov.commands.options import Roots, address, handed, in_file
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.terminal import Terminal
from mailprov.credentials.entries import Entry, overdue
from mailprov.credentials.folder import Folder
from mailprov.credentials.letters import password_version
from mailprov.credentials.sent import Record, What
from mailprov.errors import Exit, MailprovError, visible
from mailprov.model import Spec, User, domain_of, some
from mailprov.providers import CREDENTIALS, catalogue
from mailprov.report import printable
from mailprov.report.json import document, errors
from mailprov.report.text import Line
from mailprov.workflows import send
from mailprov.workflows.generated_passwords import folder
from mailprov.workflows.secrets import NOTHING
from mailprov.workflows.selection import load, meant

Item = tuple[str, str, str, str]
"""by this the record knows a message"""


@dataclass(frozen=True, slots=True)
class Kept:
    """The passwords in a folder, when each was first sent, who is declared, and which day it is."""

    where: Folder
    entries: Sequence[Entry]
    sent: Mapping[str, str]
    users: Mapping[str, User]
    today: date


@click.group("handout")
def command() -> None:
    """Generated passwords and profiles: who waits for theirs, how people get them, and when they are gone.

    A user for whom no password is declared gets a generated one when an apply creates the account. It is kept in the
    folder handout/ beside mail.yaml, which nobody else can look into and Git leaves alone, until you purge it.
    """


@command.command("list")
@in_file
@handed
@reported("json")
def handout_list(outputs: Outputs, file: Path, handout: Path | None) -> Exit:
    """Show who waits for a password, since when, and to whom it was sent. No password is shown."""
    where = folder(file, handout)
    where.require_folder()
    entries = where.entries()
    spec = load(file, NOTHING, Terminal()) if entries or file.exists() else None
    users = {user.address: user for user in spec.users} if spec else {}
    kept = Kept(where, entries, _sent(entries, where.sent()), users, datetime.now(UTC).date())
    if outputs.text:
        console.show([*_lines(kept), *(_made_there(spec) if spec else ())])
    outputs.give(json=lambda: _json(kept, _elsewhere(spec) if spec else {}))
    return Exit.DONE


def _elsewhere(spec: Spec) -> Mapping[str, int]:
    """How many people have their mailbox at which provider."""
    counts = Counter(spec.domains[domain_of(user.address)].hosted_by for user in spec.users)
    return {name: count for name, count in sorted(counts.items()) if name}


def _made_there(spec: Spec) -> Iterator[Line]:
    """Who never waits for a password from here: people whose mailboxes providers have, and what they log in with."""
    for name, count in _elsewhere(spec).items():
        provider = catalogue()[name]
        kinds = " or ".join(CREDENTIALS[kind] for kind in provider.credentials)
        who = "1 person" if count == 1 else f"{count:,} people"
        yield Line(f"{who} at {provider.name.en} log in with {kinds}: none is handed out from here", "dim")


@command.command("purge")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...", shell_complete=completing.waiting)
@in_file
@handed
@click.option("--expired", is_flag=True, help="Only those that should have gone by now.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@reported("json")
def handout_purge(
    outputs: Outputs, addresses: tuple[str, ...], file: Path, handout: Path | None, expired: bool, yes: bool
) -> Exit:
    """Remove generated passwords: the whole folder, or only those of ADDRESS, or those past their day.

    They go on working. Nobody can show them again: a host has only their hashes.
    """
    where = folder(file, handout)
    where.require_folder()
    entries = where.entries()
    gone = _chosen(entries, addresses, expired=expired)
    everything = not addresses and not expired
    left: Sequence[str] = ()
    if not gone and not (everything and where.path.exists()):
        said = [Line("nothing to remove", "good")]
    else:
        sent = _sent(gone, where.sent())
        lost = [entry.address for entry in gone if entry.address not in sent]
        _agree(len(gone), lost, where, yes=yes)
        if everything:
            left = where.purge()
            said = [Line(f"removed {_passwords(len(gone))} and {where}", "warn")]
            stays = f"  the folder stays: {some([*map(visible, left)])} is not mailprov's"
            said += [Line(stays, "warn")] if left else []
        else:
            names = {entry.address for entry in gone}
            where.change(lambda before: [entry for entry in before if entry.address not in names])
            said = [Line(f"removed {len(gone):,}: {some([printable(entry.address) for entry in gone])}", "warn")]
    console.show(said if outputs.text else [])
    removed = [entry.address for entry in gone]
    outputs.give(json=lambda: document("handout-purge", folder=str(where), removed=removed, left=list(left)))
    return Exit.DONE


@command.command("send")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...", shell_complete=completing.users)
@in_file
@handed
@click.option("--passwords", is_flag=True, help="Each one's generated password, to the contact address.")
@click.option("--profiles", type=click.Path(path_type=Path), metavar="DIR", help="The files of DIR/people/ADDRESS/.")
@click.option("--all-files", is_flag=True, help="With --profiles: every file, not only guide and Apple profile.")
@click.option("--welcome", is_flag=True, help="A welcome, straight into the new mailbox.")
@click.option("--send", "really", is_flag=True, help="Really send; otherwise it is only shown who would get what.")
@click.option("--again", is_flag=True, help="Send also what was sent before.")
@click.option("--per-minute", type=click.IntRange(1, 6000), default=30, show_default=True, help="No more than so many.")
@click.option("--ca", type=Roots(exists=True), help="A PEM bundle of further root certificates.")
@reported("json")
def handout_send(
    outputs: Outputs,
    addresses: tuple[str, ...],
    file: Path,
    handout: Path | None,
    passwords: bool,
    profiles: Path | None,
    all_files: bool,
    welcome: bool,
    really: bool,
    again: bool,
    per_minute: int,
    ca: Path | None,
) -> Exit:
    """Mail people what they need: passwords, profiles (made by `mailprov profiles -o DIR`), or a welcome.

    One of these at a time, so that a password and a profile never travel in one message. Messages go to the contact
    address of the staff list, through the relay that mail.yaml declares:

    \b
      handout: {from: it@example.com, relay: {host: smtp.example.net}}

    What was sent is put down in the hand-out folder and not sent again: after a cut, run this again to go on.
    """
    if passwords + (profiles is not None) + welcome != 1:
        raise MailprovError("one thing at a time", fix="add one of --passwords, --profiles DIR, --welcome")
    what: What = "passwords" if passwords else "welcome" if welcome else "profiles"
    how = send.How(what, profiles, addresses, again, per_minute, ca, handout, all_files)
    found = send.mailing(file, how)
    for name, why in found.without.items():
        console.say(f"! {name}: {why}", "warn")
    if found.before:
        console.say(f"  {found.before:,} sent before (--again sends them again)", "dim")
    told: dict[Item, str] = {}
    failed: list[MailprovError] = []
    try:
        if really:
            _send(found, how, outputs, told)
        elif outputs.text:
            _preview(found.jobs, per_minute)
    except MailprovError as error:  # what was sent before a server was lost was sent
        failed = [error]
        raise
    finally:
        outputs.give(json=lambda: _sendings(what, found, told, failed))
    return Exit.DONE


def _send(found: send.Mailing, how: send.How, outputs: Outputs, told: dict[Item, str]) -> None:
    """Send it, and tell how each message went. Raises MailprovError where some were refused, or a server was lost."""

    def tell(job: send.Job, taken: bool) -> None:
        word, style = ("sent", "good") if taken else ("refused", "bad")
        told[job.item] = word
        line = Line(f"  {word:<9} {printable(job.item[1])}  → {printable(job.to)}", style)
        console.show([line] if outputs.text else [])

    refused = send.send(found, how, tell)
    count = len(found.jobs)
    last = Line(f"{count - len(refused):,} of {count:,} sent; {found.before:,} had been before", "head")
    console.show([last] if outputs.text else [])
    if refused:
        raise MailprovError(
            f"{len(refused)} of {count} were not sent",
            why="; ".join(str(error).replace("\n", " ") for error in refused[:5]),
            fix="correct the addresses, then run this again: what was sent is not sent twice",
        )


def _sendings(what: What, found: send.Mailing, told: Mapping[Item, str], failed: Sequence[MailprovError]) -> str:
    messages = [{"address": job.item[1], "to": job.to, "result": told.get(job.item, "not sent")} for job in found.jobs]
    parts = {"messages": messages, "before": found.before, "without": dict(found.without), "failed": errors(failed)}
    return document("handout-send", what=what, **parts)


def _preview(jobs: Sequence[send.Job], per_minute: int) -> None:
    for job in jobs:
        console.show([Line(f"  {job.item[0]:<9}  {printable(job.item[1])}  → {printable(job.to)}")])
    minutes = max(0, len(jobs) - 1) / per_minute
    words = f"{len(jobs):,} to send in {minutes:.0f} min ({per_minute} a minute); nothing was sent: add --send"
    console.show([Line(words if jobs else "nothing to send", "head")])


def _chosen(entries: Sequence[Entry], addresses: Sequence[str], *, expired: bool) -> Sequence[Entry]:
    known = [entry.address for entry in entries]
    for name in addresses:
        if name not in known:
            raise MailprovError(f"no password of {name} is kept", fix=meant(name, known) if known else "")
    found = [entry for entry in entries if not addresses or entry.address in addresses]
    return overdue(found, datetime.now(UTC).date()) if expired else found


def _agree(count: int, lost: Sequence[str], where: Folder, *, yes: bool) -> None:
    if lost:
        console.say(f"! not sent from here: {some(lost, 5)}", "warn")
    if not yes:
        question = f"Remove {count} passwords? Nobody can show them again."
        fix = "see `mailprov handout list`, then add --yes"
        console.agree(question, str(where), act="removed", untouched="removed", fix=fix)


def _passwords(count: int) -> str:
    return f"{count:,} password{'' if count == 1 else 's'}"


def _sent(entries: Iterable[Entry], records: Iterable[Record]) -> Mapping[str, str]:
    """When each password was first sent, by address; those that were not are left out."""
    when: dict[tuple[str, str], str] = {}
    for record in records:
        if record.what == "passwords":
            when.setdefault((record.address, record.version), record.when)
    keys = {entry.address: (entry.address, password_version(entry)) for entry in entries}
    return {address: when[key] for address, key in keys.items() if key in when}


def _lines(kept: Kept) -> Iterator[Line]:
    if not kept.entries:
        yield Line(f"nobody waits: no generated password is in {kept.where}", "good")
        return
    yield from _table(kept)
    unsent = len(kept.entries) - len(kept.sent)
    count = _passwords(len(kept.entries))
    yield Line(f"{count} in {visible(kept.where.passwords)}; {unsent:,} not sent from here", "head")
    if late := overdue(kept.entries, kept.today):
        yield Line(f"! {len(late):,} should have gone: `mailprov handout purge --expired`", "warn")


def _table(kept: Kept) -> Iterator[Line]:
    columns: tuple[tuple[str, Callable[[Entry], str]], ...] = (
        ("mailbox", lambda it: it.address),
        ("name", lambda it: it.name),
        ("contact", lambda it: it.contact or "-"),
        ("waits since", lambda it: f"{it.made:%Y-%m-%d %H:%M}"),
        ("until", lambda it: str(it.until)),
        ("sent", lambda it: kept.sent.get(it.address, "-")[:16].replace("T", " ")),
        ("hosts", lambda it: " ".join((*it.hosts, *(f"{host}?" for host in it.pending)))),
    )
    table = [[title for title, _ in columns], *([printable(read(it)) for _, read in columns] for it in kept.entries)]
    widths = [max(map(console.width, column)) for column in zip(*table, strict=True)]
    for row, entry in zip(table, [None, *kept.entries], strict=True):
        cells = (cell + " " * (width - console.width(cell)) for cell, width in zip(row, widths, strict=True))
        gone = entry is not None and entry.address not in kept.users
        style = "head" if entry is None else "warn" if gone or entry.until < kept.today else ""
        yield Line("  ".join(cells).rstrip() + ("  (not declared any more)" if gone else ""), style)
    if any(entry.pending for entry in kept.entries):
        yield Line("HOST? was given the password, and has not said whether it took it", "dim")


def _json(kept: Kept, elsewhere: Mapping[str, int]) -> str:
    waiting = [
        {
            "address": it.address,
            "name": it.name,
            "contact": it.contact or None,
            "since": f"{it.made:%Y-%m-%dT%H:%M:%SZ}",
            "until": it.until.isoformat(),
            "overdue": it.until < kept.today,
            "sent": kept.sent.get(it.address),
            "hosts": list(it.hosts),
            "pending": list(it.pending),
            "declared": it.address in kept.users,
        }
        for it in kept.entries
    ]
    return document("handout-list", folder=str(kept.where), waiting=waiting, elsewhere=dict(elsewhere))
