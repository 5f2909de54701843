"""systemd services, and what is done to them when what they read has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.model import Change, Effect, Key, Phase, Question, Step, fingerprint

KIND = "service"

ORDER = ("systemd", "dovecot", "postfix", "mailprov-firewall")
"""how services are activated: systemd's own units, who is asked before who asks, and the firewall last"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is enabled and active, and owes no reload.

    Debian 11 and 12 run Postfix as `postfix@-.service`; their `postfix.service` says "active" also when it is dead.
    """

    name: str
    enabled: bool = True
    active: bool = True
    owed: bool = False

    @property
    def key(self) -> Key:
        """Its name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of its three facts."""
        return fingerprint(KIND, self.name, self.enabled, self.active, self.owed)


def questions(desired: Sequence[Service]) -> tuple[Question, ...]:
    """One: the units' states."""
    names = tuple(service.name for service in desired)
    return (Question("services", "services", (*names, "postfix@-")),)


def read(sections: Mapping[str, str]) -> Mapping[Key, Service]:
    """Those whose unit is loaded."""
    units: dict[str, dict[str, str]] = {}
    for block in sections.get("services", "").split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if fields.get("LoadState") in ("loaded", "masked"):
            units[fields.get("Id", "").removesuffix(".service")] = fields
    owed = {line.split()[1] for line in sections.get("facts", "").splitlines() if line.startswith("owed ")}
    found: dict[Key, Service] = {}
    for name, fields in units.items():
        if name != "postfix@-":
            wrapped = name == "postfix" and fields.get("Type") == "oneshot"
            running = units.get("postfix@-", {}) if wrapped else fields
            enabled = fields.get("UnitFileState") in ("enabled", "enabled-runtime")
            found[Key(KIND, name)] = Service(name, enabled, running.get("ActiveState") == "active", name in owed)
    return found


def same(desired: Service, live: Service, applied: Service | None) -> bool:
    """Equal in all three."""
    return desired == live


def describe(before: Service | None, after: Service | None) -> tuple[str, tuple[str, ...]]:
    """Which of the facts is wrong."""
    if after is None:
        return "stop and disable", ()
    live = before or Service(after.name, enabled=False, active=False)
    wrong = (
        ("enable", not live.enabled),
        ("start", not live.active),
        ("reload that an earlier apply owed", live.owed),
    )
    return ", ".join(text for text, needed in wrong if needed), ()


def effects(before: Service | None, after: Service | None) -> Mapping[str, Effect]:
    """A start for one that is down; a reload for one that owes it."""
    if after is None:
        return {}
    if before is None or not before.active:
        return {after.name: Effect.START}
    return {after.name: Effect.RELOAD} if before.owed else {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Enabling and disabling; starts and reloads are `activation`, which also knows what other changes need."""
    made: list[Step] = []
    for change in changes:
        name, before, after = change.key.name, change.before, change.after
        if after is None:
            made.append(Step(Phase.RETIRE, f"stop {name}", ("stand_down", name), ("stand_up", name)))
        elif not (isinstance(before, Service) and before.enabled):
            do, undo = ("systemctl", "enable", "--quiet", name), ("systemctl", "disable", "--quiet", name)
            made.append(Step(Phase.ACTIVATE, f"enable {name}", do, undo))
    return tuple(made)


def activation(effects: Mapping[str, Effect]) -> tuple[Step, ...]:
    """Start, reload or restart, in ORDER.

    A reload is owed from before the first file changes until it has happened, so that none is ever forgotten; its undo
    owes it again, and the undo's own end pays.
    """
    made: list[Step] = []
    for name in ORDER:
        effect = effects.get(name, Effect.NONE)
        if effect is not Effect.NONE:
            act = effect.name.lower()
            undo = ("stop", name) if effect is Effect.START else ("owe", name)
            made.append(Step(Phase.ACTIVATE, f"{act} {name}", ("activate", name, act), undo))
    return tuple(made)
