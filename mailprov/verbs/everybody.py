"""mailprov verify --all-users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError
from mailprov.handout.entries import Entry
from mailprov.model import HostSpec, Spec, User
from mailprov.report import logins
from mailprov.report.logins import Roll
from mailprov.report.text import Line
from mailprov.verbs import console, outside
from mailprov.verbs.handing import folder, known
from mailprov.verbs.session import hosts, load, worst
from mailprov.verbs.verify import How
from mailprov.verify import Account
from mailprov.verify.everybody import everybody


def verify(file: Path, limit: Sequence[str], form: str, how: How) -> Exit:
    """Log in every account whose password is known on each host; exit 9 when somebody cannot."""
    spec = load(file)
    chosen = hosts(spec, limit)
    entries = folder(file, how.handout).entries()
    rolls: list[Roll] = []
    failures: list[MailprovError] = []
    for declared in chosen:
        try:
            roll = one(spec, declared, entries, how.roots)
        except MailprovError as error:
            error.where = error.where or declared.name
            failures.append(error)
            console.say(f"Error: {error}", "bad")
            continue
        rolls.append(roll)
        if form == "text":
            console.show([Line(f"{declared.name}  everybody whose password is known", "head")])
            console.show(logins.table(roll, details=how.details))
    if form == "json":
        click.echo(logins.as_json(rolls))
    if how.junit is not None:
        how.junit.write_bytes(logins.junit(rolls))
    if failures:
        return worst(failures, len(chosen))
    if any(roll.without for roll in rolls) and not any(roll.logins for roll in rolls):
        console.say("nobody was logged in: no password is known here", "bad")
        return Exit.UNVERIFIED
    return Exit.UNVERIFIED if any(roll.failed for roll in rolls) else Exit.DONE


def one(spec: Spec, declared: HostSpec, entries: Sequence[Entry], roots: Path | None) -> Roll:
    """How everybody on one host gets on. Raises ConnectError or HostError."""
    trusted = outside.asked_trust(declared, roots)
    # Where another host has the password, an older account here may have another one.
    here = {it.address: it.password for it in entries if declared.name in (*it.hosts, *it.pending)}
    accounts, without = _accounts(known(spec, here).users_of(declared.name))
    with console.doing(f"logging in {len(accounts):,} accounts of {declared.name}"):
        found = everybody(outside.open_here(declared), trusted, accounts, now=datetime.now(UTC))
    tried = {login.address for login in found}
    without |= {it.address: "nothing that it may use is open to us" for it in accounts if it.address not in tried}
    return Roll(declared.name, found, without)


def _accounts(users: Sequence[User]) -> tuple[list[Account], dict[str, str]]:
    """Who can be tried, and who cannot, with the reason."""
    accounts: list[Account] = []
    without: dict[str, str] = {}
    for user in users:
        password = user.password.plaintext
        if not user.protocols:
            without[user.address] = "may not log in"
        elif user.allow_from:
            without[user.address] = f"may log in from {', '.join(map(str, user.allow_from[:3]))} only"
        elif password is None:
            without[user.address] = "its password is not known here"
        else:
            accounts.append(Account(user.address, password, user.protocols))
    return accounts, without
