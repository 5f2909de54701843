"""Verbs about people: staff lists, what sets up their mail programs, and what is handed out to them."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.cli.options import address, declaration, handed, in_file
from mailprov.cli.root import cli
from mailprov.errors import Exit, MailprovError


@cli.group()
def users() -> None:
    """Staff lists: the mailboxes of a whole company, from a table.

    \b
    A staff list is declared as an item of `users` in mail.yaml:
      - from_csv: staff.csv
    """


@users.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--encoding", default="", help="How the text is encoded. Default: a byte order mark, UTF-8, or GB18030.")
@click.option("--domain", default="", help="The domain of users whose row has the part before the @ only.")
def users_import(file: Path, encoding: str, domain: str) -> Exit:
    """Show how FILE (CSV, or .xlsx) is understood, and everything that is wrong in it. Writes nothing.

    The first line names the columns, in English or Chinese, as Excel and other mail systems write them:

    \b
      address (邮箱地址), or local_part (帐号) and domain
      name (姓名), or first name and last name
      password_hash, {SCHEME} first: the table owns the password
      password (密码): set when the mailbox is made, and the user's own from then on; without it one is generated
      quota (容量) with its unit, expire (保留天数), protocols, aliases (别名), enabled
      contact (个人邮箱), department (部门), title (职务), mobile (手机), employee_id (工号)
    """
    from mailprov.verbs import users as verb

    return verb.show_import(file, encoding, domain)


@cli.group()
def handout() -> None:
    """Generated passwords and profiles: who waits for theirs, how people get them, and when they are gone.

    A user for whom no password is declared gets a generated one when an apply creates the account. It is kept in the
    folder handout/ beside mail.yaml, which nobody else can look into and Git leaves alone, until you purge it.
    """


@handout.command("list")
@in_file
@handed
def handout_list(file: Path, handout: Path | None) -> Exit:
    """Show who waits for a password, since when, and to whom it was sent. No password is shown."""
    from mailprov.verbs import handout as verb

    return verb.show(file, handout)


@handout.command("purge")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...")
@in_file
@handed
@click.option("--expired", is_flag=True, help="Only those that should have gone by now.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
def handout_purge(addresses: tuple[str, ...], file: Path, handout: Path | None, expired: bool, yes: bool) -> Exit:
    """Remove generated passwords: the whole folder, or only those of ADDRESS, or those past their day.

    They go on working. Nobody can show them again: a host has only their hashes.
    """
    from mailprov.verbs import handout as verb

    return verb.purge(file, handout, addresses, expired=expired, yes=yes)


@handout.command("send")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...")
@in_file
@handed
@click.option("--passwords", is_flag=True, help="Each one's generated password, to the contact address.")
@click.option("--profiles", type=click.Path(path_type=Path), metavar="DIR", help="The files of DIR/people/ADDRESS/.")
@click.option("--welcome", is_flag=True, help="A welcome, straight into the new mailbox.")
@click.option("--send", "really", is_flag=True, help="Really send; otherwise it is only shown who would get what.")
@click.option("--again", is_flag=True, help="Send also what was sent before.")
@click.option("--per-minute", type=click.IntRange(1, 6000), default=30, show_default=True, help="No more than so many.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="A PEM bundle of further root certificates.")
def handout_send(
    addresses: tuple[str, ...],
    file: Path,
    handout: Path | None,
    passwords: bool,
    profiles: Path | None,
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
    from mailprov.handout.records import What
    from mailprov.verbs import send as verb

    if passwords + (profiles is not None) + welcome != 1:
        raise MailprovError("one thing at a time", cure="add one of --passwords, --profiles DIR, --welcome")
    what: What = "passwords" if passwords else "welcome" if welcome else "profiles"
    return verb.send(file, verb.How(what, profiles, addresses, really, again, per_minute, ca, handout))


@cli.command()
@declaration
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The folder.")
@click.option(
    "--user", "users", multiple=True, type=address, metavar="ADDRESS", help="Only for this person (may be given again)."
)
@click.option("--lang", default="en,zh", show_default=True, metavar="TAGS", help="The languages of the guides.")
@click.option(
    "--prefer",
    type=click.Choice(["pop3", "imap"]),
    default="pop3",
    show_default=True,
    help="What is set up for people who may use both.",
)
@click.option(
    "--helpdesk", default="", metavar="TEXT", help="Whom the guides say to ask: a name, a number, an address."
)
@click.option("--verified", is_flag=True, help="Only listeners whose TLS is found good from here, now.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="For --verified: further root certificates.")
@click.option(
    "--sign-cert", type=click.Path(path_type=Path, exists=True), help="Signs .mobileconfig files (PEM chain)."
)
@click.option("--sign-key", type=click.Path(path_type=Path, exists=True), help="That certificate's key (PEM).")
def profiles(
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
    DIR/publish/          what each domain's web servers publish, for programs that look by themselves

    DIR is new, or was made by this verb before: then the files of people who are gone are deleted.

    Only listeners that are declared, and protocols that the person may use. Needs mailprov[profiles]. Profiles are
    signed with the declared certificate where its key is here (`tls: {certificate: …, key: …}`).
    """
    from mailprov.verbs import profiles as verb

    how = verb.How(
        users, verb.languages(lang), "imap" if prefer == "imap" else "pop3", verified, ca, sign_cert, sign_key, helpdesk
    )
    return verb.profiles(file, limit, output, how)
