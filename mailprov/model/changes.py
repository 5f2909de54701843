"""How a host is spoken to, what it is (State), and what differs from what is declared (Change, Plan)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NamedTuple, Protocol

from mailprov.model.secret import Secret
from mailprov.model.signing import KeyPair, Wait


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command on a host gave back."""

    status: int
    stdout: bytes
    stderr: bytes


Command = tuple[str, ...]
"""A program or a function of mailprov's host script, and its words; quoted in one place only."""


class Key(NamedTuple):
    """The name of one managed thing: its kind (a resource's KIND) and its name within that kind."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Item(Protocol):
    """One managed thing. Desired and live things of a kind have the same type."""

    @property
    def key(self) -> Key:
        """Its name."""

    @property
    def fingerprint(self) -> str:
        """A digest of everything that is managed about it; no secret can be guessed from it."""


State = Mapping[Key, Item]


class Reason(Enum):
    """Why a thing differs."""

    PENDING = "pending"
    """the declaration moved since the last apply (or there was none)"""
    DRIFT = "drift"
    """the host moved since the last apply"""
    BOTH = "pending and drift"


class Action(Enum):
    """What an apply does to a thing."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"


class Effect(IntEnum):
    """What a change does to a daemon and its live sessions, from harmless to not."""

    NONE = 0
    START = 1
    RELOAD = 2
    RESTART = 3


class Phase(IntEnum):
    """When a step runs. In PREPARE nothing that is served changes; from RETIRE on, failure means undo."""

    PREPARE = 1
    RETIRE = 2
    COMMIT = 3
    ACTIVATE = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One act on the host, with the act that takes it back.

    `stage` makes the new thing in the transaction's folder, before anything live is touched, from `payload` (bytes
    that travel in the bundle). `do` and `undo` are functions of the host's script with their words, none of them empty;
    "@" in any of the three stands for the step's number, under which its payload, staged thing and back-up are kept.
    `key` is the thing of which the back-up is kept: a roll-back finds it by that.
    """

    phase: Phase
    what: str
    do: Command
    undo: Command
    stage: Command = ()
    payload: bytes | None = field(default=None, repr=False)
    key: Key | None = None
    in_etc: bool = False
    """whether it changes something in /etc although none of its words says so"""
    noted: bool = False
    """whether what it replaces is noted in words, and not copied: a roll-back reads them"""
    late: int = 0
    """how late it comes in its phase: 1 names what must be there before, 2 takes away what nothing names by then, and 3
    the folder that this was in"""


class Delta(Protocol):
    """How two items differ, as data. Its texts are for people, made when somebody reads them; nothing parses them."""

    @property
    def summary(self) -> str:
        """One line; no secrets."""

    @property
    def detail(self) -> tuple[str, ...]:
        """Further lines (a unified diff, names of accounts); no secrets."""

    @property
    def aspects(self) -> frozenset[str]:
        """What of it differs, in the words of `drift: ignore`; empty where it is one thing, or comes or goes."""


class Words(NamedTuple):
    """The difference of things of which the two items tell everything."""

    summary: str
    detail: tuple[str, ...] = ()
    aspects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs: `before` is the live item, `after` the desired one; None is absent."""

    key: Key
    action: Action
    reason: Reason
    before: Item | None
    after: Item | None
    delta: Delta
    effects: Mapping[str, Effect] = field(default_factory=dict)
    """by service: what this change needs of it"""
    brought_along: bool = False
    """whether another change brings it along, and gives its services what they need of it"""

    @property
    def summary(self) -> str:
        """For people: one line without secrets."""
        return self.delta.summary

    @property
    def detail(self) -> tuple[str, ...]:
        """For people: further lines without secrets."""
        return self.delta.detail


@dataclass(frozen=True, slots=True)
class Query:
    """What a resource asks of a host: `function` of probe.sh, called with `words`; its output is the answer."""

    section: str
    function: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host is, beside the state that is managed.

    `release` is Debian's version ("12"), `clock` the host's time in seconds since the epoch, `ssh_ports` the ports on
    which its sshd is reached, `dovecot` the upstream version that is installed or would be ("2.3.19.1").
    """

    machine_id: str
    release: str
    clock: int
    ssh_ports: tuple[int, ...]
    dovecot: str
    free_kib: int
    pending_reloads: tuple[str, ...] = ()
    """what an earlier apply owed and could not give: "dovecot reload\""""
    ipv6: bool = True
    """whether a program there can have IPv6 sockets"""
    salt: Secret | None = field(default=None, repr=False, compare=False)
    """what only root there can know, and what stays: a secret of few letters, mixed with it, has a digest that tells
    nothing. It is asked for where something wants it, and told nowhere else"""
    reported: tuple[KeyPair, ...] = ()
    """what was made there and is needed elsewhere; no secrets"""
    published: frozenset[tuple[str, str]] = frozenset()
    """of the TXT records that something there waits for, those that DNS has by now: names and texts"""


@dataclass(frozen=True, slots=True)
class Risk:
    """Something that a plan does and that wants a consent of its own: the flag that gives it, and what it is.

    `port` is the one that it closes or opens: its protocol ("tcp", "udp") and number.
    """

    flag: str
    text: str
    port: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do to one host.

    `digest` is that of the host's answer which the plan was made from: the host compares it again under its lock, and
    refuses the plan when it moved. `desired` is the state that is asked for, `effects` what it does to each service.
    """

    host: str
    facts: Facts
    desired: State = field(repr=False)
    changes: tuple[Change, ...]
    effects: Mapping[str, Effect]
    warnings: tuple[str, ...]
    digest: str
    managed: tuple[str, ...] = ()
    """every path that is mailprov's once this is applied"""
    made: Mapping[Key, str] = field(default_factory=dict)
    """what the host made of things that stay as they are, and has told: see mailprov.engine.manifest"""
    risks: tuple[Risk, ...] = ()
    certificate_until: int | None = None
    """when the certificate ends, in seconds since the epoch; None where that is not known yet"""
    opens: tuple[str, ...] = ()
    """the ports that cannot be reached now, from everywhere at least, and can once this is applied: "tcp/995", or
    "tcp/995 from 10.0.0.0/8" where that is not everyone; "all" is each that the firewall kept closed"""
    waits: tuple[Wait, ...] = ()
    """what is left to a later apply, which can do it then"""

    @property
    def certificate_days(self) -> int | None:
        """How many whole days the certificate has left by the host's clock; negative once it has ended."""
        return None if self.certificate_until is None else (self.certificate_until - self.facts.clock) // 86400

    @property
    def empty(self) -> bool:
        """Whether the host already is what is declared."""
        return not self.changes


def fingerprint(*parts: object) -> str:
    """A short digest of `parts`, for Item.fingerprint: 32 hex digits, equal only when every part's text is."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
