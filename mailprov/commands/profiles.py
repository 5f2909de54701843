"""mailprov profiles."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands import completing, console
from mailprov.commands.options import Roots, address, declaration, shown
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit
from mailprov.model import Protocol_
from mailprov.report.json import document
from mailprov.workflows.profile_jobs import How
from mailprov.workflows.profiles import languages
from mailprov.workflows.profiles import profiles as write_profiles


@click.command("profiles")
@declaration
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The folder.")
@click.option(
    "--user",
    "users",
    multiple=True,
    type=address,
    metavar="ADDRESS",
    shell_complete=completing.users,
    help="Only for this person (may be given again).",
)
@click.option(
    "--lang",
    default="",
    metavar="TAGS",
    shell_complete=completing.languages,
    help="The guides' languages (en,zh). Default: each person's own.",
)
@click.option(
    "--prefer",
    type=click.Choice(["pop3", "imap"]),
    default="pop3",
    show_default=True,
    help="What is set up for people who may use both.",
)
@click.option(
    "--helpdesk",
    default="",
    type=shown,
    metavar="TEXT",
    help="Whom the guides say to ask: a name, a number, an address.",
)
@click.option("--verified", is_flag=True, help="Only listeners whose TLS is found good from here, now.")
@click.option("--ca", type=Roots(exists=True), help="For --verified: further root certificates.")
@click.option(
    "--sign-cert", type=click.Path(path_type=Path, exists=True), help="Signs .mobileconfig files (PEM chain)."
)
@click.option("--sign-key", type=click.Path(path_type=Path, exists=True), help="That certificate's key (PEM).")
@reported("json")
def command(
    outputs: Outputs,
    file: Path,
    limit: tuple[str, ...],
    output: Path,
    users: tuple[str, ...],
    lang: str,
    prefer: str,
    helpdesk: str,
    verified: bool,
    ca: Path | None,
    sign_cert: Path | None,
    sign_key: Path | None,
) -> Exit:
    """Write what people's mail programs need, and a guide for each person. Never a password.

    \b
    DIR/people/ADDRESS/   guide (PDF and HTML), Apple profile, QR code for Thunderbird on Android,
                          autoconfig and autodiscover XML, mpop, fetchmail and mbsync files
    DIR/publish/          what each domain's web servers publish, for programs that look by themselves,
                          and DOMAIN.nginx.conf that serves it

    DIR is new, or was made by this verb before: then the files of people who are gone are deleted.

    Only listeners that are declared, and protocols that the person may use. Needs the extra `profiles`. Profiles are
    signed with the declared certificate where its key is here (`tls: {certificate: …, key: …}`).
    """
    wanted: Protocol_ = "imap" if prefer == "imap" else "pop3"
    how = How(users, languages(lang), wanted, verified, ca, sign_cert, sign_key, helpdesk)
    made = write_profiles(file, limit, output, how, Terminal())
    count = f"{made.people:,} {'person' if made.people == 1 else 'people'}"
    and_domains = f", {made.domains:,} domain{'' if made.domains == 1 else 's'}" if made.domains else ""
    and_gone = f"; {made.deleted:,} old file{'' if made.deleted == 1 else 's'} deleted" if made.deleted else ""
    console.say(f"wrote profiles into {output}: {count}{and_domains}{and_gone}", "good")
    told = {"folder": str(output), "people": made.people, "domains": made.domains, "deleted": made.deleted}
    outputs.give(json=lambda: document("profiles", **told))
    return Exit.DONE
