"""What an engine works with: the kinds of things that it manages, and the daemons that it looks after (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailprov.model import Daemon, Item, Key, KeyPair, Kind, Platform, Query, Reporter, ServiceKind, State


@dataclass(frozen=True, slots=True)
class Shell:
    """POSIX sh that runs on hosts: functions that answer `queries`, that do and undo `steps`, of `daemons`, and of
    `stores`, which all of these use."""

    queries: tuple[str, ...] = field(default=(), repr=False)
    steps: tuple[str, ...] = field(default=(), repr=False)
    daemons: tuple[str, ...] = field(default=(), repr=False)
    stores: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Registry:
    """`things` are the kinds in the order of application; `services`, the kind that runs daemons, comes last.

    `shell` holds their functions and those of the daemons; `platform` is the system that hosts run. Of the kinds,
    `reporters` have things that are needed elsewhere.
    """

    things: tuple[Kind[Any], ...]
    services: ServiceKind[Any]
    shell: Shell
    platform: Platform
    reporters: tuple[Reporter[Any], ...] = ()

    @property
    def kinds(self) -> tuple[Kind[Any], ...]:
        """All of them, in that order."""
        return (*self.things, self.services)

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        """In the order of their start."""
        return self.services.daemons

    def kind(self, key: Key) -> Kind[Any]:
        """What manages a thing of this name. Raises KeyError where nothing does."""
        for kind in self.kinds:
            if key.kind == kind.KIND:
                return kind
        raise KeyError(key.kind)

    def knows(self, key: Key) -> bool:
        """Whether anything manages such a thing: a later version may have left some of another kind."""
        return any(key.kind == kind.KIND for kind in self.kinds)

    def live(self, sections: Mapping[str, str]) -> State:
        """The live state in an answer."""
        return {key: item for kind in self.kinds for key, item in kind.read(sections).items()}

    @property
    def report_queries(self) -> tuple[Query, ...]:
        """What must be asked to know what was made on a host and is needed elsewhere."""
        return tuple(query for kind in self.reporters for query in kind.queries(()))

    def reported(self, sections: Mapping[str, str]) -> tuple[KeyPair, ...]:
        """What was made on a host and is needed elsewhere, in an answer."""
        return tuple(kind.reported(item) for kind in self.reporters for _, item in sorted(kind.read(sections).items()))

    def runs(self, item: Item) -> bool:
        """Whether it is a service that runs, or shall run."""
        return self.kind(item.key).runs(item)

    @property
    def stable(self) -> frozenset[str]:
        """The sections of an answer that change only when something managed does: a plan is bound to them."""
        return frozenset((*(section for kind in self.kinds for section in kind.SECTIONS), PAST))

    def serving(self, state: State) -> tuple[str, ...]:
        """The daemons that serve where the host is in `state`."""
        keys = {daemon.name: Key(self.services.KIND, daemon.name) for daemon in self.daemons if daemon.serves}
        return tuple(name for name, key in keys.items() if key in state and self.runs(state[key]))

    @property
    def units(self) -> tuple[str, ...]:
        """The systemd units in which daemons run that serve."""
        serving = [daemon for daemon in self.daemons if daemon.serves]
        names = (name for daemon in serving for name in (daemon.name, daemon.wrapped) if name)
        return tuple(f"{name}.service" for name in names)

    @property
    def processes(self) -> tuple[str, ...]:
        """The names under which our daemons listen."""
        return tuple(name for daemon in self.daemons for name in daemon.processes)


PAST = "past"
"""what a roll-back asks for, which goes back over the last apply and no other"""
