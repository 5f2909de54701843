"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from mailprov import local_files
from mailprov.credentials.folder import Folder
from mailprov.engine.risks import FLAGS
from mailprov.errors import MailprovError

F = TypeVar("F", bound=Callable[..., Any])


def address(text: str) -> str:
    """An address as the declaration has it: lower case, A-labels; "" stays. Raises MailprovError for what is none."""
    from mailprov.declaration.addresses import mailbox
    from mailprov.declaration.diagnostics import InvalidValue

    try:
        return mailbox(text) if text else ""
    except InvalidValue as wrong:
        raise MailprovError(str(wrong), fix="write the whole address: alice@example.com") from wrong


def shown(text: str) -> str:
    """A text that people are shown, as the declaration takes it. Raises MailprovError for what it refuses."""
    from mailprov.declaration.diagnostics import InvalidValue
    from mailprov.declaration.values import display_name

    try:
        return display_name(text)
    except InvalidValue as wrong:
        raise MailprovError(wrong.what, fix=wrong.fix) from None


class Handed(click.Path):
    """An option's hand-out folder, looked at at once: else it would be said that nobody waits in what is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path. Raises MailprovError where something else is there."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        Folder(path).require_folder()
        return path


class Roots(click.Path):
    """An option's file of root certificates (PEM), read at once: nobody is asked anything before it is found good."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path. Raises MailprovError for what is no such file."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if "-----BEGIN " not in local_files.certificates(path):
            raise MailprovError(f"{path} holds no certificate in PEM", where="--ca", fix="give a file that has some")
        return path


def declaration(function: F) -> F:
    """-f and --limit, for every command that acts on the declared hosts."""
    words = "Only this host, or the hosts of this group (may be given again)."
    limit = click.option("--limit", multiple=True, metavar="NAME", help=words)
    return in_file(limit(function))


OFFLINE = ("validate", "render", "explain", "dns", "profiles", "test")
"""the commands that can do their work without asking a host"""


def in_file(function: F) -> F:
    """-f, --identity and --confined, for every command that reads the declaration."""
    words = "For changes of strangers: no path leaves the declaration's folder, no secret is read, no host is asked."
    confined = click.option("--confined", is_flag=True, expose_value=False, callback=_confine, help=words)
    return confined(identified(in_this_file(function)))


def _confine(context: click.Context, _option: click.Parameter, confined: bool) -> None:
    """Raises MailprovError for a command whose work it is to ask hosts."""
    from mailprov.workflows.selection import confine, refuse_confined

    confine(confined)
    context.find_root().call_on_close(partial(confine, False))
    if context.command.name not in OFFLINE:
        refuse_confined(f"`{context.command_path}`")


def identified(function: F) -> F:
    """--identity, for every command that may open encrypted values."""
    words = "The file with the age identity that opens encrypted secrets. Default: ~/.config/mailprov/age.txt."
    path = click.Path(path_type=Path)
    option = click.option("--identity", type=path, metavar="FILE", expose_value=False, callback=_identify, help=words)
    return option(function)


def _identify(context: click.Context, _option: click.Parameter, file: Path | None) -> None:
    from mailprov.workflows.selection import identify

    identify(file)
    context.find_root().call_on_close(partial(identify, None))


def in_this_file(function: F) -> F:
    """-f alone."""
    return click.option(
        "-f",
        "--file",
        "file",
        type=click.Path(path_type=Path),
        default=Path("mail.yaml"),
        show_default=True,
        help="The declaration.",
    )(function)


def sharded(function: F) -> F:
    """--shard and --executor, for commands whose work several machines may share."""
    text = "The K-th of N parts of the hosts, for N machines that share the work."
    where = "Who does the work: threads here, or the workers of a Dask cluster, dask://HOST:PORT."
    shard = click.option("--shard", default="", metavar="K/N", help=text)
    executor = click.option("--executor", default="threads", show_default=True, metavar="WHERE", help=where)
    return shard(executor(function))


def consents(function: F) -> F:
    """An option for each risk that wants a consent of its own."""
    for flag, words in reversed(list(FLAGS.items())):
        function = click.option(f"--allow-{flag}", is_flag=True, help=words)(function)
    return function


def agreed(allowed: Mapping[str, bool]) -> frozenset[str]:
    """The risks that these options consent to."""
    return frozenset(name.removeprefix("allow_") for name, given in allowed.items() if given)


def handed(function: F) -> F:
    """--handout, for every command that meets generated passwords."""
    text = "Where generated passwords are kept until they are handed out. Default: handout/ beside the declaration."
    return click.option("--handout", type=Handed(file_okay=False), metavar="DIR", help=text)(function)
