"""mailprov password: a hash for the declaration, and new passwords for people who have lost theirs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from mailprov.commands import completing, console
from mailprov.commands.options import address, handed, in_file
from mailprov.commands.outputs import Outputs, give_rollout, refusable, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.declaration import hashes
from mailprov.declaration.cells import MAX_PASSWORD, plaintext
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.weakness import weakness
from mailprov.engine.risks import FLAGS
from mailprov.errors import Exit, MailprovError
from mailprov.model import Secret
from mailprov.report.text import Line

_LONGEST: Final = 4 * (MAX_PASSWORD + 1) + len("\r\n")
"""bytes of a line of which nobody needs to see the rest"""


@click.group("password", invoke_without_command=True)
@click.option("--scheme", type=click.Choice(["SHA512-CRYPT"]), default="SHA512-CRYPT", show_default=True)
@click.pass_context
def command(context: click.Context, scheme: str) -> Exit:
    """Ask for a password and print its hash, for `password: {hash: …}`. Reads a line of stdin without a terminal.

    `mailprov password reset` gives people new passwords.
    """
    if context.invoked_subcommand is not None:
        return Exit.DONE
    from mailprov.credentials.passwords import sha512_crypt

    text = _asked("Password")
    if scheme != "SHA512-CRYPT":
        raise MailprovError(f"{scheme} is not known here")
    click.echo(sha512_crypt(text).reveal())
    return Exit.DONE


@command.command("reset")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...", shell_complete=completing.users)
@in_file
@click.option("--from", "table", type=click.Path(path_type=Path), metavar="FILE", help="A table of addresses, too.")
@click.option(
    "--domain",
    default="",
    shell_complete=completing.domains,
    help="The domain of rows in FILE that have the part before the @ only.",
)
@click.option("--ask", is_flag=True, help="Ask for the new password of the one ADDRESS; otherwise it is generated.")
@click.option("--end-sessions", is_flag=True, help="End the sessions that are open with the former password.")
@click.option("--details", is_flag=True, help="Show every account by name.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@click.option("--allow-many", is_flag=True, help=FLAGS["many"])
@reported("json", "markdown")
@handed
def password_reset(
    outputs: Outputs,
    addresses: tuple[str, ...],
    file: Path,
    table: Path | None,
    domain: str,
    ask: bool,
    end_sessions: bool,
    details: bool,
    yes: bool,
    allow_many: bool,
    handout: Path | None,
) -> Exit:
    """Give accounts new passwords, on every host that has them, and keep these to hand them out.

    It is planned, agreed to, carried out, tried by a login and put back where that fails, as an apply is. It changes
    nothing else of what is declared. The passwords are kept in the hand-out folder, in place of what waited there for
    these people: `mailprov handout send --passwords` mails them.

    A password that is declared as a hash is changed in the declaration. A rollback leaves new passwords as they are.
    """
    from mailprov.workflows.password_reset import Order, reset

    named = (*addresses, *_listed(table, domain))
    if not named:
        raise MailprovError("nobody is named", fix="give addresses, or a table of them with --from FILE")
    if ask and len(set(named)) != 1:
        raise MailprovError("one password is asked for, and several accounts are named", fix="reset them one by one")
    asked = _asked(f"New password of {named[0]}", named[0]) if ask else None
    consents = frozenset({"many"} if allow_many else ())
    terminal = Terminal(details, yes, err=not outputs.text)
    with refusable(outputs, terminal):
        results = reset(Order(file, named, asked, end_sessions, consents, handout), terminal)
    give_rollout(outputs, results, terminal.plans)
    return worst([each.error for each in results if each.error], len(results))


def _listed(table: Path | None, domain: str) -> tuple[str, ...]:
    if table is None:
        return ()
    from mailprov.declaration.staff import listed

    found, warnings = listed(table, domain)
    console.show([Line(f"! {warning}", "warn") for warning in warnings], err=True)
    return found


def _asked(prompt: str, address: str = "") -> Secret:
    """A password, of `address` where it is known, from whoever sits at the terminal or from a line of stdin.

    Warns of one that is guessed soon. Raises MailprovError for none.
    """
    if console.interactive():
        text = click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = _line_of_stdin()
    if not text:
        raise MailprovError("the password is empty", fix="give it as one line of standard input")
    if hashes.is_hash(text) or hashes.is_foreign(text):
        what = "this is the hash of a password, or the mark of a locked account, and no password"
        raise MailprovError(what, fix="give the password itself: its hash is made here")
    _warn_of_weak(text, address)
    try:
        return plaintext(text)
    except InvalidValue as wrong:
        raise MailprovError(wrong.what, fix=wrong.fix) from None


def _warn_of_weak(text: str, address: str) -> None:
    found = weakness(text, address)
    if not found and hashes.is_digest(text):
        found = "looks like a hash in hexadecimal, and is taken for the password itself"
    if found:
        console.show([Line(f"! this password {found}", "warn")], err=True)


def _line_of_stdin() -> str:
    try:
        line = sys.stdin.buffer.readline(_LONGEST)
        text = line.decode("utf-8", "strict" if len(line) < _LONGEST else "replace")  # cut within a character, maybe
    except UnicodeDecodeError:
        fix = "clients send passwords in UTF-8: give it as UTF-8"
        raise MailprovError("the password is not UTF-8", where="standard input", fix=fix) from None
    return text.removesuffix("\n").removesuffix("\r")
