"""systemd services, and what is done to them when what they read has changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import Change, Effect, Key, Phase, Question, Step, Words, fingerprint

KIND = "service"

ORDER = ("systemd", "mailprov-recover", "dovecot", "postfix", "mailprov-firewall")
"""systemd's own units, what puts right at boot, who is asked before who asks, and the firewall last"""

SOCKET = "dovecot.socket"

FIREWALL = Key("firewall", "inet mailprov")
"""whose back-up loading the firewall keeps"""


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
    owed: str = ""
    """"reload" or "restart", where an earlier apply could not give it"""
    masked: bool = False
    socket: bool = False
    """whether a socket unit listens in its place, and starts it when somebody comes"""
    why: str = field(default=" that an earlier apply owed", compare=False)
    ports: frozenset[int] | None = field(default=None, compare=False)
    local: frozenset[int] | None = field(default=None, compare=False)
    sockets: frozenset[str] | None = field(default=None, compare=False)
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
        return fingerprint(KIND, self.name, self.enabled, self.active, self.owed, *odd)


def questions(desired: Sequence[Service]) -> tuple[Question, ...]:
    """The units' states, those that may have to be removed included; and whether they run what their files say."""
    sockets = sorted(path for service in desired for path in service.sockets or ())
    return (
        Question("services", "services", (*ORDER[1:], "postfix@-", SOCKET)),
        Question("daemons", "daemons", tuple(sockets)),
    )


def read(sections: Mapping[str, str]) -> Mapping[Key, Service]:
    """Those whose unit is loaded."""
    units = _units(sections)
    debts = (line.split() for line in sections.get("facts", "").splitlines() if line.startswith("owed "))
    owed = {words[1]: words[2] for words in sorted(debts) if len(words) == 3}
    found: dict[Key, Service] = {}
    for name, fields in units.items():
        if name not in ("postfix@-", SOCKET):
            running = _running(name, units)
            enabled = fields.get("UnitFileState") in ("enabled", "enabled-runtime")
            active, masked = running.get("ActiveState") == "active", fields.get("LoadState") == "masked"
            socket = units.get(f"{name}.socket", {})
            listens = socket.get("ActiveState") == "active" or socket.get("UnitFileState") == "enabled"
            item = Service(name, enabled, active, owed.get(name, ""), masked, listens)
            found[Key(KIND, name)] = _looked_into(item, sections) if active else item
    return found


def states(sections: Mapping[str, str]) -> Mapping[str, str]:
    """What systemd calls each one whose unit is loaded: "active", "failed", "inactive", and so on (systemctl(1))."""
    units = _units(sections)
    return {
        name: _running(name, units).get("ActiveState", "inactive")
        for name in units
        if name not in ("postfix@-", SOCKET)
    }


