"""What the last apply left on the host: what was asked for, and what the host made of it (pure).

It holds what was meant, and nothing that was merely found: what somebody changes while an apply is at work is drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailprov.engine import probe
from mailprov.model import Key

HEAD = "mailprov-manifest 3"
BEFORE = "mailprov-manifest 2"
"""as it was until 0.1: with the host's answer just after the apply, in place of what was made"""
COUNT = "count"
"""of the things that are asked for; until 0.1 nothing said how many they are"""

_TOLD = frozenset({"packages", "users", "files", "accounts", "maps", "certificates", "services", "firewall"})
"""the sections of that answer"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """`desired`: the fingerprint of each thing asked for.

    `made`: what the host alone can tell of some of them, since it made them: the digest of a map's database, of the
    firewall as the kernel lists it, of a certificate. `sections`: a host's answer, in a manifest of the former form.
    """

    transaction: str
    desired: Mapping[Key, str]
    made: Mapping[Key, str]
    sections: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> Manifest | None:
    """The manifest that a host keeps; None when there is none, or none that this version can read whole."""
    lines = text.split("\n")
    if len(lines) < 2 or lines[0] not in (HEAD, BEFORE):
        return None
    told: dict[str, dict[Key, str]] = {"desired": {}, "made": {}}
    counts: list[str] = []
    for line in lines[2:]:
        words = line.split(" ", 3)
        if len(words) == 4 and words[0] in told:
            told[words[0]][Key(words[1], words[3])] = words[2]
        elif words[0] == COUNT:
            counts.append(line)
    if counts not in ([], [f"{COUNT} {len(told['desired'])}"]):  # some of it is gone, or garbled
        return None
    sections = probe.decode(probe.only(_TOLD, lines[2:])) if lines[0] == BEFORE else {}
    return Manifest(lines[1].removeprefix("transaction "), told["desired"], told["made"], sections)


def head(transaction: str, desired: Mapping[Key, str], made: Mapping[Key, str]) -> str:
    """The part that the controller knows: fingerprints, and what was made before and stays; the host adds the rest."""
    rows = [f"{COUNT} {len(desired)}"]
    rows += [f"desired {key.kind} {value} {key.name}" for key, value in desired.items()]
    rows += [f"made {key.kind} {value} {key.name}" for key, value in made.items() if value]
    return "\n".join([HEAD, f"transaction {transaction}", *rows, ""])
