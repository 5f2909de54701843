"""mailprov verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from mailprov.checks import Check
from mailprov.commands import completing, console
from mailprov.commands.options import Roots, address, declaration, handed
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.model import Purpose
from mailprov.observer import Failed
from mailprov.report import json, junit, logins, markdown, text
from mailprov.report.logins import LoginReport
from mailprov.report.text import Line
from mailprov.workflows.all_users import all_users as log_in_all
from mailprov.workflows.generated_passwords import folder
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load
from mailprov.workflows.verify import Login
from mailprov.workflows.verify import verify as look_at


@click.command("verify")
@declaration
@reported("json", "markdown", files=("junit",))
@click.option(
    "--user",
    type=address,
    metavar="ADDRESS",
    shell_complete=completing.users,
    help="Log in as this account instead of one made for the check.",
)
@click.option("--password-env", metavar="NAME", help="The environment variable that holds that account's password.")
@click.option(
    "--no-login",
    is_flag=True,
    help="Only look at the listeners: no account, nothing sent; SSH only where the host keeps its own certificate.",
)
@click.option("--ca", type=Roots(exists=True), help="A PEM bundle of further root certificates.")
@click.option("--details", is_flag=True, help="Show every step and its time, or every account.")
@click.option("--all-users", is_flag=True, help="Log in every account whose password is known, by all that it may use.")
@handed
@click.option("--deliverability", is_flag=True, help="Ask DNS whether mail is accepted by others.")
@click.option("--resolver", default="", metavar="IP[:PORT]", help="Ask this resolver. Default: this machine's own.")
def command(
    outputs: Outputs,
    file: Path,
    limit: tuple[str, ...],
    user: str | None,
    password_env: str | None,
    no_login: bool,
    ca: Path | None,
    details: bool,
    all_users: bool,
    handout: Path | None,
    deliverability: bool,
    resolver: str,
) -> Exit:
    """Look at each listener as a client would: TLS, certificate, a login, a message sent and fetched.

    Makes a test account for the check and removes it afterwards, or uses yours (--user).

    --all-users logs in everybody instead: each account whose initial password is declared or still in the hand-out
    folder, once by each protocol, and never again once it was refused. Whoever chose another password is refused.

    --deliverability asks DNS whether mail from here is accepted elsewhere: names of addresses, SPF, DKIM, DMARC, MX,
    and what Gmail, Microsoft, Yahoo, QQ and NetEase ask for. Hosts are asked where a domain is signed, for their keys
    alone. Exit 9 where something fails for senders that are no bulk senders; 1 (of several hosts, 7) where DNS gives
    no answer.
    """
    terminal = Terminal(details)
    if deliverability:
        logins = {"--user": user, "--password-env": password_env, "--all-users": all_users}
        _require_alone({**logins, "--no-login": no_login, "--ca": ca, "--handout": handout})
        return _deliverability(file, limit, outputs, resolver, terminal)
    if resolver:
        raise MailprovError("only --deliverability asks a resolver", where="--resolver", fix="add --deliverability")
    if not all_users:
        return _verify(file, limit, outputs, Login(user, password_env, no_login, ca), terminal)
    if user or no_login:
        raise MailprovError("--all-users goes without --user and --no-login", fix="leave one of them out")
    return _everybody(file, limit, outputs, handout, ca, terminal)


def _verify(file: Path, limit: Sequence[str], outputs: Outputs, how: Login, terminal: Terminal) -> Exit:
    spec = load(file, SESSION, terminal)
    chosen = hosts(spec, limit)
    found: list[tuple[str, Sequence[Check]]] = []
    user = how.user or ""
    failures: list[MailprovError] = []
    for declared in chosen:

        def begun(whose: str, name: str = declared.name) -> None:
            console.show([Line(f"{name}  {whose}", "head")] if outputs.text else [])

        try:
            checks = look_at(spec, declared, how, terminal, begun)
        except MailprovError as error:
            error.at(declared.name)
            failures.append(error)
            terminal.tell(Failed(error))
            continue
        if outputs.text:
            console.show(text.verification(checks, details=terminal.details, host=declared.name, user=user))
        found.append((declared.name, checks))
    outputs.give(
        json=lambda: json.checks(found, failures, user),
        markdown=lambda: markdown.checks(found, failures, user),
        junit=lambda: junit.junit([*(junit.checked(*each, user) for each in found), *junit.failed(failures)]),
    )
    if failures:
        return worst(failures, len(chosen))
    return Exit.UNVERIFIED if any(check.failed for _, checks in found for check in checks) else Exit.DONE


def _everybody(
    file: Path, limit: Sequence[str], outputs: Outputs, handout: Path | None, roots: Path | None, terminal: Terminal
) -> Exit:
    spec = load(file, SESSION | {Purpose.INITIAL}, terminal)
    chosen = hosts(spec, limit)
    entries = folder(file, handout).entries()
    rolls: list[LoginReport] = []
    failures: list[MailprovError] = []
    for declared in chosen:
        try:
            roll = log_in_all(spec, declared, entries, roots, terminal)
        except MailprovError as error:
            error.at(declared.name)
            failures.append(error)
            terminal.tell(Failed(error))
            continue
        rolls.append(roll)
        if outputs.text:
            console.show([Line(f"{declared.name}  everybody whose password is known", "head")])
            console.show(logins.table(roll, details=terminal.details))
    outputs.give(
        json=lambda: logins.as_json(rolls, failures),
        markdown=lambda: markdown.logins(rolls, failures),
        junit=lambda: junit.junit([*map(junit.logged_in, rolls), *junit.failed(failures)]),
    )
    if failures:
        return worst(failures, len(chosen))
    if logins.nobody(rolls):
        console.say("nobody was logged in: no password is known here", "bad")
        return Exit.UNVERIFIED
    return Exit.UNVERIFIED if any(roll.failed for roll in rolls) else Exit.DONE


def _require_alone(others: Mapping[str, object]) -> None:
    """Raises MailprovError where an option is given that wants a login, or a listener."""
    given = [name for name, value in others.items() if value]
    if given:
        fix = "leave one of them out"
        raise MailprovError(f"--deliverability looks at no listener, and goes without {' and '.join(given)}", fix=fix)


def _deliverability(file: Path, limit: Sequence[str], outputs: Outputs, resolver: str, terminal: Terminal) -> Exit:
    from mailprov.dns.resolver import server
    from mailprov.report import deliverability as report
    from mailprov.workflows.deliverability import deliverability as ask
    from mailprov.workflows.public_keys import load_signing

    spec = load_signing(file, terminal)
    named = server(resolver) if resolver else spec.resolver
    chosen = hosts(spec, limit)
    with terminal.during("asking DNS"):
        found = ask(spec, chosen, named)
    told = (found.hosts, found.domains)
    if outputs.text:
        console.show(report.text(*told, found.silent, details=terminal.details))
    outputs.give(
        json=lambda: report.as_json(*told, found.failures, fails=found.fails),
        markdown=lambda: report.as_markdown(*told, found.failures),
        junit=lambda: junit.junit(report.suites(*told, found.failures)),
    )
    for failure in found.failures:
        terminal.tell(Failed(failure))
    return Exit.UNVERIFIED if found.fails else worst(found.failures, len(chosen))
