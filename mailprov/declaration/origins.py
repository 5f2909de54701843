"""What a host got, key by key, and which words of which level it came from: read from the merge that made the host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from mailprov.declaration.files import described
from mailprov.declaration.settings import (
    ALLOW,
    BECOME_PASSWORD,
    BEFORE,
    CERTIFICATE,
    RELAY,
    SENDERS,
    SOURCES,
    Key,
    Layer,
    LevelValue,
    Source,
)
from mailprov.errors import Origin
from mailprov.model import DIRECT, Secret

HIDDEN: Final = Secret("")
"""stands for a secret that was not read"""

_OTHER_SOURCES: Final = (*(f"tls.{name}" for name in SOURCES), "tls.on_host.certificate", "tls.on_host.key")


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a host, its value in the model's terms, and the level and place that it came from.

    A default has no place. `overridden` holds what other levels say of it in vain, the nearest level first.
    """

    key: str
    value: Any
    level: str
    origin: Origin | None
    note: str = ""
    overridden: tuple[Setting, ...] = ()


def settings(settled: Layer) -> tuple[Setting, ...]:
    """Every key of a host whose layers are merged and settled."""
    return tuple(setting for key, stack in settled.settings.items() for setting in _settings(key, stack))


def keys(found: tuple[Setting, ...]) -> tuple[str, ...]:
    """Every key that may be asked for: those of `found`, the mappings that they are in, and all that names a source."""
    every = dict.fromkeys(setting.key for setting in found)
    every |= dict.fromkeys(_OTHER_SOURCES)
    steps = {key: key.split(".") for key in every}
    return tuple(dict.fromkeys(".".join(each[:n]) for each in steps.values() for n in range(1, len(each) + 1)))


def below(found: tuple[Setting, ...], asked: str) -> tuple[Setting, ...]:
    """Those of `found` at or below the key `asked`. One source of a certificate stands for any other."""
    exact = tuple(each for each in found if f"{each.key}.".startswith(f"{asked}."))
    if not exact and asked in _OTHER_SOURCES:
        return tuple(each for each in found if each.key.startswith("tls.") and each.key != "tls.min_version")
    return exact


def _settings(key: Key, stack: tuple[LevelValue, ...]) -> Iterator[Setting]:
    levels = [_of_level(key, level_value) for level_value in stack]
    *lower, top = levels
    for setting in top:
        others: list[Setting] = []
        for level in reversed(lower):
            same = [each for each in level if each.key == setting.key]
            others += (each for each in same or level if each.origin is not None)
        yield replace(setting, overridden=tuple(others))


def _of_level(key: Key, level_value: LevelValue) -> list[Setting]:
    if key == CERTIFICATE:
        return list(_certificate(level_value))
    value = level_value.value
    if key == ALLOW:
        value = tuple(rule[0] if isinstance(rule, tuple) else rule for rule in value)
    if key == BECOME_PASSWORD and isinstance(value, Source):
        value = HIDDEN
    if key == RELAY:
        value = _relay(value)
    if key == BEFORE and isinstance(value, Source):
        value = dict(value.node)
    if key == SENDERS:
        value = tuple({"from": name, "relay": _relay(source)} for name, source in value)
    return [Setting(".".join(key), value, level_value.level, level_value.origin, level_value.note)]


def _relay(source: Source | None) -> Any:
    """What is said of a relay; of its password, where that is."""
    if source is None:
        return DIRECT
    return {key: described(value) if key == "password" else value for key, value in source.node.items()}


def _certificate(level_value: LevelValue) -> Iterator[Setting]:
    source: Source | None = level_value.value
    if source is None:
        yield Setting("tls.self_signed", {}, level_value.level, None)
        return
    for name in SOURCES:
        if name not in source.node:
            continue
        place, node = source.source_file.origin(*source.path, name), source.node[name]
        if name == "on_host":
            for inner, path in node.items():
                where = source.source_file.origin(*source.path, name, inner)
                yield Setting(f"tls.on_host.{inner}", path, level_value.level, where)
        elif name == "key":
            yield Setting("tls.key", HIDDEN, level_value.level, place, described(node))
        else:
            yield Setting(f"tls.{name}", dict(node), level_value.level, place)
