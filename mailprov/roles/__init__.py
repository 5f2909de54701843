"""What a mail server wants (pure): each role turns the declaration of one host into desired items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.model import Daemon, Domain, Facts, HostSpec, Item, KeyPair, Query, Secret, Spec, State, User, Wait
from mailprov.render import Render


@dataclass(frozen=True, slots=True)
class Context:
    """What a role is asked about: one host of a declaration, and what is known of it.

    `initial` gives the password hash with which a user is created; it is kept, and asked only where a user is new.
    """

    spec: Spec
    host: HostSpec
    facts: Facts
    initial: Callable[[User], Secret] = field(repr=False)
    render: Render = field(repr=False)


def filtered(host: HostSpec, domains: Sequence[Domain]) -> bool:
    """Whether rspamd looks at the mail of a host that serves these domains."""
    declared = host.outgoing.limits.declared or host.incoming.declared
    return declared or any(domain.sign for domain in domains)


@dataclass(frozen=True, slots=True)
class Readers:
    """Who reads a file, the settings in it that want a restart, whether it is a secret, and whether it is put in place
    late: what it names must be there before."""

    services: tuple[str, ...] = ()
    restart_settings: tuple[str, ...] = ()
    secret: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Takeover:
    """What to ask of a daemon that somebody else has set up, and what ends of it, in words: of the declaration, the
    host, its desired state and the answer."""

    query: Query
    ends: Callable[[Spec, HostSpec, State, str], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Stages:
    """What waits for the world: `awaited` are the keys that something could be done with if DNS had their records;
    `waits` is what is left to a later apply, given by name what DNS has instead of a record."""

    awaited: Callable[[Spec, HostSpec, Facts], Sequence[KeyPair]]
    waits: Callable[[Spec, HostSpec, Facts, Mapping[str, str]], Iterable[Wait]]


@dataclass(frozen=True, slots=True)
class Role:
    """A part of a mail server: its items on a host, its daemon if it has one, and who reads its files, by pattern.

    `takeover` is there where others may have set that daemon up before, `stages` where something must be waited for.
    """

    items: Callable[[Context], Iterable[Item]]
    daemon: Daemon | None = None
    files: Mapping[str, Readers] = field(default_factory=dict)
    takeover: Takeover | None = None
    stages: Stages | None = None
