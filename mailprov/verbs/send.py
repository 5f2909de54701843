"""mailprov handout send: what each person needs, mailed one by one, each put down as soon as it is sent."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from itertools import groupby
from pathlib import Path
from typing import Final

from mailprov.errors import Exit, MailprovError
from mailprov.handout import letters, relay
from mailprov.handout.folder import Folder
from mailprov.handout.records import Record, What
from mailprov.model import Relay, Secret, Spec, User, domain_of
from mailprov.report import printable
from mailprov.report.text import Line
from mailprov.verbs import console
from mailprov.verbs.handing import folder, kept
from mailprov.verbs.session import load, meant

LARGEST: Final = 10 * 1024 * 1024
"""bytes of one person's files: few servers take a larger message"""


@dataclass(frozen=True, slots=True)
class How:
    """`what` is sent, to whom only (nobody: everyone), where from; `really`: otherwise it is only shown."""

    what: What
    profiles: Path | None = None
    only: tuple[str, ...] = ()
    really: bool = False
    again: bool = False
    per_minute: int = 30
    roots: Path | None = None
    handout: Path | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One message: what the record will say, how it is made at a given time, and the server that takes it."""

    item: tuple[str, str, str, str]
    letter: Callable[[datetime], EmailMessage]
    by: Relay
    strict: bool = True
    """whether the server's certificate must verify"""

    @property
    def to(self) -> str:
        """The address that it goes to."""
        return self.item[2]


@dataclass(frozen=True, slots=True)
class Todo:
    """The messages, and who gets none, each with the reason."""

    jobs: Sequence[Job]
    without: Mapping[str, str]


def send(file: Path, how: How) -> Exit:
    """Send what was not sent yet, or show what would be. Raises MailprovError when some of it could not be sent."""
    spec, where = load(file), folder(file, how.handout)
    _refuse_unknown(how.only, [user.address for user in spec.users])
    todo = _todo(spec, where, how)
    done = set() if how.again else {record.item for record in where.sent()}
    jobs = [job for job in todo.jobs if job.item not in done]
    known = len(todo.jobs) - len(jobs)
    for address, why in todo.without.items():
        console.say(f"! {address}: {why}", "warn")
    if known:
        console.say(f"  {known:,} sent before (--again sends them again)", "dim")
    if not how.really:
        _preview(jobs, how)
        return Exit.DONE
    refused = _send(jobs, where, how)
    console.show([Line(f"{len(jobs) - len(refused):,} of {len(jobs):,} sent; {known:,} had been before", "head")])
    if refused:
        raise MailprovError(
            f"{len(refused)} of {len(jobs)} were not sent",
            why="; ".join(str(error).replace("\n", " ") for error in refused[:5]),
            cure="mend the addresses, then run this again: what was sent is not sent twice",
        )
    return Exit.DONE


def _refuse_unknown(only: Sequence[str], known: Sequence[str]) -> None:
    for address in only:
        if address not in known:
            raise MailprovError(f"{address} is not declared", cure=meant(address, known[:5000]))


def _preview(jobs: Sequence[Job], how: How) -> None:
    for job in jobs:
        console.show([Line(f"  {job.item[0]:<9}  {printable(job.item[1])}  → {printable(job.to)}")])
    minutes = max(0, len(jobs) - 1) / how.per_minute
    words = f"{len(jobs):,} to send in {minutes:.0f} min ({how.per_minute} a minute); nothing was sent: add --send"
    console.show([Line(words if jobs else "nothing to send", "head")])


def _send(jobs: Sequence[Job], where: Folder, how: How) -> list[MailprovError]:
    """Send them one after another. Raises ConnectError where a server is lost; returns what servers refused."""
    refused: list[MailprovError] = []
    pace = _pace(how.per_minute)
    for server, group in groupby(jobs, key=lambda job: (job.by, job.strict)):
        with ExitStack() as stack:
            session: smtplib.SMTP | None = None
            for job in group:
                next(pace)
                if session is None:
                    session = stack.enter_context(relay.opened(server[0], how.roots, strict=server[1]))
                now = datetime.now(UTC)
                try:
                    relay.send(session, job.letter(now))
                except relay.Refused as error:
                    refused.append(error)
                    console.show([Line(f"  refused   {printable(job.item[1])}  → {printable(job.to)}", "bad")])
                    continue
                where.record(Record(*job.item, f"{now:%Y-%m-%dT%H:%M:%SZ}"))
                console.show([Line(f"  sent      {printable(job.item[1])}  → {printable(job.to)}", "good")])
    return refused


