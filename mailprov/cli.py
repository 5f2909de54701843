"""The command line: each verb's options, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mailprov import __version__
from mailprov.errors import Exit, MailprovError

F = TypeVar("F", bound=Callable[..., Any])

EXIT_CODES = """\b
Exit codes, the same for every verb:
  0  done, or no change        5  the plan is unsafe without consent
  1  error                     6  applied, but put back
  2  plan found changes        7  some hosts failed
     (--detailed-exitcode)     8  another apply holds the lock
  3  the declaration is invalid
  4  the plan is stale         9  verification failed"""

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=SETTINGS, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="mailprov")
def cli() -> None:
    """Turn Debian hosts into mail servers, from one YAML file, over SSH.

    Write mail.yaml, look at the plan, apply it:

    \b
      mailprov init                  a commented mail.yaml to start from
      mailprov trust mail1           record the host's SSH key
      mailprov plan                  what would change, and why; changes nothing
      mailprov apply                 the plan, a question, the change, a check
      mailprov verify                log in, send and fetch as a user would
    """


def declaration(function: F) -> F:
    """-f and --limit, for every verb that acts on the declared hosts."""
    words = "Only this host, or the hosts of this group (may be given again)."
    limit = click.option("--limit", multiple=True, metavar="NAME", help=words)
    return in_file(limit(function))


def in_file(function: F) -> F:
    """-f, for every verb that reads the declaration."""
    return click.option(
        "-f",
        "--file",
        "file",
        type=click.Path(path_type=Path),
        default=Path("mail.yaml"),
        show_default=True,
        help="The declaration.",
    )(function)


def formatted(function: F) -> F:
    """--format, for every verb that reports."""
    choice = click.Choice(["text", "json", "markdown"])
    return click.option("--format", "form", type=choice, default="text", show_default=True, help="The report's form.")(
        function
    )


def sharded(function: F) -> F:
    """--shard and --executor, for verbs whose work several machines may share."""
    text = "The K-th of N parts of the hosts, for N machines that share the work."
    where = "Who does the work: threads here, or the workers of a Dask cluster, dask://HOST:PORT."
    shard = click.option("--shard", default="", metavar="K/N", help=text)
    executor = click.option("--executor", default="threads", show_default=True, metavar="WHERE", help=where)
    return shard(executor(function))


@cli.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("mail.yaml"), show_default=True)
def init(output: Path) -> Exit:
    """Write a commented mail.yaml to start from. Never overwrites a file."""
    from mailprov.verbs import offline

    return offline.init(output)


@cli.command()
@declaration
def validate(file: Path, limit: tuple[str, ...]) -> Exit:
    """Check the declaration and everything that it points to: every error at once, with its line."""
    from mailprov.verbs import offline

    return offline.validate(file, limit)


@cli.command()
@click.argument("host", metavar="HOST[.KEY]")
@in_file
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(host: str, file: Path, form: str) -> Exit:
    """Show what a host gets, and from where: each value, its level and its place, and what it overrides.

    No host is asked, and secrets are left out. KEY narrows it: mailprov explain mail1.services.pop3
    """
    from mailprov.verbs import explain as verb

    return verb.explain(host, file, form)


@cli.command()
@declaration
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new folder.")
@click.option("--release", type=click.Choice(["11", "12", "13"]), default="13", show_default=True, help="Debian's.")
def render(file: Path, limit: tuple[str, ...], output: Path, release: str) -> Exit:
    """Write the files that each host would get, into DIR/HOST/. No host is asked; secrets are left out."""
    from mailprov.verbs import offline

    return offline.render(file, limit, output, release)


@cli.command()
@click.option("--json-schema", is_flag=True, help="Print the JSON Schema of mail.yaml (for editors).")
@click.option("--completion", type=click.Choice(["bash", "zsh", "fish"]), help="Print a completion script.")
def shell(json_schema: bool, completion: str | None) -> Exit:
    """What editors and shells want to know of mailprov."""
    from mailprov.verbs import offline

    return offline.shell(json_schema, completion)


@cli.command()
@click.option("--scheme", type=click.Choice(["SHA512-CRYPT"]), default="SHA512-CRYPT", show_default=True)
def password(scheme: str) -> Exit:
    """Ask for a password and print its hash, for `password: {hash: …}`. Reads a line of stdin without a terminal."""
    from mailprov.verbs import offline

    return offline.password(scheme)


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
      password (密码): set when the mailbox is made, and the user's own from then on
      quota (容量) with its unit, protocols, aliases (别名), enabled
      contact (个人邮箱), department (部门), title (职务), mobile (手机), employee_id (工号)
    """
    from mailprov.verbs import users as verb

    return verb.show_import(file, encoding, domain)


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
def plan(
    file: Path,
    limit: tuple[str, ...],
    form: str,
    details: bool,
    detailed_exitcode: bool,
    out: Path | None,
    shard: str,
    executor: str,
) -> Exit:
    """Show what an apply would change, why, and what it does to live sessions. Changes nothing.

    "pending": the declaration moved since the last apply. "drift": the host moved.
    """
    from mailprov.verbs import plan as verb

    return verb.plan(file, limit, verb.How(form, out, shard, executor, details, detailed_exitcode))


