"""systemd services, and what is done to them when what they read has changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from mailprov.model import Backup, Change, Command, Daemon, Effect, Key, Phase, Query, Step, Words, fingerprint
from mailprov.model.listeners import open_ports
from mailprov.resources import common

KIND = "service"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is enabled and active, and owes no reload; or, `held`, one that may not be started.

    Debian 11 and 12 run Postfix as `postfix@-.service`; their `postfix.service` says "active" also when it is dead.
    `ports` and `sockets` are what it listens on; of a live one, `ports` are those that others can reach, `local` those
    that only this host can, and all three are None where that is not known.
    """

    name: str
    enabled: bool = True
    active: bool = True
    pending: str = ""
    """"reload" or "restart", where an earlier apply could not give it"""
    masked: bool = False
    socket: bool = False
    """whether a socket unit listens in its place, and starts it when somebody comes"""
    why: str = field(default=" that an earlier apply owed", compare=False)
    ports: frozenset[int] | None = field(default=None, compare=False)
    local: frozenset[int] | None = field(default=None, compare=False)
    sockets: frozenset[str] | None = field(default=None, compare=False)
    sessions: bool = field(default=True, compare=False)
    """whether people are connected to it"""
    outdated: bool = field(default=False, compare=False)
    """its configuration was written after it has read it"""
    held: tuple[str, str] = field(default=("disabled", "disabled"), compare=False)
    """how one that shall be off is kept from starting, as systemctl(1), is-enabled, has it; and what is below a mask"""
    beside: tuple[str, str] = field(default=("disabled", "inactive"), compare=False)
    """the socket unit that it shall have, as is-enabled and is-active have it"""

    @property
    def key(self) -> Key:
        """Its name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of these facts."""
        odd = [word for word, true in (("masked", self.masked), ("socket", self.socket)) if true]
        return fingerprint(KIND, self.name, self.enabled, self.active, self.pending, *odd)


SYSTEMD = "systemd"
"""no service: systemd itself, which reads its units anew"""


