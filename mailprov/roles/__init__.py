"""What a mail server wants (pure): each role turns the declaration of one host into desired items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mailprov.model import Daemon, Facts, HostSpec, Item, Query, Secret, Spec, State, User
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
class Role:
    """A part of a mail server: its items on a host, its daemon if it has one, and who reads its files, by pattern.

    `takeover` is there where others may have set that daemon up before.
    """

    items: Callable[[Context], Iterable[Item]]
    daemon: Daemon | None = None
    files: Mapping[str, Readers] = field(default_factory=dict)
    takeover: Takeover | None = None
