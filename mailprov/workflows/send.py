"""What each person needs, mailed one by one, each put down as soon as it is sent."""

from __future__ import annotations

import os
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

from mailprov import local_files
from mailprov.credentials import letters, relay
from mailprov.credentials.folder import Folder
from mailprov.credentials.sent import Record, What
from mailprov.errors import FileError, MailprovError
from mailprov.model import Purpose, Relay, Secret, Spec, User, domain_of
from mailprov.observer import Unobserved
from mailprov.profiles import folder_of
from mailprov.workflows.generated_passwords import folder, kept
from mailprov.workflows.selection import load, meant

LARGEST: Final = 10 * 1024 * 1024
"""bytes of one person's files: few servers take a larger message"""
_OPENED: Final = (".pdf", ".html", ".mobileconfig")
"""files that people open themselves: a guide to print, one for the phone, and what Apple devices install"""


@dataclass(frozen=True, slots=True)
class How:
    """`what` is sent, to whom only (nobody: everyone), and where from."""

    what: What
    profiles: Path | None = None
    only: tuple[str, ...] = ()
    again: bool = False
    per_minute: int = 30
    roots: Path | None = None
    handout: Path | None = None
    all_files: bool = False
    """with `profiles`: every file, and not only those that people open themselves"""


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


@dataclass(frozen=True, slots=True)
class Mailing:
    """What is to be sent, what was sent before (how many), who gets nothing and why, and where it is put down."""

    jobs: Sequence[Job]
    before: int
    without: Mapping[str, str]
    where: Folder


def mailing(file: Path, how: How) -> Mailing:
    """What was not sent yet. Raises MailprovError for people who are not declared, and where nobody can send it."""
    spec = load(file, frozenset({Purpose.INITIAL, Purpose.RELAY}), Unobserved())
    where = folder(file, how.handout)
    _refuse_unknown(how.only, [user.address for user in spec.users])
    todo = _todo(spec, where, how)
    done = set() if how.again else {record.item for record in where.sent()}
    jobs = [job for job in todo.jobs if job.item not in done]
    return Mailing(jobs, len(todo.jobs) - len(jobs), todo.without, where)


def _refuse_unknown(only: Sequence[str], known: Sequence[str]) -> None:
    for address in only:
        if address not in known:
            raise MailprovError(f"{address} is not declared", fix=meant(address, known[:5000]))


def send(found: Mailing, how: How, told: Callable[[Job, bool], None]) -> list[MailprovError]:
    """Send it one after another; each one is `told`, and whether it was taken.

    Raises ConnectError where a server is lost; returns what servers refused.
    """
    refused: list[MailprovError] = []
    pace = _pace(how.per_minute)
    for server, group in groupby(found.jobs, key=lambda job: (job.by, job.strict)):
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
                    told(job, False)
                    continue
                found.where.record(Record(*job.item, f"{now:%Y-%m-%dT%H:%M:%SZ}"))
                told(job, True)
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
        fix = "declare handout: {from: it@example.com, relay: {host: smtp.example.net}}"
        raise MailprovError("nobody is declared who writes to people", fix=fix)
    users = [user for user in spec.users if not how.only or user.address in how.only]
    if how.what == "welcome":
        return _welcomes(spec, users, where, named=bool(how.only))
    if spec.handout.relay is None:
        fix = "declare handout: {relay: {host: smtp.example.net}}"
        raise MailprovError("no relay is declared that takes these messages", fix=fix)
    if how.what == "profiles":
        return _profiles(users, how, spec, spec.handout.relay, kept(where))
    return _passwords(users, spec, spec.handout.relay, where, named=bool(how.only))


