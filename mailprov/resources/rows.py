"""Tables of one row a line under a key: what passwd-files and Postfix maps have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Row = TypeVar("Row")

SHOWN = 20
"""how many changed rows a plan names; the rest is counted"""


@dataclass(frozen=True, slots=True)
class Difference:
    """The keys that come, go, or have another row, each in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    total: int
    """how many rows there are, before or after"""

    def summary(self, noun: str) -> str:
        """One line: "2 of 1,204 accounts change (1 added, 1 removed)"."""
        count = len(self.added) + len(self.removed) + len(self.changed)
        named = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        parts = ", ".join(f"{len(keys):,} {word}" for word, keys in named if keys)
        if not parts:
            return f"no {noun}" if self.total == 0 else "order or comments"
        return f"{count:,} of {self.total:,} {noun} {'changes' if count == 1 else 'change'} ({parts})"

    def detail(self) -> tuple[str, ...]:
        """The keys, marked + ~ -."""
        marks = (("+", self.added), ("~", self.changed), ("-", self.removed))
        return tuple(f"{mark} {key}" for mark, keys in marks for key in keys)


def digest(lines: Iterable[str]) -> str:
    """SHA-256 in hex of `lines` in byte order, each with a newline: what `sort | sha256sum` gives in the C locale."""
    data = hashlib.sha256()
    for line in sorted(lines):  # every line is ASCII, so this is byte order
        data.update(line.encode() + b"\n")
    return data.hexdigest()


def difference(before: Mapping[str, Row], after: Mapping[str, Row]) -> Difference:
    """What differs between two tables of key → row."""
    return Difference(
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        tuple(sorted(key for key in after.keys() & before.keys() if after[key] != before[key])),
        len(before.keys() | after.keys()),
    )


def delta(before: Mapping[str, str], after: Mapping[str, str]) -> bytes:
    """What `merge` of transaction.sh needs to make `after` of `before`: "S" and a row, or "D" and a key, a line each.

    So what travels grows with the change, not with the table.
    """
    found = difference(before, after)
    lines = [f"D{key}" for key in found.removed] + [f"S{after[key]}" for key in (*found.added, *found.changed)]
    return "".join(line + "\n" for line in lines).encode()


def parse(text: str, separator: str) -> dict[str, str]:
    """The rows of a live table by key; a comment or a broken line is a row of its own."""
    return {line.partition(separator)[0]: line for line in text.splitlines() if line}