def _pace(per_minute: int) -> Iterator[None]:
    """Waits, so that no more than so many come in a minute; the first one comes at once."""
    due = time.monotonic()
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic()) + 60 / per_minute
        yield


# --- what there is to send


def _todo(spec: Spec, where: Folder, how: How) -> Todo:
    if not spec.handout.sender:
        cure = "declare handout: {from: it@example.com, relay: {host: smtp.example.net}}"
        raise MailprovError("nobody is declared who writes to people", cure=cure)
    users = [user for user in spec.users if not how.only or user.address in how.only]
    if how.what == "welcome":
        return _welcomes(spec, users, where, named=bool(how.only))
    if spec.handout.relay is None:
        cure = "declare handout: {relay: {host: smtp.example.net}}"
        raise MailprovError("no relay is declared that takes these messages", cure=cure)
    if how.what == "profiles":
        return _profiles(users, how.profiles or Path(), spec, spec.handout.relay, kept(where))
    return _passwords(users, spec, spec.handout.relay, where)


def _passwords(users: Sequence[User], spec: Spec, by: Relay, where: Folder) -> Todo:
    jobs, without = [], {}
    declared = {user.address: user for user in users}
    for entry in where.entries():
        user = declared.get(entry.address)
        if user is None:
            continue
        if not entry.hosts:
            without[entry.address] = "it is not known whether a host made the account: apply again"
        elif problem := _unreached(user):
            without[entry.address] = problem
        else:
            letter = _bound(letters.password, replace(entry, name=user.name, contact=user.contact), spec.handout.sender)
            item = ("passwords", entry.address, user.contact, letters.password_version(entry))
            jobs.append(Job(item, letter, by))
    return Todo(jobs, without)


def _profiles(users: Sequence[User], made: Path, spec: Spec, by: Relay, passwords: Mapping[str, Secret]) -> Todo:
    if not (made / "people").is_dir():
        raise MailprovError("no profiles are there", where=str(made), cure=f"make them: mailprov profiles -o {made}")
    jobs, without = [], {}
    for user in users:
        files = _files(made / "people" / user.address)
        secret = user.password.plaintext or passwords.get(user.address)
        if not files:
            without[user.address] = "no profile was made"
        elif secret is not None and any(secret.reveal().encode() in data for data in files.values()):
            raise MailprovError(
                f"the password of {user.address} is in these files; nothing was sent",
                where=str(made),
                why="a profile and a password never travel in one message",
                cure="make the profiles without passwords",
            )
        elif problem := _unreached(user):
            without[user.address] = problem
        else:
            letter = _bound(letters.profile, user, files, spec.handout.sender)
            item = ("profiles", user.address, user.contact, letters.profile_version(files))
            jobs.append(Job(item, letter, by))
    return Todo(jobs, without)


def _welcomes(spec: Spec, users: Sequence[User], where: Folder, *, named: bool) -> Todo:
    """A message straight into each new mailbox, on every host that has it, as any mail server would bring it."""
    new = None if named else {entry.address for entry in where.entries() if entry.hosts}
    jobs, without = [], {}
    for user in users:
        if new is not None and user.address not in new:
            continue
        hosts = [spec.hosts[name] for name in spec.domains[domain_of(user.address)].hosts]
        for host in hosts:
            if host.services.smtp is None:
                without[user.address] = f"{host.name} takes no mail from other servers (services.smtp)"
                continue
            address = "127.0.0.1" if host.address == "local" else host.address
            letter = _bound(letters.welcome, user, spec.handout.sender)
            item = ("welcome", user.address, user.address, host.name)
            # No secret is in it, so it travels as mail between servers does: encrypted, to whoever answers there.
            jobs.append(Job(item, letter, Relay(address, host.services.smtp), strict=False))
    return Todo(sorted(jobs, key=lambda job: job.item[3]), without)


def _bound(make: Callable[..., EmailMessage], *words: object) -> Callable[[datetime], EmailMessage]:
    return lambda now: make(*words, now)


def _unreached(user: User) -> str:
    """Why nothing can be sent to this user; "" where it can."""
    if not user.contact:
        return "no contact address is known: hand it out another way"
    return "the contact address is the mailbox itself" if user.contact == user.address else ""


def _files(path: Path) -> dict[str, bytes]:
    """The plain files of one person's folder by name. Raises MailprovError where they are too much for a message."""
    if not path.is_dir() or path.is_symlink():
        return {}
    found = [file for file in sorted(path.iterdir()) if file.is_file() and not file.is_symlink()]
    if sum(file.stat().st_size for file in found) > LARGEST:
        raise MailprovError(f"more than {LARGEST >> 20} MiB are too much for a message", where=str(path))
    return {file.name: file.read_bytes() for file in found}
