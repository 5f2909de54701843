"""The manual page mailprov(1), made from the command line itself. Pure: commands in, man(7) macros out."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

import click

from mailprov.commands.root import EXIT_CODES

_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
"""what a formatter would take for markup, or show as a typographic sign that no shell takes"""
_SHORT = ("-h", "--help")
"""told once, not with every command"""


def manual(cli: click.Group, commands: Mapping[str, click.Command], version: str, date: str) -> str:
    """The page for this `version` of the program, released on `date` (YYYY-MM-DD)."""
    # with the program's own settings: click keeps the first help option that it makes for a command
    above = cli.context_class(cli, info_name="mailprov", **cli.context_settings)
    lines = [
        f'.TH MAILPROV 1 "{date}" "mailprov {version}" "User Commands"',
        ".SH NAME",
        "mailprov \\- turn Debian hosts into mail servers from one YAML file",
        ".SH SYNOPSIS",
        *_synopsis(cli, above),
        ".SH DESCRIPTION",
        *_text(cli.help or ""),
        ".SH OPTIONS",
        *_options(cli, above, leave_out=()),
        ".SH COMMANDS",
    ]
    for name, command in sorted(commands.items()):
        lines += _command(command, click.Context(command, info_name=name, parent=above))
    return "\n".join([*lines, ".SH EXIT STATUS", *_exit_codes(), ".SH SEE ALSO", *_SEE_ALSO, ""])


_SEE_ALSO = (
    ".BR ssh_config (5),",
    ".BR dovecot (1),",
    ".BR postfix (1),",
    ".BR nft (8)",
)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".SS {_quoted(context.command_path)}"
    yield from _synopsis(command, context)
    yield ".PP"
    yield from _text(command.help or "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            yield from _command(below, click.Context(below, info_name=name, parent=context))


def _synopsis(command: click.Command, context: click.Context) -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f".B {escaped(context.command_path)}"
    if pieces:
        yield escaped(pieces)


def _options(command: click.Command, context: click.Context, leave_out: tuple[str, ...] = _SHORT) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and not set(leave_out) & set(parameter.opts):
            names, words = record
            yield ".TP"
            yield ", ".join(map(_name, names.split(", ")))
            yield from _wrapped(words)


def _name(words: str) -> str:
    """`--file PATH` with the name in bold and its value in italics."""
    name, space, value = words.partition(" ")
    return f"\\fB{escaped(name)}\\fR" + (f"{space}\\fI{escaped(value)}\\fR" if value else "")


def _text(words: str) -> Iterator[str]:
    r"""Paragraphs; those that begin with \b keep their lines, as click's help pages do."""
    first = True
    for paragraph in re.split(r"\n\s*\n", words.strip("\n")):
        if not first:
            yield ".PP"
        first = False
        if paragraph.lstrip(" ").startswith("\b"):
            yield ".nf"
            yield from (escaped(line) for line in paragraph.lstrip(" \b").strip("\n").splitlines())
            yield ".fi"
        else:
            yield from _wrapped(paragraph)


def _wrapped(words: str) -> Iterator[str]:
    """Lines of a length that editors and diffs show whole; a formatter fills them anew."""
    lines = textwrap.wrap(" ".join(words.split()), 72, break_long_words=False, break_on_hyphens=False)
    yield from map(escaped, lines)


def _exit_codes() -> Iterator[str]:
    for code, meaning in re.findall(r"^  (\d)  (.+)$", EXIT_CODES, re.M):
        yield ".TP"
        yield f"\\fB{code}\\fR"
        yield escaped(meaning)


def _quoted(words: str) -> str:
    return f'"{escaped(words)}"'


def escaped(words: str) -> str:
    """A line of `words` as text of a manual page, in ASCII: shown letter by letter, never read as a macro."""
    shown = "".join(_SPECIAL.get(each, each if each.isascii() else f"\\[u{ord(each):04X}]") for each in words)
    return f"\\&{shown}" if shown.startswith(".") else shown
