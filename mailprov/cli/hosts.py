"""Verbs about hosts: what they are in, what would change, the change, and its check."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.cli.options import address, agreed, consents, declaration, formatted, handed, in_file, listed, sharded
from mailprov.cli.root import cli
from mailprov.errors import Exit, MailprovError


@cli.command()
@click.argument("host")
@in_file
@click.option("--yes", is_flag=True, help="Record without asking: only when the fingerprint is known to be right.")
@click.option("--replace", is_flag=True, help="Record even where another key is known for this host.")
def trust(host: str, file: Path, yes: bool, replace: bool) -> Exit:
    """Show a host's SSH fingerprints, and record them when you say so.

    Compare them with what the host itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub).
    """
    from mailprov.verbs import trust as verb

    return verb.trust(host, file, yes=yes, replace=replace)


@cli.command()
@declaration
@formatted
@click.option("--details", is_flag=True, help="Show new files whole, and every account and address by name.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the plan here, for `mailprov apply PLAN`.")
@sharded
@handed
def plan(
    file: Path,
    limit: tuple[str, ...],
    form: str,
    details: bool,
    detailed_exitcode: bool,
    out: Path | None,
    shard: str,
    executor: str,
    handout: Path | None,
) -> Exit:
    """Show what an apply would change, why, and what it does to live sessions. Changes nothing.

    "pending": the declaration moved since the last apply. "drift": the host moved.
    """
    from mailprov.verbs import plan as verb

    return verb.plan(file, limit, verb.How(form, out, shard, executor, handout, details, detailed_exitcode))


@cli.command()
@click.argument("plan", required=False, type=click.Path(path_type=Path))
@declaration
@click.option("--details", is_flag=True, help="Show new files whole, and every account and address by name.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@consents
@click.option("--canary", type=click.IntRange(0), default=1, show_default=True, help="So many hosts go first.")
@click.option("--batch", default="20%", show_default=True, metavar="N|N%", help="So many hosts follow at a time.")
@click.option("--max-failures", type=click.IntRange(0), default=0, show_default=True, help="More failed hosts end it.")
@formatted
@sharded
@handed
def apply(
    plan: Path | None,
    file: Path,
    limit: tuple[str, ...],
    details: bool,
    yes: bool,
    canary: int,
    batch: str,
    max_failures: int,
    form: str,
    shard: str,
    executor: str,
    handout: Path | None,
    **allowed: bool,
) -> Exit:
    """Plan, ask, change the hosts; confirmed from here over a new connection, or taken back by the host itself.

    PLAN is a file that `mailprov plan --out` made. The plan is made anew, from the declaration (-f) and the hosts, and
    carried out where it is to the letter the one that was kept; else it is refused: exit 4 where anything moved, exit 3
    where the file is not as it was written. Nothing is ever done because the file says so.

    A new account for which no password is declared gets a generated one, which is kept in a folder that nobody else
    can look into before any host is touched: see `mailprov handout`.

    Several hosts are changed batch by batch, the canary first. A host that cannot be reached counts as failed. Hosts
    that are done stay done: run it again to go on.

    Interrupted (Ctrl-C), it says what each host does now and until when: a host that has been handed its work carries
    it out by itself, and puts everything back when nobody confirms it.
    """
    from mailprov.rollout import Pace
    from mailprov.verbs import apply as verb

    consent, pace = verb.Consent(yes, agreed(allowed), details), Pace(canary, batch, max_failures)
    how = verb.How(consent, pace, form, shard, executor, handout)
    return verb.apply(file, limit, plan, how)


@cli.command()
@declaration
@formatted
@click.option(
    "--user", type=address, metavar="ADDRESS", help="Log in as this account instead of one made for the check."
)
@click.option("--password-env", metavar="NAME", help="The environment variable that holds that account's password.")
@click.option(
    "--no-login",
    is_flag=True,
    help="Only look at the listeners: no account, nothing sent; SSH only where the host keeps its own certificate.",
)
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="A PEM bundle of further root certificates.")
@click.option("--details", is_flag=True, help="Show every step and its time, or every account.")
@click.option("--all-users", is_flag=True, help="Log in every account whose password is known, by all that it may use.")
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="With --all-users: write JUnit XML, too."
)
@handed
def verify(
    file: Path,
    limit: tuple[str, ...],
    form: str,
    user: str | None,
    password_env: str | None,
    no_login: bool,
    ca: Path | None,
    details: bool,
    all_users: bool,
    junit: Path | None,
    handout: Path | None,
) -> Exit:
    """Look at each listener as a client would: TLS, certificate, a login, a message sent and fetched.

    Makes a test account for the check and removes it afterwards, or uses yours (--user).

    --all-users logs in everybody instead: each account whose initial password is declared or still in the hand-out
    folder, once by each protocol, and never again once it was refused. Whoever chose another password is refused.
    """
    from mailprov.verbs import verify as verb

    how = verb.How(user, password_env, no_login, ca, details, junit, handout)
    if not all_users:
        if junit is not None:
            raise MailprovError("--junit is for --all-users", cure="add --all-users")
        return verb.verify(file, limit, form, how)
    if user or no_login or form == "markdown":
        raise MailprovError("--all-users goes with --format text or json, and without --user or --no-login")
    from mailprov.verbs import everybody

    return everybody.verify(file, limit, form, how)


@cli.command()
@in_file
@click.option("--limit", "--host", "limit", multiple=True, metavar="NAME", help="Only this host, or this group's.")
@formatted
@click.option("--provider", default="", metavar="NAME", help="Look at a mail provider (see `mailprov providers`).")
@click.option("--user", default="", type=address, metavar="ADDRESS", help="Whose mail does not work.")
@click.option("--password-env", default="", metavar="NAME", help="The variable with the password, to try one login.")
@click.option("--protocol", type=click.Choice(["pop3", "imap", "submission", "smtp"]), help="Look at this one only.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port that the mail program is set to.")
@click.option("--security", type=click.Choice(["tls", "starttls", "none"]), help="How the mail program encrypts.")
@click.option("--client", default="", metavar="IP", help="The address that the user calls from.")
@click.option("--from-client", is_flag=True, help="Look from here only, as a mail program would: no SSH.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="Certificates (PEM) that clients were given.")
@click.option("--since", type=click.IntRange(1, 1440), default=15, show_default=True, help="Minutes of the host's log.")
@click.option("--details", is_flag=True, help="Show every step at every listener, and its time.")
def doctor(
    file: Path,
    limit: tuple[str, ...],
    form: str,
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
    from mailprov.verbs import doctor as verb

    how = verb.How(
        user,
        password_env,
        protocol or "",
        port or 0,
        security or "",
        verb.ip(client),
        from_client,
        ca,
        since,
        details,
        provider,
    )
    return verb.doctor(file, limit, form, how)


@cli.command()
@declaration
@listed
def status(file: Path, limit: tuple[str, ...], form: str) -> Exit:
    """Show what runs on each host, and which services are down.

    An apply that is at work (whose, at which step, until when it waits for a confirmation) or was cut off, services
    that are down, a reload that is pending; else the host is idle. Changes nothing. Exit 0 wherever it could be read.
    """
    from mailprov.verbs import past

    return past.status(file, limit, form)


@cli.command()
@declaration
@listed
def history(file: Path, limit: tuple[str, ...], form: str) -> Exit:
    """Show who applied what, when, and how it ended.

    Each line names the commit, too. Exit 1: the record has a gap, so somebody has edited it on the host.
    """
    from mailprov.verbs import past

    return past.show_history(file, limit, form)


@cli.command()
@declaration
@click.option("--to", "target", metavar="APPLY", help="Back to before this apply (a name that `history` shows).")
@click.option("--details", is_flag=True, help="Show every account and address by name.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@consents
@handed
def rollback(
    file: Path,
    limit: tuple[str, ...],
    target: str | None,
    details: bool,
    yes: bool,
    handout: Path | None,
    **allowed: bool,
) -> Exit:
    """Put hosts back as they were before the last apply, or before an earlier one of the last 10.

    It is planned, agreed to, carried out and confirmed as an apply is, and is one: a second rollback takes the first
    back; --to goes further. The declaration stays as it is: the next apply brings back what it says. Mail, installed
    packages, and passwords that users have changed since are left as they are.
    """
    from mailprov.verbs import rollback as verb
    from mailprov.verbs.apply import Consent

    return verb.rollback_hosts(file, limit, target, Consent(yes, agreed(allowed), details), handout)


@cli.command()
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...")
@declaration
@click.option("--delete", "count", type=int, metavar="N", help="Delete them: N must be how many mailboxes that are.")
def purge(addresses: tuple[str, ...], file: Path, limit: tuple[str, ...], count: int | None) -> Exit:
    """Show mail that closed accounts have left on the hosts; delete it only when told how many mailboxes that are.

    Nothing else deletes mail. It cannot be taken back, and it is written into the host's history.
    """
    from mailprov.verbs import purge as verb

    return verb.purge(file, limit, addresses, count)


@cli.command()
@declaration
@click.option("--release", type=click.Choice(["bullseye", "bookworm", "trixie"]), default="bookworm", show_default=True)
@click.option("--keep", is_flag=True, help="Leave the hosts running until Enter or Ctrl-C.")
def rehearse(file: Path, limit: tuple[str, ...], release: str, keep: bool) -> Exit:
    """Boot a disposable Debian host for each declared one; apply, verify, plan again, and throw them away.

    Needs Linux, root and systemd-nspawn on this machine. The declared hosts are not touched.
    """
    from mailprov.verbs import rehearse as verb

    return verb.rehearse(file, limit, release, keep=keep)
