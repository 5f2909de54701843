"""mailprov doctor."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import click

from mailprov.commands import completing, console
from mailprov.commands.options import Roots, address, in_file
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.providers import Provider, catalogue, corrected, search
from mailprov.report import json, markdown, text
from mailprov.report.text import Line
from mailprov.workflows.doctor import Examined, How, diagnoses, elsewhere
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts_if_any, load


@click.command("doctor")
@in_file
@click.option(
    "--limit",
    "--host",
    "limit",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.hosts_and_groups,
    help="Only this host, or this group's.",
)
@reported("json", "markdown")
@click.option(
    "--provider",
    default="",
    metavar="NAME",
    shell_complete=completing.providers,
    help="Look at a mail provider (see `mailprov providers`).",
)
@click.option(
    "--user",
    default="",
    type=address,
    metavar="ADDRESS",
    shell_complete=completing.users,
    help="Whose mail does not work.",
)
@click.option("--password-env", default="", metavar="NAME", help="The variable with the password, to try one login.")
@click.option(
    "--protocol", type=click.Choice(["pop3", "imap", "submission", "smtp", "sieve"]), help="Look at this one only."
)
@click.option("--port", type=click.IntRange(1, 65535), help="The port that the mail program is set to.")
@click.option("--security", type=click.Choice(["tls", "starttls", "none"]), help="How the mail program encrypts.")
@click.option("--client", default="", metavar="IP", help="The address that the user calls from.")
@click.option("--from-client", is_flag=True, help="Look from here only, as a mail program would: no SSH.")
@click.option("--ca", type=Roots(exists=True), help="Certificates (PEM) that clients were given.")
@click.option("--since", type=click.IntRange(1, 1440), default=15, show_default=True, help="Minutes of the host's log.")
@click.option("--details", is_flag=True, help="Show every step at every listener, and its time.")
def command(
    outputs: Outputs,
    file: Path,
    limit: tuple[str, ...],
    user: str,
    password_env: str,
    protocol: str | None,
    port: int | None,
    security: str | None,
    client: str,
    from_client: bool,
    ca: Path | None,
    since: int,
    details: bool,
    provider: str,
) -> Exit:
    """Find out why mail does not work: the causes, how they are known, their cure, and what to tell the user.

    Goes the way of a mail program, from DNS to the open mailbox, and asks the host over SSH for what no client is
    told: its log, services, firewall, disks, clock, and the user's account. It changes nothing, and tries one failing
    login at most. Exit 9: a cause was found. docs/doctor.md has all causes.

    \b
      mailprov doctor --user alice@example.com
      mailprov doctor --user alice@example.com --password-env PASSWORD --protocol imap
      mailprov doctor --user alice@example.com --port 995 --security starttls
      mailprov doctor --provider qq --user alice@qq.com --password-env CODE
    """
    asked = (protocol or "", port or 0, security or "", ip(client))
    how = How(user, password_env, *asked, from_client, ca, since, details, provider)
    terminal = Terminal(details)
    if provider:
        return _tell([elsewhere(_provider(provider), how, terminal)], (), outputs, how)
    spec = load(file, SESSION, terminal)
    chosen = hosts_if_any(spec, limit)
    done, failures = diagnoses(spec, chosen, how, terminal)
    return max(_tell(done, failures, outputs, how), worst(failures, len(chosen)))


def ip(text: str) -> str:
    """An IP address in its usual form; "" stays. Raises MailprovError for anything else."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError as error:
        raise MailprovError(f"`{text}` is no IP address", where="--client", fix="for example 192.0.2.7") from error


def _tell(done: Sequence[Examined], failures: Sequence[MailprovError], outputs: Outputs, how: How) -> Exit:
    for each in done if outputs.text else ():
        console.show(text.diagnosis(each.place.name, each.checks, each.found, details=how.details))
        console.show([Line(f"  {words}") for words in each.place.words])
    found = [(each.place.name, each.checks, each.found) for each in done]
    outputs.give(
        json=lambda: json.diagnoses(found, failures),
        markdown=lambda: markdown.diagnoses(found, failures),
    )
    return Exit.UNVERIFIED if any(each.found.causes for each in done) else Exit.DONE


def _provider(text: str) -> Provider:
    wrong = corrected(text)
    found = (catalogue()[wrong.provider],) if wrong is not None else search(text)
    if wrong is not None:
        console.show([Line(f"! {wrong}", "warn")], err=True)
    if len(found) != 1:
        names = ", ".join(each.id for each in found or catalogue().values())
        what = f"`{text}` may be several providers" if found else f"no provider is known as `{text}`"
        raise MailprovError(what, where="--provider", fix=f"say which one: {names}")
    return found[0]
