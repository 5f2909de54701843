"""mailprov verify."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError, VerifyError
from mailprov.model import HostSpec, Secret, Spec
from mailprov.report import json, markdown, text
from mailprov.report.text import Line
from mailprov.testaccount import test_account
from mailprov.verbs import console, outside
from mailprov.verbs.session import hosts, load, session, worst
from mailprov.verify import Account, Check


@dataclass(frozen=True, slots=True)
class How:
    """With which account, if any, and whose certificates are trusted beside the declared one.

    `junit` and `handout` are for everybody's logins: a file to write, and the folder with generated passwords.
    """

    user: str | None = None
    password_env: str | None = None
    no_login: bool = False
    roots: Path | None = None
    details: bool = False
    junit: Path | None = None
    handout: Path | None = None


def verify(file: Path, limit: Sequence[str], form: str, how: How) -> Exit:
    """Look at each host as a client; exit 9 when one does not serve what is declared."""
    spec = load(file)
    chosen = hosts(spec, limit)
    found: list[tuple[str, Sequence[Check]]] = []
    failures: list[MailprovError] = []
    for declared in chosen:
        try:
            checks = one(spec, declared, how, live=form == "text")
        except MailprovError as error:
            error.where = error.where or declared.name
            failures.append(error)
            console.say(f"Error: {error}", "bad")
            continue
        found.append((declared.name, checks))
    if form == "json":
        click.echo(json.checks(found))
    elif form == "markdown":
        click.echo(markdown.checks(found))
    if failures:
        return worst(failures, len(chosen))
    return Exit.UNVERIFIED if any(check.failed for _, checks in found for check in checks) else Exit.DONE


def one(spec: Spec, declared: HostSpec, how: How, *, live: bool) -> Sequence[Check]:
    """The checks of one host, printed as they come when `live`. Raises ConnectError, HostError or MailprovError."""
    with ExitStack() as stack:
        host = None if how.no_login and declared.tls.source == "file" else stack.enter_context(session(declared))
        leaf = outside.kept_leaf(declared, host) if host else ""
        trusted = outside.trust(declared, leaf, how.roots)
        domains = spec.domains_of(declared.name)
        account, whose = None, "without a login"
        if how.user and not how.no_login:
            account = _own(spec, how)
            whose = f"as {account.address}"
        elif host is not None and domains and not how.no_login:
            account = stack.enter_context(test_account(host, domains[0].name))
            whose = f"as {account.address} (made for this check, removed after it)"
        if live:
            console.show([Line(f"{declared.name}  {whose}", "head")])
        with console.doing(f"looking at {declared.name} as a client"):
            checks = outside.everything(declared, trusted, account)
    if live:
        console.show(text.verification(checks, details=how.details))
    return checks


def require(name: str, checks: Sequence[Check]) -> None:
    """Raises VerifyError, naming the step, when the host does not serve what is declared."""
    failed = [check for check in checks if check.failed]
    if failed:
        first = failed[0]
        raise VerifyError(f"{first.endpoint}: {first.step} failed: {first.detail}", where=name)


def _own(spec: Spec, how: How) -> Account:
    password = os.environ.get(how.password_env or "")
    if password is None:
        what = f"{how.password_env} is not set" if how.password_env else "a password is needed with --user"
        raise MailprovError(what, where="--password-env", cure="name the variable that holds the account's password")
    user = next((user for user in spec.users if user.address == how.user), None)
    if user is None:
        raise MailprovError(f"{how.user} is not declared", where="--user", cure="use a declared mailbox's address")
    return Account(user.address, Secret(password), user.protocols)