def _units(sections: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    """The properties of each unit that is loaded."""
    units: dict[str, dict[str, str]] = {}
    for block in sections.get("services", "").split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        # One whose file has been taken away runs on, and starting it would do nothing.
        if fields.get("LoadState") in ("loaded", "masked") or fields.get("ActiveState") == "active":
            units[fields.get("Id", "").removesuffix(".service")] = fields
    return units


def _running(name: str, units: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """The properties of the unit that really runs it."""
    wrapped = name == "postfix" and units[name].get("Type") == "oneshot"
    return units.get("postfix@-", {}) if wrapped else units[name]


_LOADED, _WRITTEN = "/run/dovecot/login/login", "/etc/dovecot/dovecot.conf"


def _looked_into(item: Service, sections: Mapping[str, str]) -> Service:
    """With what it listens on, and whether it has read its configuration."""
    lines = sections.get("daemons", "").splitlines()
    pid = next((line.rpartition(" ")[2] for line in lines if line.startswith(f"pid {item.name} ")), "")
    rows = [line.split() for line in sections.get("listeners", "").splitlines()]
    listening = [row for row in rows if len(row) > 5 and row[0] == "LISTEN" and row[5].startswith("users:")]
    if not pid or not listening:
        return item  # where nobody says whose a socket is, nothing is known of it
    open_ = [row[3].rpartition(":") for row in listening if f",pid={pid}," in row[5]]
    numbers = [(address, int(port)) for address, _, port in open_ if re.fullmatch("[0-9]{1,5}", port)]
    local = {port for address, port in numbers if address.startswith(_LOOPBACK)}
    public = {port for address, port in numbers if not address.startswith(_LOOPBACK)}
    stats = {row[2]: row for row in (line.split("|") for line in lines) if len(row) == 3}
    sockets = frozenset(path for path, row in stats.items() if row[0] == "socket")
    outdated = (
        item.name == "dovecot"
        and {_LOADED, _WRITTEN} <= stats.keys()
        and _when(stats, _LOADED) < _when(stats, _WRITTEN)
    )
    return replace(item, ports=frozenset(public), local=frozenset(local), sockets=sockets, outdated=outdated)


_LOOPBACK = ("127.", "[::1]", "[::ffff:127.")


def _when(stats: Mapping[str, Sequence[str]], path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]{1,20}", stats[path][1]))


def behind(desired: Service, live: Service, read_again: bool, ours: bool) -> Service | None:
    """`live` with what it owes because it does not run what its files say; None where it owes nothing more.

    `read_again`: it is about to read them anyway, because they change. `ours`: an apply has had it make its sockets,
    which a reload does only once.
    """
    if not live.active or live.ports is None or live.local is None or desired.ports is None:
        return None
    gone = sorted((desired.sockets or frozenset()) - (live.sockets or frozenset())) if ours or not read_again else []
    # Postfix reads inet_interfaces at its start only.
    inside = sorted((desired.ports - live.ports) & live.local) if live.name == "postfix" else []
    missing = sorted(desired.ports - live.ports - {*inside})
    restart = [f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone"] if gone else []
    restart += [f"it listens on {_some(inside)} for this host only"] if inside else []
    reload = [f"it does not listen on {_some(missing)}"] if missing else []
    reload += [f"it listens on {_some(sorted(live.ports - desired.ports))}"] if live.ports - desired.ports else []
    reload += ["it runs an older configuration than its file"] if live.outdated and not reload else []
    why = [*restart, *([] if read_again else reload)]
    if not why:
        return None
    return replace(live, owed="restart" if restart or live.owed == "restart" else "reload", why=f": {'; '.join(why)}")


def _some(ports: Sequence[int]) -> str:
    return ", ".join(map(str, ports))


def same(desired: Service, live: Service, made: str) -> bool:
    """Equal in all of these facts."""
    return desired == live


def moved(live: Service, asked: str, made: str) -> bool:
    """It is not what was asked for."""
    return live.fingerprint != asked


def made(live: Service) -> str:
    """Nothing: the declaration says all."""
    return ""


def delta(before: Service | None, after: Service | None) -> Words:
    """Which of the facts is wrong."""
    if after is None or not (after.active or after.enabled):
        return Words(f"stop and {'mask' if after and after.masked else 'disable'}")
    live = before or Service(after.name, enabled=False, active=False)
    wrong = (
        ("unmask", live.masked and not after.masked),
        ("enable" if after.enabled else "disable", live.enabled != after.enabled),
        ("start" if after.active else "stop", live.active != after.active),
        (f"{'start' if after.socket else 'stop'} {after.name}.socket", live.socket != after.socket),
        (f"{live.owed}{live.why}", bool(live.owed)),
    )
    return Words(", ".join(text for text, needed in wrong if needed))


def effects(before: Service | None, after: Service | None) -> Mapping[str, Effect]:
    """A start for one that is down; a reload for one that owes it."""
    if after is None or not after.active:
        return {}
    if before is None or not before.active:
        return {after.name: Effect.START}
    if before.socket != after.socket:
        return {after.name: Effect.RESTART}
    return {after.name: Effect[before.owed.upper()]} if before.owed in ("reload", "restart") else {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Enabling and disabling; starts and reloads are `activation`, which also knows what other changes need."""
    made: list[Step] = []
    for change in sorted(changes, key=lambda change: ORDER.index(change.key.name)):
        name, after = change.key.name, change.after
        undo = ("former_enabling", "@", name)
        if not isinstance(after, Service) or not after.active:
            service = after if isinstance(after, Service) else Service(name)
            words = (*service.held, *service.beside)
            made.append(Step(Phase.RETIRE, f"stop {name}", ("stand_down", "@", name, *words), undo, key=change.key))
        elif after.socket:
            do = ("with_socket", "@", name, *after.beside)
            made.append(Step(Phase.ACTIVATE, f"start {name}.socket", do, undo, key=change.key))
        elif after.enabled:
            made.append(Step(Phase.ACTIVATE, f"enable {name}", ("enable", "@", name), undo, key=change.key))
    return tuple(made)


def debts(effects: Mapping[str, Effect]) -> tuple[Step, ...]:
    """What will be owed once files have changed, written down before they do; an undo's own end pays it."""
    return tuple(
        Step(
            Phase.RETIRE,
            f"note that {name} is owed a {effect.name.lower()}",
            ("owe", name, effect.name.lower()),
            ("keep",),
        )
        for name, effect in sorted(effects.items(), key=lambda pair: ORDER.index(pair[0]))
        if effect in (Effect.RELOAD, Effect.RESTART)
    )


def activation(effects: Mapping[str, Effect]) -> tuple[Step, ...]:
    """Start, reload or restart, in ORDER. A start is undone by a stop; a reload by the reload that is owed again."""
    made: list[Step] = []
    for name in ORDER:
        effect = effects.get(name, Effect.NONE)
        if effect is Effect.NONE:
            continue
        act = effect.name.lower()
        undo: tuple[str, ...] = ("stop", name) if effect is Effect.START else ("owe", name, act)
        do: tuple[str, ...] = ("activate", name, act)
        if name == "mailprov-firewall":
            do, undo = ("load_firewall", "@", act), ("former_firewall", "@")
        key = FIREWALL if do[0] == "load_firewall" else None
        made.append(Step(Phase.ACTIVATE, f"{act} {name}", do, undo, key=key))
    return tuple(made)
