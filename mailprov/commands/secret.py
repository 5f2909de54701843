"""mailprov secret: secrets that stand in the repository, encrypted for those who may open them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mailprov.commands import completing, console
from mailprov.commands.options import in_this_file
from mailprov.errors import Exit, MailprovError, visible
from mailprov.report.text import Line

F = TypeVar("F", bound=Callable[..., Any])


def _identity(function: F) -> F:
    words = "The file with the identity. Default: MAILPROV_AGE_IDENTITY_FILE, or ~/.config/mailprov/age.txt."
    return click.option("--identity", type=click.Path(path_type=Path), metavar="FILE", help=words)(function)


@click.group("secret")
def command() -> None:
    """Keep secrets in the repository, encrypted with age for those in .age-recipients beside the declaration."""


@command.command("init")
@in_this_file
@_identity
def secret_init(file: Path, identity: Path | None) -> Exit:
    """Make an identity that opens secrets, outside the repository, and add its recipient to .age-recipients.

    An identity that is there already is used, an SSH key (ed25519, RSA) as well.
    """
    from mailprov.workflows.secret_init import begin

    begun = begin(file.parent, identity)
    if begun.made:
        console.say(f"made the identity {begun.where}; keep a copy in a safe place: nobody can make it again", "good")
    else:
        console.say(f"uses the identity in {begun.where}")
    for each in begun.recipients:
        console.say(f"{'added to' if each in begun.added else 'is in'} {file.parent / '.age-recipients'}:")
        click.echo(each)
    if begun.added and begun.others:
        console.say("next: have somebody who can open the secrets run `mailprov secret rekey`")
    return Exit.DONE


@command.command("encrypt")
@in_this_file
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write an age file.")
@click.option(
    "--at",
    metavar="FILE:LINE[:COLUMN]",
    shell_complete=completing.place,
    help="Put it into this `age` value of a declaration file.",
)
def secret_encrypt(file: Path, output: Path | None, at: str | None) -> Exit:
    """Encrypt a secret from standard input, or asked for at a terminal, for everybody in .age-recipients.

    It is printed as a text to put below `age: |`, or written where -o or --at say. A new value to fill in with --at is
    written as `age: TODO`.
    """
    from mailprov.encrypted import armour
    from mailprov.workflows import age_files

    if output is not None and at is not None:
        raise MailprovError("-o and --at exclude each other", fix="say one place")
    there = age_files.held(at) if at is not None else age_files.at_file(output) if output is not None else None
    secret = _secret(age_files.LARGEST)
    if there is None:
        click.echo(armour.armoured(age_files.encrypted(file.parent, secret)), nl=False)
        return Exit.DONE
    age_files.put(file.parent, there, secret)
    console.say(f"encrypted: {there.where}", "good")
    if output is not None:
        console.say(f"in the declaration: {{age: {{file: {os.path.relpath(output, file.parent)}}}}}")
    return Exit.DONE


def _secret(limit: int) -> bytes:
    """A secret from whoever sits at the terminal, or all of stdin, as far as it is worth reading."""
    if sys.stdin.isatty():
        return str(click.prompt("Secret", hide_input=True, confirmation_prompt=True, err=True)).encode()
    return sys.stdin.buffer.read(limit + 1)


@command.command("edit")
@click.argument("target", metavar="FILE[:LINE[:COLUMN]]", shell_complete=completing.place)
@in_this_file
@_identity
def secret_edit(target: str, file: Path, identity: Path | None) -> Exit:
    """Open an age file, or an `age` value of a declaration file, in $VISUAL or $EDITOR, and encrypt what is saved.

    While the editor is open the secret is in a folder that nobody else may enter, in memory (/dev/shm) where there is
    such a place. Afterwards it is overwritten and gone.
    """
    from mailprov.commands.editor import edited
    from mailprov.encrypted.decryption import Decryption
    from mailprov.workflows import age_files

    there = age_files.held(target)
    former = age_files.opened(there, Decryption(os.environ, identity))
    name = there.path.name.removesuffix(".age") if there.value is None else "secret"
    secret = edited(former, name, age_files.LARGEST)
    if secret == former:
        console.say("nothing was changed")
        return Exit.DONE
    age_files.put(file.parent, there, secret)
    console.say(f"encrypted: {there.where}", "good")
    return Exit.DONE


@command.command("rekey")
@in_this_file
@_identity
def secret_rekey(file: Path, identity: Path | None) -> Exit:
    """Encrypt all secrets of the declaration anew, for those who are in .age-recipients now: all of them, or none.

    That is every `age` value of the declaration and of what it includes, and every age file that it names. If it is cut
    off, run it again. Who was taken out still has what the repository held before: change those secrets, too.
    """
    from mailprov.workflows.rekey import rekey

    done = rekey(file, identity)
    console.show([Line(f"{visible(path)}: {_some(count, 'value')}") for path, count in done.files.items()])
    total = f"{sum(done.files.values()):,} in {_some(len(done.files), 'file')}"
    console.say(f"encrypted anew for {_some(len(done.recipients), 'recipient')}: {total}", "good")
    return Exit.DONE


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
