"""What the verbs share: the declaration, its hosts, and a session with each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError
from mailprov.host import Host
from mailprov.model import HostSpec, Secret, Spec
from mailprov.verbs import console


def load(file: Path) -> Spec:
    """The declaration. Raises SpecError with all that is wrong."""
    from mailprov import spec

    return spec.load(file, environ=os.environ, now=datetime.now(UTC))


def hosts(spec: Spec, limit: Sequence[str]) -> tuple[HostSpec, ...]:
    """The declared hosts, in name order, or those that `limit` names. Raises MailprovError for an unknown one."""
    for name in limit:
        if name not in spec.hosts:
            near = get_close_matches(name, spec.hosts, 1)
            cure = f"did you mean `{near[0]}`?" if near else f"declared are: {', '.join(spec.hosts)}"
            raise MailprovError(f"no host is called `{name}`", where="--limit", cure=cure)
    return tuple(host for name, host in sorted(spec.hosts.items()) if not limit or name in limit)


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

    host = open_host(declared, ask=_ask if console.interactive() else None)
    try:
        yield host
    finally:
        host.close()


def each(file: Path, limit: Sequence[str], verb: Callable[[Spec, HostSpec, Host], None]) -> Exit:
    """Do `verb` with each host, one after another; an error is said and the next one has its turn."""
    spec = load(file)
    chosen = hosts(spec, limit)
    failures: list[MailprovError] = []
    for declared in chosen:
        try:
            with session(declared) as host:
                verb(spec, declared, host)
        except MailprovError as error:
            error.where = error.where or declared.name
            failures.append(error)
            console.say(f"Error: {error}", "bad")
    return worst(failures, len(chosen))


def _ask(text: str) -> Secret:
    return Secret(click.prompt(text, hide_input=True, err=True))


def worst(failures: Iterable[MailprovError], count: int) -> Exit:
    """The exit code when some of `count` hosts failed: a lone host's own code, else that some failed."""
    found = list(failures)
    if not found:
        return Exit.DONE
    return found[0].exit if count == 1 else Exit.PARTIAL
