"""systemd services, and what is done to them when what they read has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.model import Change, Effect, Key, Phase, Question, Step, Words, fingerprint

KIND = "service"

ORDER = ("systemd", "mailprov-recover", "dovecot", "postfix", "mailprov-firewall")
"""systemd's own units, what puts right at boot, who is asked before who asks, and the firewall last"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is enabled and active, and owes no reload.

    Debian 11 and 12 run Postfix as `postfix@-.service`; their `postfix.service` says "active" also when it is dead.
    """

    name: str
    enabled: bool = True
    active: bool = True
    owed: str = ""
    """"reload" or "restart", where an earlier apply could not give it"""

    @property
    def key(self) -> Key:
        """Its name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of its three facts."""
        return fingerprint(KIND, self.name, self.enabled, self.active, self.owed)


def questions(desired: Sequence[Service]) -> tuple[Question, ...]:
    """One: the units' states, those that may have to be removed included."""
    return (Question("services", "services", (*ORDER[1:], "postfix@-")),)


def read(sections: Mapping[str, str]) -> Mapping[Key, Service]:
    """Those whose unit is loaded."""
    units: dict[str, dict[str, str]] = {}
    for block in sections.get("services", "").split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        # One whose file has been taken away runs on, and starting it would do nothing.
        if fields.get("LoadState") in ("loaded", "masked") or fields.get("ActiveState") == "active":
            units[fields.get("Id", "").removesuffix(".service")] = fields
    debts = (line.split() for line in sections.get("facts", "").splitlines() if line.startswith("owed "))
    owed = {words[1]: words[2] for words in sorted(debts) if len(words) == 3}
    found: dict[Key, Service] = {}
    for name, fields in units.items():
        if name != "postfix@-":
            wrapped = name == "postfix" and fields.get("Type") == "oneshot"
            running = units.get("postfix@-", {}) if wrapped else fields
            enabled = fields.get("UnitFileState") in ("enabled", "enabled-runtime")
            found[Key(KIND, name)] = Service(name, enabled, running.get("ActiveState") == "active", owed.get(name, ""))
    return found


def same(desired: Service, live: Service, applied: Service | None) -> bool:
    """Equal in all three."""
    return desired == live


def delta(before: Service | None, after: Service | None) -> Words:
    """Which of the facts is wrong."""
    if after is None:
        return Words("stop and disable")
    live = before or Service(after.name, enabled=False, active=False)
    wrong = (
        ("enable", not live.enabled),
        ("start", not live.active),
        (f"{live.owed} that an earlier apply owed", bool(live.owed)),
    )
    return Words(", ".join(text for text, needed in wrong if needed))


def effects(before: Service | None, after: Service | None) -> Mapping[str, Effect]:
    """A start for one that is down; a reload for one that owes it."""
    if after is None:
        return {}
    if before is None or not before.active:
        return {after.name: Effect.START}
    return {after.name: Effect[before.owed.upper()]} if before.owed in ("reload", "restart") else {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Enabling and disabling; starts and reloads are `activation`, which also knows what other changes need."""
    made: list[Step] = []
    for change in sorted(changes, key=lambda change: ORDER.index(change.key.name)):
        name = change.key.name
        if change.after is None:
            made.append(Step(Phase.RETIRE, f"stop {name}", ("stand_down", name), ("stand_up", name)))
        else:
            made.append(Step(Phase.ACTIVATE, f"enable {name}", ("enable", "@", name), ("former_enabling", "@", name)))
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
        made.append(Step(Phase.ACTIVATE, f"{act} {name}", do, undo))
    return tuple(made)
