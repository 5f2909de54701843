"""What the last apply left on the host: what was asked for, and what was there just after it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailprov import probe
from mailprov.model import Key, State

HEAD = "mailprov-manifest 2"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`desired`: the fingerprint of each thing asked for; `sections`: the host's answer just after the apply."""

    transaction: str
    desired: Mapping[Key, str]
    sections: Mapping[str, str]


def parse(text: str) -> Manifest | None:
    """The manifest that a host keeps; None when there is none, or none that this version can read."""
    lines = text.split("\n")
    if len(lines) < 2 or lines[0] != HEAD:
        return None
    desired: dict[Key, str] = {}
    for line in lines[2:]:
        words = line.split(" ", 3)
        if words[0] == "desired" and len(words) == 4:
            desired[Key(words[1], words[3])] = words[2]
    return Manifest(lines[1].removeprefix("transaction "), desired, probe.decode(filter(probe.stable, lines[2:])))


def head(desired: State, transaction: str) -> str:
    """The part that the controller knows; the host adds its answer below."""
    rows = (f"desired {key.kind} {item.fingerprint} {key.name}" for key, item in desired.items())
    return "\n".join([HEAD, f"transaction {transaction}", *rows, ""])
