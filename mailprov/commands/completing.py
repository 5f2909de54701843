"""What a shell offers for an option or an argument: the names of the declaration that is meant. Asks no host.

Whoever presses Tab has not asked for anything to be done: no secret is read, no path leaves the declaration's folder,
and what cannot be read offers nothing instead of an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, CompletionItem, split_arg_string

if TYPE_CHECKING:
    from mailprov.declaration.names import Names

MOST = 1000
"""candidates that are offered at a time: nobody reads more"""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(candidates: Callable[[click.Context], Iterable[str]]) -> Complete:
    """What offers those candidates that begin as what was typed, and were not given before."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = context.params.get(parameter.name or "")
        before = given if isinstance(given, tuple) else ()
        try:
            known = [each for each in candidates(context) if each not in before]
            found = [each for each in known if each.lower().startswith(incomplete.lower())]
        except Exception:  # a prompt is no place for errors: the command itself tells them
            return []
        return [CompletionItem(each) for each in found[:MOST]]

    return complete


def _file(context: click.Context) -> Path:
    """The declaration that is meant: the one after -f, or the default."""
    options = {each.name for each in context.command.params if isinstance(each, click.Option)}
    given = context.params.get("file") if "file" in options else None
    return Path(given or "mail.yaml")


def _declared(context: click.Context) -> Names:
    from mailprov.declaration.names import names  # loaded when something is offered, and not with every command

    return names(_file(context))


def _waiting(context: click.Context) -> Iterator[str]:
    from mailprov.workflows.generated_passwords import folder

    return (entry.address for entry in folder(_file(context), context.params.get("handout")).entries())


def _catalogue(_context: click.Context) -> Iterable[str]:
    from mailprov.providers import catalogue

    return catalogue()


def _languages(_context: click.Context) -> Iterable[str]:
    return ("en", "zh", "en,zh")


hosts = _offering(lambda context: _declared(context).hosts)
hosts_and_groups = _offering(lambda context: (*_declared(context).hosts, *_declared(context).groups))
domains = _offering(lambda context: _declared(context).domains)
users = _offering(lambda context: _declared(context).users)
waiting = _offering(_waiting)
"""people whose generated password is in the hand-out folder"""
providers = _offering(_catalogue)
languages = _offering(_languages)


def keys(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A host, and after its name and a dot what it can be asked for (`mailprov explain HOST.KEY`)."""
    found = hosts(context, parameter, incomplete)
    try:
        return found or [CompletionItem(each) for each in _keys(_file(context), incomplete)][:MOST]
    except Exception:  # as above
        return []


def _keys(file: Path, incomplete: str) -> Iterator[str]:
    from datetime import UTC, datetime

    from mailprov import declaration
    from mailprov.declaration.origins import keys as known

    reading = declaration.Reading(frozenset(), confined=True)
    explained = declaration.explained(file, environ=os.environ, now=datetime.now(UTC), reading=reading)
    for host, settings in sorted(explained.settings.items()):
        # Of names that begin alike (mail, mail.example) the one that was typed is whichever has such a key.
        if incomplete.startswith(f"{host}."):
            yield from (f"{host}.{key}" for key in known(settings) if f"{host}.{key}".startswith(incomplete))


def place(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A file of this machine, as the shell itself completes them; what follows it (`:LINE`) nobody can know."""
    return [CompletionItem(incomplete, type="file")]


class Bash(BashComplete):
    """bash breaks words at `@`, `:` and `=`, so that click sees `alice@exam` as three. The line itself is whole."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' type value completion response
    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_LAST="$2" COMP_WORDS="${COMP_WORDS[*]}" \
        COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")
    for completion in $response; do
        IFS=, read -r type value <<< "$completion"
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is typed, and that one as far as it goes."""
        line = os.environ.get("COMP_LINE")
        if line is None:  # a script that an earlier version printed
            return super().get_completion_args()
        words = split_arg_string(line)
        incomplete = "" if line[-1:].isspace() or not words[1:] else words.pop()
        return words[1:], incomplete

    def complete(self) -> str:
        """Each candidate as bash wants it: what it replaces is the last piece of the word only."""
        _, incomplete = self.get_completion_args()
        typed = incomplete.partition("=")[2] if incomplete.startswith("-") else incomplete
        last = os.environ.get("COMP_LAST", typed)
        head = typed.removesuffix(last) if typed.endswith(last) else ""
        kept = (line.split(",", 1) for line in super().complete().split("\n") if line)
        return "\n".join(f"{kind},{value.removeprefix(head)}" for kind, value in kept)
