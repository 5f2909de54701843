"""The command line: one file a command, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

import click

from mailprov import __version__
from mailprov.commands.root import cli
from mailprov.errors import Exit, MailprovError, visible

__all__ = ["cli", "main", "run"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code; every error is a message here, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is no reason to say nothing at all
            stream.reconfigure(errors="backslashreplace")
    # Somebody who closed them wants to say and to hear nothing; to click, they must be there.
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends this is told what hosts do now, as by Ctrl-C
    status = run(arguments)
    # Threads that still wait for a host are waited for: whoever does not want that is not shown where they are.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(status)


def run(arguments: list[str] | None = None) -> int:
    """The exit code of one command line."""
    from mailprov.commands import console
    from mailprov.commands.outputs import Outputs
    from mailprov.workflows.session import ask_by

    outputs = Outputs()
    try:
        ask_by(console.secret if console.interactive() else None)
        status = cli.main(arguments, standalone_mode=False, prog_name="mailprov", obj=outputs)
        return outputs.exit(int(status) if isinstance(status, int) else int(Exit.DONE))
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return int(Exit.ERROR)
    except BrokenPipeError:
        return _unheard()
    except (Exception, KeyboardInterrupt) as error:
        wrong, said = _told(error)
    _say(said)
    try:
        outputs.give_failure(wrong)
    except BrokenPipeError:
        _unheard()
    return int(wrong.exit)


def _told(error: BaseException) -> tuple[MailprovError, str]:
    """An error as one of ours, and as it is told at a terminal."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return MailprovError("interrupted"), "interrupted"
    if isinstance(error, click.ClickException):
        what, context = error.format_message(), getattr(error, "ctx", None)
        usage = f"\n{context.get_usage()}\nTry `{context.command_path} --help`." if context else ""
        return MailprovError(what), what + usage
    if isinstance(error, MailprovError):
        return error, str(error)
    if isinstance(error, OSError):
        name, what = visible(error.filename or "this machine"), error.strerror or str(error)
        return MailprovError(what, where=name), f"{name}: {what}"
    return _mistake(error)  # the last line of defence: a mistake of ours is an error message too


def _unheard() -> int:
    sys.stderr.close()
    return int(Exit.ERROR)


def _say(text: str) -> None:
    from mailprov.report import printable

    lines = "\n".join(printable(line) for line in text.split("\n"))
    click.echo(click.style("Error: ", fg="red") + lines, err=True, color=None if _coloured() else False)


def _coloured() -> bool:
    from mailprov.commands.console import coloured

    return coloured(sys.stderr)


def _mistake(error: BaseException) -> tuple[MailprovError, str]:
    from mailprov.report import place

    what, where = f"mailprov {__version__} has a mistake: {type(error).__name__}", place(error)
    fix = "please report this line; nothing else is needed"
    return MailprovError(what, why=where, fix=fix), f"{what}\n  where: {where}\n  to do: {fix}"
