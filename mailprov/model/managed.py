"""What the engine knows of a kind of managed thing, and of a daemon: all that it asks of either, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mailprov.model.changes import Change, Command, Delta, Effect, Item, Key, Query, Risk, State, Step
from mailprov.model.listeners import OpenPort
from mailprov.model.listing import Listed
from mailprov.model.signing import KeyPair

T = TypeVar("T", bound=Item)


class Kind(Protocol[T]):
    """How things of one kind are managed. A module that has all of this is one, and so is an object; both are pure.

    `resources/common.py` has answers for kinds of which there is nothing to say at a question.
    """

    @property
    def KIND(self) -> str:
        """The kind of its items' keys."""

    @property
    def SECTIONS(self) -> tuple[str, ...]:
        """The sections of a host's answer that tell of it. A plan is bound to them: where they move, it is stale.

        None: it is done once, and no answer tells of it afterwards."""

    @property
    def REMOVED(self) -> bool:
        """Whether what mailprov put on a host and no longer wants is removed; otherwise it stays."""

    # --- what is there, and whether it is right

    def queries(self, desired: Sequence[T]) -> tuple[Query, ...]:
        """What must be asked to know the live items."""

    def read(self, sections: Mapping[str, str]) -> Mapping[Key, T]:
        """The live items in an answer. What is absent on the host is absent here."""

    def same(self, desired: T, live: T, made: str) -> bool:
        """Whether nothing needs doing. `made` is what the host made of it at the last apply; "" where nothing was."""

    def moved(self, live: T, asked: str, made: str) -> bool:
        """Whether the host moved since the last apply, which asked for the fingerprint `asked`."""

    def made(self, live: T) -> str:
        """What the host alone can tell of it, since it made it there; "" where the declaration says all."""

    def behind(self, desired: T, live: T, read_again: bool, ours: bool) -> T | None:
        """`live` with what it lacks to run what its files say; None: nothing.

        `read_again`: other changes have it read its files anyway. `ours`: an apply has brought it up before.
        """

    def runs(self, item: T) -> bool:
        """Whether it is a service that runs, or shall run."""

    def paths(self, item: T) -> tuple[str, ...]:
        """The paths of the files that are mailprov's where this is wanted, and are looked at when it no longer is."""

    def obstacles(self, before: T | None, after: T | None, there: State) -> tuple[tuple[str, str], ...]:
        """What is in the way and is not replaced: paths, each with what it is ("symlink")."""

    def former(self, key: Key) -> Key:
        """As what a thing is known that is not wanted any more."""

    # --- a closer look, and what making it would bring along

    def detail_query(self, live: T, desired: T | None) -> Query | None:
        """What more to ask about an item that differs, to show how; None: nothing."""

    def with_details(self, live: T, desired: T | None, text: str) -> T:
        """`live` with the answer to `detail_query` in it. Raises HostError where that is none."""

    def foresight(self, missing: Sequence[str]) -> tuple[Query, ...]:
        """What to ask about things of these names that are missing: what making them would bring along."""

    def foreseen(
        self, changes: Sequence[Change], sections: Mapping[str, str], host: str
    ) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """The changes with what they bring along, by the answer to `foresight`; and warnings. Raises HostError where
        that may not be."""

    def risk_queries(self, change: Change) -> tuple[Query, ...]:
        """What to ask to know whether people would miss what a change takes away."""

    def risks(self, change: Change, sections: Mapping[str, str]) -> tuple[Risk, ...]:
        """What of a change wants a consent of its own; `sections` holds the answers to `risk_queries`."""

    # --- what is done

    def delta(self, before: T | None, after: T | None) -> Delta:
        """How they differ: as data where something depends on it, and for people to read; no secrets."""

    def effects(self, before: T | None, after: T | None) -> Mapping[str, Effect]:
        """What the difference needs of which service."""

    def steps(self, changes: Sequence[Change]) -> tuple[Step, ...]:
        """The acts, each with its undo, that make all these changes."""

    def pending(self, effects: Mapping[str, Effect]) -> tuple[Step, ...]:
        """Before anything changes: what notes which services will have to read it."""

    def activation(self, effects: Mapping[str, Effect]) -> tuple[Step, ...]:
        """After all changes: what has services take them up."""

    # --- the way back

    def bare(self, name: str) -> T:
        """A thing of this name of which nothing is known: to ask what it is now."""

    def restored(self, backup: Backup, live: T | None) -> T | None:
        """What a host has kept of it, as a thing to plan for; None where there was none."""

    def kept_query(self, item: T) -> Query | None:
        """What to ask of the copy that is put back, to show what comes; None: nothing."""

    def with_kept(self, item: T, text: str) -> T:
        """`item` with the answer to `kept_query` in it."""

    def off(self, item: T) -> bool:
        """Whether it is as good as none: a service that neither runs nor will."""

    def lasting(self, do: Command) -> tuple[str, ...]:
        """The names of what a step has made that no way back takes away."""