@dataclass(frozen=True, slots=True)
class Services:
    """The kind, which knows the daemons in the order in which they are started: who is asked before who asks."""

    daemons: tuple[Daemon, ...]

    KIND: ClassVar[str] = KIND
    SECTIONS: ClassVar[tuple[str, ...]] = ("services",)
    REMOVED: ClassVar[bool] = True

    @property
    def order(self) -> tuple[str, ...]:
        """systemd's own units first, then the daemons."""
        return (SYSTEMD, *(daemon.name for daemon in self.daemons))

    def queries(self, desired: Sequence[Service]) -> tuple[Query, ...]:
        """The units' states, those that may have to be removed included; and whether they run what their files say."""
        sockets = sorted(path for service in desired for path in service.sockets or ())
        numbers = [f"{daemon.name}:{daemon.pid_file}" for daemon in self.daemons if daemon.pid_file]
        read = [path for daemon in self.daemons for path in (daemon.read_at, daemon.configuration) if path]
        return (
            Query("services", "services", (*self.order[1:], *self._beside)),
            Query("daemons", "daemons", (*numbers, *read, *sockets)),
        )

    @property
    def _beside(self) -> tuple[str, ...]:
        """Units that are looked at for a daemon's sake."""
        wrapped = (daemon.wrapped for daemon in self.daemons if daemon.wrapped)
        return (*wrapped, *(f"{daemon.name}.socket" for daemon in self.daemons if daemon.socket))

    def read(self, sections: Mapping[str, str]) -> Mapping[Key, Service]:
        """Those whose unit is loaded."""
        units = _units(sections)
        note_pending = (line.split() for line in sections.get("facts", "").splitlines() if line.startswith("owed "))
        pending = {words[1]: words[2] for words in sorted(note_pending) if len(words) == 3}
        found: dict[Key, Service] = {}
        for name, fields in units.items():
            if name not in self._beside:
                running = self._running(name, units)
                enabled = fields.get("UnitFileState") in ("enabled", "enabled-runtime")
                active, masked = running.get("ActiveState") == "active", fields.get("LoadState") == "masked"
                socket = units.get(f"{name}.socket", {})
                listens = socket.get("ActiveState") == "active" or socket.get("UnitFileState") == "enabled"
                owes, sessions = pending.get(name, ""), not self._daemon(name).asked
                item = Service(name, enabled, active, owes, masked, listens, sessions=sessions)
                found[Key(KIND, name)] = self._looked_into(item, sections) if active else item
        return found

    def states(self, sections: Mapping[str, str]) -> Mapping[str, str]:
        """What systemd calls each one whose unit is loaded: "active", "failed", "inactive" and so on (systemctl(1))."""
        units = _units(sections)
        return {
            name: self._running(name, units).get("ActiveState", "inactive")
            for name in units
            if name not in self._beside
        }

    def _running(self, name: str, units: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
        """The properties of the unit that really runs it."""
        wrapped = self._daemon(name).wrapped
        return units.get(wrapped, {}) if wrapped and units[name].get("Type") == "oneshot" else units[name]

    def _daemon(self, name: str) -> Daemon:
        return next((daemon for daemon in self.daemons if daemon.name == name), Daemon(name))

    def _looked_into(self, item: Service, sections: Mapping[str, str]) -> Service:
        """With what it listens on, and whether it has read its configuration."""
        lines = sections.get("daemons", "").splitlines()
        pid = next((line.rpartition(" ")[2] for line in lines if line.startswith(f"pid {item.name} ")), "")
        ports = open_ports(sections.get("listeners", ""))
        if not pid or not any(port.processes for port in ports):
            return item  # where nobody says whose a socket is, nothing is known of it
        own = [port for port in ports if any(str(process.pid) == pid for process in port.processes)]
        local = {port.port for port in own if not port.public}
        public = {port.port for port in own if port.public}
        stats = {row[2]: row for row in (line.split("|") for line in lines) if len(row) == 3}
        sockets = frozenset(path for path, row in stats.items() if row[0] == "socket")
        daemon = self._daemon(item.name)
        read, written = daemon.read_at, daemon.configuration
        outdated = {read, written} <= stats.keys() and _when(stats, read) < _when(stats, written)
        return replace(item, ports=frozenset(public), local=frozenset(local), sockets=sockets, outdated=outdated)

    def behind(self, desired: Service, live: Service, read_again: bool, ours: bool) -> Service | None:
        """`live` with what it owes because it does not run what its files say; None where it owes nothing more.

        `read_again`: it is about to read them anyway, because they change. `ours`: an apply has had it make its
        sockets, which a reload does only once.
        """
        if not live.active or live.ports is None or live.local is None or desired.ports is None:
            return None
        gone = (
            sorted((desired.sockets or frozenset()) - (live.sockets or frozenset())) if ours or not read_again else []
        )
        inside = sorted((desired.ports - live.ports) & live.local) if self._daemon(live.name).at_start else []
        missing = sorted(desired.ports - live.ports - {*inside})
        restart = [f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone"] if gone else []
        restart += [f"it listens on {_some(inside)} for this host only"] if inside else []
        reload = [f"it does not listen on {_some(missing)}"] if missing else []
        reload += [f"it listens on {_some(sorted(live.ports - desired.ports))}"] if live.ports - desired.ports else []
        reload += ["it runs an older configuration than its file"] if live.outdated and not reload else []
        why = [*restart, *([] if read_again else reload)]
        if not why:
            return None
        return replace(
            live, pending="restart" if restart or live.pending == "restart" else "reload", why=f": {'; '.join(why)}"
        )

    def runs(self, item: Service) -> bool:
        """Whether it is active."""
        return item.active

    def enabled(self, item: Service) -> bool:
        """Whether systemd starts it at boot."""
        return item.enabled

    same = staticmethod(common.equal)
    moved = staticmethod(common.unlike_asked)
    made = staticmethod(common.nothing_made)
    paths = staticmethod(common.no_paths)
    obstacles = staticmethod(common.nothing_in_the_way)
    former = staticmethod(common.as_itself)
    detail_query = staticmethod(common.no_details)
    with_details = staticmethod(common.without_details)
    foresight = staticmethod(common.no_foresight)
    foreseen = staticmethod(common.nothing_foreseen)
    risk_queries = staticmethod(common.no_risk_queries)
    kept_query = staticmethod(common.no_kept_query)
    with_kept = staticmethod(common.without_kept)
    lasting = staticmethod(common.nothing_lasts)
    risks = staticmethod(common.no_risks)

    def bare(self, name: str) -> Service:
        """A name."""
        return Service(name)

    def as_running(self, name: str, live: Service | None, active: bool) -> Service:
        """As it is, but running or not."""
        return replace(live or Service(name, enabled=False), active=active)

    def off(self, item: Service) -> bool:
        """Whether it neither runs nor is started at boot, nor when somebody comes."""
        return not (item.active or item.enabled or item.socket)

    def restored(self, backup: Backup, live: Service | None) -> Service:
        """As it was: enabled or not, running or not. One that a package brought is held back: the package stays."""
        name, word = backup.key.name, backup.notes.get("", "")
        if not word:
            return self.as_running(name, live, backup.ran)
        enabled, masked = word.startswith("enabled"), word.startswith("masked")
        active = backup.ran or (enabled and self._daemon(name).at_boot)
        words = backup.notes.get(".socket", "disabled inactive").split()
        beside = (words[0], words[1]) if len(words) == 2 else ("disabled", "inactive")
        listens = beside[0].startswith("enabled") or beside[1] == "active"
        held = (word, backup.notes.get(".below", "") or "disabled")
        return Service(name, enabled, active, masked=masked, socket=listens, held=held, beside=beside)

    def delta(self, before: Service | None, after: Service | None) -> Words:
        """Which of the facts is wrong."""
        if after is None or not (after.active or after.enabled):
            return Words(f"stop and {'mask' if after and after.masked else 'disable'}")
        live = before or Service(after.name, enabled=False, active=False)
        wrong = (
            ("unmask", "enabled", live.masked and not after.masked),
            ("enable" if after.enabled else "disable", "enabled", live.enabled != after.enabled),
            ("start" if after.active else "stop", "running", live.active != after.active),
            (f"{'start' if after.socket else 'stop'} {after.name}.socket", "running", live.socket != after.socket),
            (f"{live.pending}{live.why}", "configuration", bool(live.pending)),
        )
        told = ", ".join(text for text, _, needed in wrong if needed)
        return Words(told, aspects=frozenset(aspect for _, aspect, needed in wrong if needed))

    def effects(self, before: Service | None, after: Service | None) -> Mapping[str, Effect]:
        """A start for one that is down; a reload for one that owes it."""
        if after is None or not after.active:
            return {}
        if before is None or not before.active:
            return {after.name: Effect.START}
        if before.socket != after.socket:
            return {after.name: Effect.RESTART}
        return {after.name: Effect[before.pending.upper()]} if before.pending in ("reload", "restart") else {}

    def steps(self, changes: Sequence[Change]) -> tuple[Step, ...]:
        """Enabling and disabling; starts and reloads are `activation`, which also knows what other changes need."""
        made: list[Step] = []
        for change in sorted(changes, key=lambda change: self.order.index(change.key.name)):
            name, after = change.key.name, change.after
            undo = ("former_enabling", "@", name)
            if not isinstance(after, Service) or not after.active:
                service = after if isinstance(after, Service) else Service(name)
                words = (*service.held, *service.beside)
                do = ("stand_down", "@", name, *words)
                if self._daemon(name).asked:
                    # Taken back between its files and those that name it: it runs with the ones, and for the others.
                    made.append(Step(Phase.COMMIT, f"leave {name} running", ("keep",), ("stand_up", name), late=1))
                    made.append(Step(Phase.ACTIVATE, f"stop {name}", do, undo, key=change.key, late=2))
                else:
                    made.append(Step(Phase.RETIRE, f"stop {name}", do, undo, key=change.key))
            elif after.socket:
                with_socket = ("with_socket", "@", name, *after.beside)
                made.append(Step(Phase.ACTIVATE, f"start {name}.socket", with_socket, undo, key=change.key))
            elif after.enabled:
                phase = Phase.COMMIT if self._daemon(name).asked else Phase.ACTIVATE
                made.append(Step(phase, f"enable {name}", ("enable", "@", name), undo, key=change.key))
        return tuple(made)

    def pending(self, effects: Mapping[str, Effect]) -> tuple[Step, ...]:
        """What will be owed once files have changed, written down before they do; an undo's own end pays it."""
        return tuple(
            Step(
                Phase.RETIRE,
                f"note that {name} is owed a {effect.name.lower()}",
                ("owe", name, effect.name.lower()),
                ("keep",),
            )
            for name, effect in sorted(effects.items(), key=lambda pair: self.order.index(pair[0]))
            if effect in (Effect.RELOAD, Effect.RESTART)
        )

    def activation(self, effects: Mapping[str, Effect]) -> tuple[Step, ...]:
        """Start, reload or restart, in order. A start is undone by a stop, a reload by one that is owed again.

        Who is asked by others has started before these are told to ask.
        """
        made: list[Step] = []
        first = [daemon.name for daemon in self.daemons if daemon.asked and effects.get(daemon.name) is Effect.START]
        for name in self.order:
            effect = effects.get(name, Effect.NONE)
            if effect is Effect.NONE:
                continue
            act, daemon = effect.name.lower(), self._daemon(name)
            stop = "stop_last" if daemon.asked else "stop"
            undo: Command = (stop, name) if effect is Effect.START else ("owe", name, act)
            do: Command = ("activate", name, act)
            if daemon.load:
                do, undo = tuple(act if word == "ACT" else word for word in daemon.load), daemon.unload
            phase = Phase.COMMIT if name in first or (first and name == SYSTEMD) else Phase.ACTIVATE
            made.append(Step(phase, f"{act} {name}", do, undo, key=daemon.loads))
        return tuple(made)


def _units(sections: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    """The properties of each unit that is loaded."""
    units: dict[str, dict[str, str]] = {}
    for block in sections.get("services", "").split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        # One whose file has been taken away runs on, and starting it would do nothing.
        if fields.get("LoadState") in ("loaded", "masked") or fields.get("ActiveState") == "active":
            units[fields.get("Id", "").removesuffix(".service")] = fields
    return units


def _when(stats: Mapping[str, Sequence[str]], path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]{1,20}", stats[path][1]))


def _some(ports: Sequence[int]) -> str:
    return ", ".join(map(str, ports))
