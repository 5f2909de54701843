"""Tables of one row a line under a key: what passwd-files and Postfix maps have in common."""

from __future__ import annotations

import hashlib
import re
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


def delta(detail: Iterable[str], after: Mapping[str, str]) -> bytes:
    """What `merge` of acts.sh needs to make `after` of the live table: "S" and a row, or "D" and a key, a line each.

    `detail` is a Difference's: so what travels grows with the change, not with the table, and a plan that was kept
    needs no second look at the host.
    """
    lines = (f"D{line[2:]}" if line.startswith("- ") else f"S{after[line[2:]]}" for line in detail)
    return "".join(line + "\n" for line in lines).encode()


def added(detail: Iterable[str]) -> frozenset[str]:
    """The keys that a Difference's detail marks as new."""
    return frozenset(line[2:] for line in detail if line.startswith("+ "))


def removed(detail: Iterable[str]) -> frozenset[str]:
    """The keys that a Difference's detail marks as gone; lines that are no rows are left out."""
    return frozenset(line[2:] for line in detail if line.startswith("- ") and not line.startswith("- (line "))


# By the same signs `merged` of acts.sh knows a row: printable ASCII, a key without blanks, a value.
_KEY = re.compile(r"[^# ]+")
_PRINTABLE = re.compile(r"[ -~]+")


def parse(text: str, separator: str) -> dict[str, str]:
    """The rows of a live table by key, the first of each; a line that is no row comes under its number.

    So no text that somebody wrote there is taken for a key, and shown: it may hold a password.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        row = line.rstrip(" \t\r")
        key, cut, _ = row.partition(separator)
        if cut and _KEY.fullmatch(key) and _PRINTABLE.fullmatch(row):
            found.setdefault(key, row)
        elif row:
            found[f"(line {number})"] = row
    return found