class Reporter(Kind[T], Protocol[T]):
    """A kind of things that are made on the host and needed elsewhere, too."""

    def reported(self, live: T) -> KeyPair:
        """What others need to know of it: on the next plan, in DNS, in reports. No secret."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a host has kept of a thing that a step has changed.

    `where` is the path of the copy. `copies` are that one and those beside it, `notes` what was noted in words, both
    by suffix ("" for the thing itself). `made` is what the host had made of it by then, `ran` whether it ran before.
    `known` is a bare item of this name with what is known of its readers. `do` and `undo` are the step's; `undos` are
    those of all steps that have changed it since, the newest first.
    """

    key: Key
    where: str
    copies: Mapping[str, Listed]
    notes: Mapping[str, str]
    made: str
    ran: bool
    known: Item | None
    do: Command
    undo: Command
    undos: tuple[Command, ...] = ()


class Platform(Protocol):
    """A system that hosts run: a module of platform/."""

    @property
    def NAME(self) -> str:
        """Its name, for people."""

    @property
    def OS(self) -> str:
        """The ID in os-release(5)."""

    @property
    def RELEASES(self) -> tuple[str, ...]:
        """The releases that are known, as VERSION_ID has them."""

    def ssh(self, port: OpenPort) -> bool:
        """Whether an SSH server of root's is reached there from elsewhere."""

    def dovecot(self, sections: Mapping[str, str], facts: Mapping[str, str]) -> str:
        """The upstream version of the Dovecot that is installed there, or would be. Raises HostError for none."""


class ServiceKind(Kind[T], Protocol[T]):
    """The kind of services: the one that runs daemons."""

    def as_running(self, name: str, live: T | None, active: bool) -> T:
        """As it is, but running or not."""

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        """In the order of their start."""

    def enabled(self, item: T) -> bool:
        """Whether it is started at boot."""

    def states(self, sections: Mapping[str, str]) -> Mapping[str, str]:
        """By name: what systemd calls each one whose unit is loaded ("active", "failed"; systemctl(1))."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A systemd service that mailprov looks after: one that serves mail, or one of our own around those.

    `core` is the package that brings it; the names of its further packages begin with the daemon's and a hyphen.
    `processes` are the names under which it listens. `wrapped` is the unit that really runs where the service's own
    is a oneshot around it; `socket`: whether Debian has a socket unit that could listen in its place. `pid_file` holds
    its number. `configuration` is the file that it reads, and `read_at` a path that changes whenever it has read it.
    `checks_any`: its checker judges a configuration that is not ours, too. `at_start`: addresses that it listens on
    are read at its start only. `at_boot`: it has done its work by the time
    that anybody looks. `asked`: other daemons refuse mail while they cannot ask it, so it is stopped when they do so no
    more. `load` is what brings it up, with "ACT" for start, reload or restart, where systemd alone does
    not; `unload` takes that back; `loads` is the thing that it loads so.
    """

    name: str
    core: str = ""
    processes: tuple[str, ...] = ()
    wrapped: str = ""
    socket: bool = False
    pid_file: str = ""
    configuration: str = ""
    read_at: str = ""
    checks_any: bool = False
    at_start: bool = False
    at_boot: bool = False
    asked: bool = False
    load: Command = ()
    unload: Command = ()
    loads: Key | None = None

    @property
    def serves(self) -> bool:
        """Whether it serves mail."""
        return bool(self.core)
