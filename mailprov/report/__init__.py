"""Plans and results for people (text), programs (JSON) and pull requests (Markdown); text comes out, nothing prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from mailprov.model import Change, Effect, Plan, some
from mailprov.resources.services import Service

MEANING: Mapping[Effect, str] = {
    Effect.NONE: "nothing",
    Effect.START: "start",
    Effect.RELOAD: "reload (live sessions stay)",
    Effect.RESTART: "RESTART (live sessions are cut)",
}
"""what an effect does to the people who are connected"""


def effects(plan: Plan) -> str:
    """What the plan does to each service, in one line."""
    told = [f"{name}: {word}" for change in plan.changes for name, word in _stopped(change)]
    return ", ".join([*told, *meanings(plan.effects)]) or "no service is reloaded or restarted"


def meanings(effects: Mapping[str, Effect]) -> list[str]:
    """What these do to each service that notices any."""
    named = [(name, effect) for name, effect in effects.items() if name != "systemd" and effect is not Effect.NONE]
    return [f"{name}: {MEANING[effect]}" for name, effect in named]


def opening(opens: Sequence[str]) -> str:
    """Which ports open to whom, in one line; "" where none does."""
    found: dict[str, list[str]] = {}
    told = ["all ports that the firewall keeps closed"] if "all" in opens else []
    for port, whom in map(opened, opens):
        protocol, _, number = port.partition("/")
        if port != "all":
            name = number if protocol == "tcp" else f"{protocol.upper()} {number}"
            found.setdefault(whom or "everyone", []).append(name)
    told += [f"port{'' if len(names) == 1 else 's'} {some(names, _PORTS)} to {whom}" for whom, names in found.items()]
    more = f"; and {len(told) - _GROUPS:,} more" if len(told) > _GROUPS else ""
    return f"opens {'; '.join(told[:_GROUPS])}{more}" if told else ""


def opened(text: str) -> tuple[str, str]:
    """A port that opens, and to whom: "" is everyone."""
    port, _, whom = text.partition(" from ")
    return port, whom


_PORTS: Final = 12
_GROUPS: Final = 5


def _stopped(change: Change) -> Iterator[tuple[str, str]]:
    before, after = change.before, change.after
    runs = isinstance(before, Service) and before.active and not before.name.startswith("mailprov-")
    if runs and isinstance(before, Service) and not (isinstance(after, Service) and after.active):
        yield before.name, "STOP (live sessions are cut)" if before.sessions else "stop"


def place(error: BaseException) -> str:
    """Where a mistake of ours is, without the values that were at hand: those may be secret."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def printable(text: str) -> str:
    """`text` with control characters made visible: what a host says must not steer a terminal."""
    return "".join(c if c == "\t" or c.isprintable() else ascii(c)[1:-1] for c in text)
