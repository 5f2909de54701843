"""Where a report goes: to stdout in the form that was asked for, and into files of any form in the same run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click

from mailprov import local_files
from mailprov.commands import console
from mailprov.commands.terminal import Terminal
from mailprov.engine.rollout import HostStatus, Result
from mailprov.errors import ConsentError, Exit, MailprovError
from mailprov.model import Plan
from mailprov.report.text import Line

F = TypeVar("F", bound=Callable[..., Any])

_FILES: Final[Mapping[str, tuple[str, bytes]]] = {
    "json": ("Write the report as JSON into FILE, too.", rb'\{\n  "format": \d+,\n  "report": "'),
    "markdown": (
        "Write the report as Markdown into FILE, too: it fits a comment on a merge request.",
        rb"### mailprov(?: [a-z-]+)?: ",
    ),
    "sarif": ("Write what is wrong, line by line, into FILE as SARIF 2.1.0, too.", rb'\{\n  "\$schema": "[^"\n]*sarif'),
    "junit": ("Write what was looked at into FILE as JUnit XML, too.", rb"<\?xml [^>\n]*\?>\s*<testsuites[ >/]"),
}
"""forms of files: their help, and how each of them begins"""


@dataclass(slots=True)
class Outputs:
    """The `form` that stdout has, the `files` by form, and whether a report was given, or could not be written."""

    command: str = ""
    form: str = "text"
    files: dict[str, Path] = field(default_factory=dict)
    given: bool = False
    failed: bool = False

    @property
    def text(self) -> bool:
        """Whether stdout is for people: then it is told what was found as soon as it is."""
        return self.form == "text"

    def add(self, form: str, path: Path) -> None:
        """From now on the report goes to this file, too. Raises MailprovError where that cannot be.

        What is there already is replaced where it is such a report, and nothing else.
        """
        local_files.require_replaceable(path)
        if path.exists():
            with local_files.opened(path, 1 << 60) as file:
                start = file.read(1000)
            if start and not re.match(_FILES[form][1], start):
                what = f"this file is no {form} report, and one would replace it"
                raise MailprovError(what, where=str(path), fix="name another file")
        if _place(path) in map(_place, self.files.values()):
            raise MailprovError("two reports cannot be in one file", where=str(path), fix="name another file")
        self.files[form] = path

    def give(self, **made: Callable[[], str]) -> None:
        """Write the report into its files, and print it where stdout is for programs; `made` makes it, by form."""
        self.given = True
        for form, path in self.files.items():
            try:
                local_files.replace(path, f"{made[form]()}\n".encode(), 0o644)
            except MailprovError as error:  # what was done matters more
                self.failed = True
                console.show([Line(f"Error: {error}", "bad")], err=True)
        if not self.text:
            click.echo(made[self.form]())

    def give_failure(self, error: MailprovError) -> None:
        """Give `error` as the report, unless there was one."""
        if self.given or (self.text and not self.files):
            return
        from mailprov.report import json, junit, markdown, sarif

        self.give(
            json=lambda: json.failure(self.command, error),
            markdown=lambda: markdown.failure(self.command, error),
            sarif=lambda: sarif.failure(error),
            junit=lambda: junit.junit(junit.failed([error])),
        )

    def exit(self, code: int) -> int:
        """The exit code of a command that ended with this one."""
        return int(Exit.ERROR) if self.failed and code in (Exit.DONE, Exit.CHANGES) else code


def _place(path: Path) -> Path:
    return path.parent.resolve() / path.name


_given = click.make_pass_decorator(Outputs, ensure=True)


def reported(*forms: str, files: tuple[str, ...] = ()) -> Callable[[F], F]:
    """--format with these forms beside text, a file option for each, and one for each of the forms of `files` alone.

    The command's first argument is its `Outputs`.
    """

    def decorate(function: F) -> F:
        made: Any = _given(function)
        for form in reversed((*forms, *files)):
            words, into = _FILES[form][0], partial(_into, form)
            path = click.Path(path_type=Path)
            made = click.option(
                f"--{form}",
                f"{form}_file",
                type=path,
                metavar="FILE",
                help=words,
                is_eager=True,
                expose_value=False,
                callback=into,
            )(made)
        choice = click.Choice(["text", *forms])
        words = "The report's form."
        shown: F = click.option(
            "--format",
            "form",
            type=choice,
            default="text",
            show_default=True,
            help=words,
            is_eager=True,
            expose_value=False,
            callback=_print_as,
        )(made)
        return shown

    return decorate


def _print_as(context: click.Context, _option: click.Parameter, form: str) -> None:
    outputs = context.ensure_object(Outputs)
    outputs.command, outputs.form = context.command_path.partition(" ")[2], form


def _into(form: str, context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.ensure_object(Outputs).add(form, path)


@contextmanager
def refusable(outputs: Outputs, terminal: Terminal) -> Iterator[None]:
    """Where nobody agrees to the plans that the terminal was told, the report says so, with these plans."""
    try:
        yield
    except ConsentError as error:
        told = [_refused(plan, error) for plan in terminal.plans]
        give_rollout(outputs, told, terminal.plans)
        raise


def _refused(plan: Plan, error: MailprovError) -> Result:
    if plan.empty:
        return Result(plan.host, HostStatus.UNCHANGED)
    return Result(plan.host, HostStatus.FAILED, len(plan.changes), error=error)


def give_rollout(outputs: Outputs, results: Sequence[Result], made: Sequence[Plan]) -> None:
    """Give what became of hosts, and of which plans."""
    from mailprov.report import json, markdown

    name = outputs.command.replace(" ", "-")
    outputs.give(
        json=lambda: json.rollout(results, made, name),
        markdown=lambda: markdown.rollout(results, made, outputs.command),
    )


def locator(file: Path) -> Callable[[str], str]:
    """Says the URI of a file: relative where it is in the repository of `file`, absolute elsewhere."""
    root = _repository(file)
    return lambda name: _uri(name, root)


def _repository(file: Path) -> Path:
    """The root of the Git repository that `file` is in; where it is in none, the current folder."""
    folder = Path(os.path.normpath(file.absolute())).parent
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), Path.cwd())


def _uri(name: str, root: Path) -> str:
    """The URI of a file: relative to `root` where it is below that, absolute elsewhere."""
    path = Path(os.path.normpath(Path(name).absolute()))
    below = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
    return quote(os.fsencode(below)) if below else path.as_uri()