def _passwords(users: Sequence[User], spec: Spec, by: Relay, where: Folder, *, named: bool) -> Todo:
    jobs, without = [], {}
    declared = {user.address: user for user in users}
    for entry in where.entries():
        user = declared.get(entry.address)
        if user is None:
            continue
        if user.password.ownership == "managed":
            without[entry.address] = "the declaration has its password: this one ends with the next apply"
        elif entry.reset and entry.pending:
            unsure = ", ".join(entry.pending)
            again = f"`mailprov password reset {entry.address}`"
            without[entry.address] = f"it is not known whether {unsure} took the new password: {again} once more"
        elif not entry.hosts:
            without[entry.address] = "it is not known whether a host made the account: apply again"
        elif problem := _unreached(user):
            without[entry.address] = problem
        else:
            letter = _bound(letters.password, replace(entry, name=user.name, contact=user.contact), spec.handout.sender)
            item = ("passwords", entry.address, user.contact, letters.password_version(entry))
            jobs.append(Job(item, letter, by))
    if named:
        without.update({user.address: _made_there(spec, user) for user in users if _hosted_by(spec, user)})
    return Todo(jobs, without)


def _profiles(users: Sequence[User], how: How, spec: Spec, by: Relay, passwords: Mapping[str, Secret]) -> Todo:
    made = how.profiles or Path()
    if not (made / "people").is_dir() or (made / "people").is_symlink():
        raise MailprovError("no profiles are there", where=str(made), fix=f"make them: mailprov profiles -o {made}")
    jobs, without = [], {}
    for user in users:
        files = _files(made, user.address)
        sent = files if how.all_files else {name: data for name, data in files.items() if name.endswith(_OPENED)}
        known = [each for each in (user.password.plaintext, passwords.get(user.address)) if each is not None]
        if not sent:
            without[user.address] = "no profile was made"
        elif any(each.reveal().encode() in data for each in known for data in files.values()):
            raise MailprovError(
                f"the password of {user.address} is in these files; nothing was sent",
                where=str(made),
                why="a profile and a password never travel in one message",
                fix="make the profiles without passwords",
            )
        elif problem := _unreached(user):
            without[user.address] = problem
        else:
            letter = _bound(letters.profile, user, sent, spec.handout.sender, bool(_hosted_by(spec, user)))
            item = ("profiles", user.address, user.contact, letters.profile_version(sent))
            jobs.append(Job(item, letter, by))
    return Todo(jobs, without)


def _welcomes(spec: Spec, users: Sequence[User], where: Folder, *, named: bool) -> Todo:
    """A message straight into each new mailbox, on every host that has it, as any mail server would bring it."""
    new = None if named else {entry.address for entry in where.entries() if entry.hosts}
    jobs, without = [], {}
    for user in users:
        if new is not None and user.address not in new:
            continue
        if _hosted_by(spec, user):
            without[user.address] = _made_there(spec, user)
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


def _hosted_by(spec: Spec, user: User) -> str:
    """The provider that has the user's mailbox; "" where a host here serves it."""
    return spec.domains[domain_of(user.address)].hosted_by


def _made_there(spec: Spec, user: User) -> str:
    """Why a person whose mailbox a provider has gets nothing from here but a guide."""
    return f"{_hosted_by(spec, user)} has this mailbox: no password is sent from here, the guide says how to log in"


def _files(made: Path, address: str) -> dict[str, bytes]:
    """The plain files of one person's folder by name; no link is followed.

    Raises MailprovError where they are too much for a message, or are no files.
    """
    found: dict[str, bytes] = {}
    try:
        with local_files.entered(made, "people", folder_of(address)) as folder:
            with os.scandir(folder) as inside:
                listed = sorted(inside, key=lambda entry: entry.name)
            for entry in listed:
                if entry.is_file(follow_symlinks=False):
                    left = LARGEST - sum(map(len, found.values()))
                    found[entry.name] = local_files.contents(Path(entry.name), left, follow=False, below=folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except FileError as error:
        fix = f"keep less there: {LARGEST >> 20} MiB in all are the most that is sent to one person"
        raise MailprovError(error.what, where=str(made / "people" / folder_of(address)), fix=fix) from None
    return found