@cli.command()
@click.argument("plan", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@declaration
@click.option("--details", is_flag=True, help="Show new files whole, and every account and address by name.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@click.option("--allow-removals", is_flag=True, help="Accounts may be closed (their mail is kept).")
@click.option("--allow-many", is_flag=True, help="Many accounts may change at once (5 and 30 %, or more).")
@click.option("--allow-closing", is_flag=True, help="Ports that are open may be closed.")
@click.option("--allow-shrinking", is_flag=True, help="Quotas may fall below what is used.")
@click.option("--canary", type=click.IntRange(0), default=1, show_default=True, help="So many hosts go first.")
@click.option("--batch", default="20%", show_default=True, metavar="N|N%", help="So many hosts follow at a time.")
@click.option("--max-failures", type=click.IntRange(0), default=0, show_default=True, help="More failed hosts end it.")
@formatted
@sharded
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
    **allowed: bool,
) -> Exit:
    """Plan, ask, change the hosts; confirmed from here over a new connection, or taken back by the host itself.

    PLAN is a file that `mailprov plan --out` made: just that is applied, or refused (exit 4) where anything moved.

    Several hosts are changed batch by batch, the canary first. A host that cannot be reached counts as failed. Hosts
    that are done stay done: run it again to go on.
    """
    from mailprov.rollout import Pace
    from mailprov.verbs import apply as verb

    flags = frozenset(name.removeprefix("allow_") for name, given in allowed.items() if given)
    how = verb.How(verb.Consent(yes, flags, details), Pace(canary, batch, max_failures), form, shard, executor)
    return verb.apply(file, limit, plan, how)


@cli.command()
@declaration
@formatted
@click.option("--user", metavar="ADDRESS", help="Log in as this account instead of one made for the check.")
@click.option("--password-env", metavar="NAME", help="The environment variable that holds that account's password.")
@click.option("--no-login", is_flag=True, help="Only look at the listeners: no account, nothing sent, no SSH.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="A PEM bundle of further root certificates.")
@click.option("--details", is_flag=True, help="Show every step and its time.")
def verify(
    file: Path,
    limit: tuple[str, ...],
    form: str,
    user: str | None,
    password_env: str | None,
    no_login: bool,
    ca: Path | None,
    details: bool,
) -> Exit:
    """Look at each listener as a client would: TLS, certificate, a login, a message sent and fetched.

    Makes a test account for the check and removes it afterwards, or uses yours (--user).
    """
    from mailprov.verbs import verify as verb

    return verb.verify(file, limit, form, verb.How(user, password_env, no_login, ca, details))


@cli.command()
@declaration
def status(file: Path, limit: tuple[str, ...]) -> Exit:
    """Show what each host is in: at rest, at work, cut off, or owing a reload. Changes nothing."""
    from mailprov.verbs import past

    return past.status(file, limit)


@cli.command()
@declaration
def history(file: Path, limit: tuple[str, ...]) -> Exit:
    """Show who applied what to each host, when, from which commit, and how it ended."""
    from mailprov.verbs import past

    return past.show_history(file, limit)


@cli.command()
@declaration
@click.option("--to", "target", metavar="APPLY", help="Back to before this apply (a name that `history` shows).")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
def rollback(file: Path, limit: tuple[str, ...], target: str | None, yes: bool) -> Exit:
    """Put hosts back as they were before the last apply, or before an earlier one of the last 10.

    Mail, installed packages, and passwords that users have changed since are left as they are.
    """
    from mailprov.verbs import past

    return past.rollback(file, limit, target, yes=yes)


@cli.command()
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
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


def main(arguments: list[str] | None = None) -> None:
    """Run a verb and leave with its exit code; every error is a message here, never a traceback."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """The exit code of one command line."""
    try:
        status = cli.main(arguments, standalone_mode=False, prog_name="mailprov")
        return int(status) if isinstance(status, int) else int(Exit.DONE)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = f"\n{context.get_usage()}\nTry `{context.command_path} --help`." if context else ""
        _say(error.format_message() + usage)
    except MailprovError as error:
        _say(str(error))
        return int(error.exit)
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        _say(f"{error.filename or 'this machine'}: {error.strerror or error}")
    except Exception as error:  # the last line of defence: a mistake of ours is an error message too
        _say(_mistake(error))
    return int(Exit.ERROR)


def _say(text: str) -> None:
    from mailprov.report import printable

    lines = "\n".join(printable(line) for line in text.split("\n"))
    click.echo(click.style("Error: ", fg="red") + lines, err=True, color=None if _coloured() else False)


def _coloured() -> bool:
    from mailprov.verbs.console import coloured

    return coloured(sys.stderr)


def _mistake(error: Exception) -> str:
    """Where a mistake of ours is, without the values that were at hand: those may be secret."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return (
        f"mailprov {__version__} has a mistake: {type(error).__name__}\n  where: {where}\n"
        "  to do: please report this line; nothing else is needed"
    )
