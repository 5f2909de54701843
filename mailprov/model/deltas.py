"""How two tables differ, as data: what consents, passwords and reports go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SHOWN = 20
"""how many changed rows a plan names; the rest is counted"""


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """The first of `names`, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a row: what it says and what it will say; neither where that is nobody's business."""

    name: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.before} → {self.after}" if self.before or self.after else self.name


@dataclass(frozen=True, slots=True)
class RowsChange:
    """How the rows of a table of `noun` differ: the keys that come, have another row, or go, each in order.

    A row that is `renamed` neither comes nor goes.

    `broken` are the numbers of live lines that are no rows and go, too. A number is no key: nothing that somebody
    wrote into the table can be taken for one, and no key for a number.
    """

    noun: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    """by key of a row that comes: the key of the one whose place it takes"""
    broken: tuple[int, ...] = ()
    unclear: tuple[int, ...] = ()
    """those of `broken` that the program which reads the table may take for a row"""
    fields: Mapping[str, tuple[FieldChange, ...]] = field(default_factory=dict)
    """by key of a changed or renamed row: which fields differ, as far as the kind of table knows fields"""
    total: int = 0
    """how many rows there are, before or after"""
    besides: str = ""
    """what else differs, in words"""
    aspects: frozenset[str] = frozenset()
    """what differs, in the words of `drift: ignore`"""

    @property
    def summary(self) -> str:
        """One line: "2 of 1,204 accounts change (1 added, 1 removed)"."""
        named = (("added", self.added), ("changed", self.changed), ("renamed", self.renamed), ("removed", self.removed))
        count = sum(len(keys) for _, keys in named)
        parts = ", ".join(f"{len(keys):,} {word}" for word, keys in named if keys)
        told = []
        if parts:
            told.append(f"{count:,} of {self.total:,} {self.noun} {'changes' if count == 1 else 'change'} ({parts})")
        if self.broken:
            one = len(self.broken) == 1
            told.append("1 line that is no row goes" if one else f"{len(self.broken):,} lines that are no rows go")
        if self.besides:
            told.append(self.besides)
        return "; ".join(told) or (f"no {self.noun}" if self.total == 0 else "order or comments")

    @property
    def detail(self) -> tuple[str, ...]:
        """The keys, marked + ~ -, each with its fields; then the lines that are no rows."""
        return (
            *(f"+ {key}" for key in self.added),
            *(f"~ {key}{self._fields(key)}" for key in sorted((*self.changed, *self.renamed))),
            *(f"- {key}" for key in self.removed),
            *(f"- (line {number})" for number in self.broken),
        )

    def _fields(self, key: str) -> str:
        return f"  {', '.join(map(str, self.fields[key]))}" if self.fields.get(key) else ""
