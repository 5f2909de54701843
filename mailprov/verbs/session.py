"""What the verbs share: the declaration, its hosts, and a session with each."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import click

from mailprov.errors import ConnectError, Exit, MailprovError
from mailprov.host import Host
from mailprov.model import HostSpec, Secret, Spec
from mailprov.verbs import console


def load(file: Path) -> Spec:
    """The declaration. Raises SpecError with all that is wrong."""
    from mailprov import spec

    return spec.load(file, environ=os.environ, now=datetime.now(UTC))


def hosts(spec: Spec, limit: Sequence[str]) -> tuple[HostSpec, ...]:
    """The declared hosts, in name order, or those that `limit` names or has the groups of.

    Raises MailprovError for an unknown name, and for a group without hosts.
    """
    chosen = chosen_names(spec, limit)
    return tuple(host for name, host in sorted(spec.hosts.items()) if not limit or name in chosen)


def chosen_names(spec: Spec, limit: Sequence[str]) -> frozenset[str]:
    """The names of the hosts that `limit` means, each a host or a group. Raises as `hosts` does."""
    found: set[str] = set()
    for name in limit:
        if name not in spec.hosts and not spec.groups.get(name):
            if name in spec.groups:
                raise MailprovError(f"the group `{name}` has no hosts", where="--limit", cure="name another")
            kind = "host or group" if spec.groups else "host"
            raise MailprovError(
                f"no {kind} is called `{name}`", where="--limit", cure=meant(name, (*spec.hosts, *spec.groups))
            )
        found.update((name,) if name in spec.hosts else spec.groups[name])
    return frozenset(found)


def host(spec: Spec, name: str) -> HostSpec:
    """The one declared host of that name. Raises MailprovError where there is none."""
    if name in spec.hosts:
        return spec.hosts[name]
    if members := spec.groups.get(name):
        raise MailprovError(f"`{name}` is a group", cure=f"name one of its hosts: {', '.join(members)}")
    raise MailprovError(f"no host is called `{name}`", cure=meant(name, tuple(spec.hosts)))


def meant(name: str, known: Sequence[str]) -> str:
    """What somebody who wrote `name` may have meant, or all that is `known`."""
    # That people share a long domain makes their names no more alike.
    ending = name[name.rindex("@") :] if "@" in name else ""
    if not any(each.endswith(ending) for each in known):
        ending = ""
    beginnings = [each.removesuffix(ending) for each in known if each.endswith(ending)]
    near = get_close_matches(name.removesuffix(ending), beginnings, 1)
    return f"did you mean `{near[0]}{ending}`?" if near else f"declared are: {', '.join(known)}"


def share(chosen: Sequence[HostSpec], shard: str) -> tuple[HostSpec, ...]:
    """The `shard`-th part of the hosts, given as "K/N": all N parts together are all of them; "" is all.

    Raises MailprovError for anything else.
    """
    if not shard:
        return tuple(chosen)
    found = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", shard)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise MailprovError(f"`{shard}` is no shard", where="--shard", cure="write K/N, with K from 1 to N: 1/4")
    return tuple(chosen[int(found[1]) - 1 :: int(found[2])])


@contextmanager
def session(declared: HostSpec) -> Iterator[Host]:
    """A session with a host, ended when the block is."""
    from mailprov.host.door import open_host

    opened = open_host(declared, ask=_asker() if console.interactive() else None)
    try:
        yield opened
    finally:
        opened.close()


def each(
    file: Path,
    limit: Sequence[str],
    verb: Callable[[Spec, HostSpec, Host], None],
    failures: list[MailprovError] | None = None,
) -> Exit:
    """Do `verb` with each host, one after another; an error is said, added to `failures`, and the next has its turn."""
    spec = load(file)
    chosen = hosts(spec, limit)
    failures = [] if failures is None else failures
    for declared in chosen:
        try:
            with session(declared) as opened:
                verb(spec, declared, opened)
        except MailprovError as error:
            error.where = error.where or declared.name
            failures.append(error)
            console.say(f"Error: {error}", "bad")
    return worst(failures, len(chosen))


def _told(text: str) -> Secret:
    try:
        return console.secret(text)
    except click.Abort:
        if threading.current_thread() is threading.main_thread():
            raise
        raise ConnectError(f"{text}: nobody said it") from None  # here it would end one host's thread, and nothing else


_one_question = threading.Lock()
_answers: dict[str, Secret] = {}
"""what was asked for, by the question: one key opens many hosts, and each one twice when it is changed"""


def _asker() -> Callable[[str], Secret]:
    """What asks for one session, one question at a time; nothing again, unless what was said before proved wrong."""
    given: dict[str, Secret] = {}

    def ask(text: str) -> Secret:
        with _one_question:
            if text not in _answers or _answers[text] is given.get(text):
                _answers[text] = _told(text)
            given[text] = _answers[text]
            return given[text]

    return ask


def worst(failures: Iterable[MailprovError], count: int) -> Exit:
    """The exit code when some of `count` hosts failed: a lone host's own code, else that some failed."""
    found = list(failures)
    if not found:
        return Exit.DONE
    return found[0].exit if count == 1 else Exit.PARTIAL
