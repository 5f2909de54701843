"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from mailprov.dangers import FLAGS
from mailprov.errors import MailprovError

F = TypeVar("F", bound=Callable[..., Any])


def address(text: str) -> str:
    """An address as the declaration has it: lower case, A-labels; "" stays. Raises MailprovError for what is none."""
    from mailprov.spec.addresses import mailbox
    from mailprov.spec.desk import Wrong

    try:
        return mailbox(text) if text else ""
    except Wrong as wrong:
        raise MailprovError(str(wrong), cure="write the whole address: alice@example.com") from wrong


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


def listed(function: F) -> F:
    """--format, for verbs whose report is for a terminal or for a program."""
    choice = click.Choice(["text", "json"])
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


def consents(function: F) -> F:
    """An option for each risk that wants a consent of its own."""
    for flag, words in reversed(list(FLAGS.items())):
        function = click.option(f"--allow-{flag}", is_flag=True, help=words)(function)
    return function


def agreed(allowed: Mapping[str, bool]) -> frozenset[str]:
    """The risks that these options consent to."""
    return frozenset(name.removeprefix("allow_") for name, given in allowed.items() if given)


def handed(function: F) -> F:
    """--handout, for every verb that meets generated passwords."""
    text = "Where generated passwords are kept until they are handed out. Default: handout/ beside the declaration."
    path = click.Path(path_type=Path, file_okay=False)
    return click.option("--handout", type=path, metavar="DIR", help=text)(function)
