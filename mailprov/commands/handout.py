"""mailprov handout: who waits for a password, how people get theirs, and when it is gone. None is ever shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import Roots, address, handed, in_file
from mailprov.commands.terminal import Terminal
from mailprov.credentials.entries import Entry, overdue
from mailprov.credentials.folder import Folder
from mailprov.credentials.letters import password_version
from mailprov.credentials.sent import Record, What
from mailprov.errors import Exit, MailprovError, visible
from mailprov.model import Spec, User, domain_of, some
from mailprov.providers import CREDENTIALS, catalogue
from mailprov.report import printable
from mailprov.report.text import Line
from mailprov.workflows import send
from mailprov.workflows.generated_passwords import folder
from mailprov.workflows.secrets import NOTHING
from mailprov.workflows.selection import load, meant


@click.group("handout")
def command() -> None:
    """Generated passwords and profiles: who waits for theirs, how people get them, and when they are gone.

    A user for whom no password is declared gets a generated one when an apply creates the account. It is kept in the
    folder handout/ beside mail.yaml, which nobody else can look into and Git leaves alone, until you purge it.
    """


@command.command("list")
@in_file
@handed
def handout_list(file: Path, handout: Path | None) -> Exit:
    """Show who waits for a password, since when, and to whom it was sent. No password is shown."""
    where = folder(file, handout)
    where.require_folder()
    entries = where.entries()
    if not entries:
        console.show([Line(f"nobody waits: no generated password is in {where}", "good")])
        console.show(_made_there(load(file, NOTHING, Terminal())) if file.exists() else [])
        return Exit.DONE
    today = datetime.now(UTC).date()
    late = overdue(entries, today)
    spec = load(file, NOTHING, Terminal())
    users = {user.address: user for user in spec.users}
    sent = _sent(entries, where.sent())
    console.show(_table(entries, sent, users, today))
    count = f"{len(entries):,} password{'' if len(entries) == 1 else 's'}"
    unsent = len(entries) - len(sent)
    console.show([Line(f"{count} in {visible(where.passwords)}; {unsent:,} not sent from here", "head")])
    if late:
        console.show([Line(f"! {len(late):,} should have gone: `mailprov handout purge --expired`", "warn")])
    console.show(_made_there(spec))
    return Exit.DONE


def _made_there(spec: Spec) -> Iterator[Line]:
    """Who never waits for a password from here: people whose mailboxes providers have, and what they log in with."""
    counts = Counter(spec.domains[domain_of(user.address)].hosted_by for user in spec.users)
    for name, count in sorted(counts.items()):
        if name:
            provider = catalogue()[name]
            kinds = " or ".join(CREDENTIALS[kind] for kind in provider.credentials)
            who = "1 person" if count == 1 else f"{count:,} people"
            yield Line(f"{who} at {provider.name.en} log in with {kinds}: none is handed out from here", "dim")


@command.command("purge")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...")
@in_file
@handed
@click.option("--expired", is_flag=True, help="Only those that should have gone by now.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
def handout_purge(addresses: tuple[str, ...], file: Path, handout: Path | None, expired: bool, yes: bool) -> Exit:
    """Remove generated passwords: the whole folder, or only those of ADDRESS, or those past their day.

    They go on working. Nobody can show them again: a host has only their hashes.
    """
    where = folder(file, handout)
    where.require_folder()
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
            console.show([Line(f"  the folder stays: {some([*map(visible, left)])} is not mailprov's", "warn")])
        return Exit.DONE
    names = {entry.address for entry in gone}
    where.change(lambda before: [entry for entry in before if entry.address not in names])
    console.show([Line(f"removed {len(gone):,}: {some([printable(entry.address) for entry in gone])}", "warn")])
    return Exit.DONE


@command.command("send")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...")
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
def handout_send(
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
    if not really:
        _preview(found.jobs, per_minute)
        return Exit.DONE
    refused = send.send(found, how, _told)
    count = len(found.jobs)
    console.show([Line(f"{count - len(refused):,} of {count:,} sent; {found.before:,} had been before", "head")])
    if refused:
        raise MailprovError(
            f"{len(refused)} of {count} were not sent",
            why="; ".join(str(error).replace("\n", " ") for error in refused[:5]),
            fix="correct the addresses, then run this again: what was sent is not sent twice",
        )
    return Exit.DONE


def _told(job: send.Job, taken: bool) -> None:
    word, style = ("sent", "good") if taken else ("refused", "bad")
    console.show([Line(f"  {word:<9} {printable(job.item[1])}  → {printable(job.to)}", style)])


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
        yield Line("HOST? was given the password, and has not said whether it took it", "dim")
