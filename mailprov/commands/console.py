"""Printing: colour that is off when piped or with NO_COLOR, progress on stderr, questions only at a terminal."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import click

from mailprov.errors import ConsentError, visible
from mailprov.model import Secret
from mailprov.report import printable
from mailprov.report.text import Line

if TYPE_CHECKING:
    from rich.status import Status

_STYLES: dict[str, dict[str, Any]] = {
    "head": {"bold": True},
    "add": {"fg": "green"},
    "change": {"fg": "yellow"},
    "remove": {"fg": "red"},
    "warn": {"fg": "yellow"},
    "good": {"fg": "green"},
    "bad": {"fg": "red", "bold": True},
    "dim": {"dim": True},
}


_spinning: list[Status] = []
"""what moves at the terminal: it would wipe out a question"""


def coloured(stream: IO[str]) -> bool:
    """Whether colour belongs on `stream` (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show(lines: Iterable[Line], *, err: bool = False) -> None:
    """Print styled lines; whatever a host put into them steers no terminal."""
    stream = sys.stderr if err else sys.stdout
    colour = coloured(stream)
    for line in lines:
        text = "\n".join(map(printable, line.text.split("\n")))
        text = click.style(text, **_STYLES[line.style]) if colour and line.style else text
        click.echo(text, file=stream, color=colour)


def say(text: str, style: str = "") -> None:
    """Print one line to stderr: what is being done, not what was found."""
    show([Line(visible(text), style)], err=True)


@contextmanager
def doing(text: str) -> Iterator[None]:
    """Show at a terminal that something is under way."""
    if not coloured(sys.stderr):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        _spinning.append(status)
        try:
            yield
        finally:
            _spinning.remove(status)


def width(text: str) -> int:
    """How many columns `text` takes at a terminal: an ideograph takes two."""
    from rich.cells import cell_len

    return cell_len(text)


@contextmanager
def counting(total: int, text: str) -> Iterator[Callable[[], None]]:
    """Show how many of `total` are done: at a terminal all the time, elsewhere a line at each hundred.

    Gives a function to call when one more is.
    """
    done = itertools.count(1)
    if not coloured(sys.stderr):

        def say_sometimes() -> None:
            if (count := next(done)) % 100 == 0 and count < total:
                say(f"{text}: {count:,} of {total:,}")

        yield say_sometimes
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{text}: 0 of {total:,}") as status:
        yield lambda: status.update(f"{text}: {next(done):,} of {total:,}")


def interactive() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def secret(text: str) -> Secret:
    """Ask for something that is not shown. Raises KeyboardInterrupt where somebody would rather not say it."""
    for status in _spinning:
        status.stop()
    try:
        return Secret(click.prompt(text, hide_input=True, err=True))
    except click.Abort:
        raise KeyboardInterrupt from None
    finally:
        for status in _spinning:
            status.start()


def agree(question: str, where: str, *, act: str, untouched: str = "touched", fix: str = "add --yes") -> None:
    """Ask before it is `act` ("applied"). Raises ConsentError where nobody is there to answer, or says no."""
    if not interactive():
        raise ConsentError(f"there is no terminal to ask at; nothing was {untouched}", where=where, fix=fix)
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    if not agreed:
        raise ConsentError(f"not {act}, as you said", where=where)
