"""Tables of one row a line under a key: what passwd-files and Postfix maps have in common."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.errors import HostError
from mailprov.model import Question, Secret

SHOWN = 20
"""how many changed rows a plan names; the rest is counted"""

_SLICE = 1 << 20
"""characters that are turned into bytes at once: not a whole table, which may be large"""


def some(names: Sequence[str], most: int = SHOWN) -> str:
    """The first of `names`, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


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


class Table:
    """A whole table, kept as one text that never shows itself: where nothing differs nobody asks for its rows."""

    __slots__ = ("_parts", "_rows", "_text", "separator")

    def __init__(self, text: str, separator: str) -> None:
        """`separator` is what stands behind a row's key."""
        self._text = Secret(text)
        self.separator = separator
        self._rows: Mapping[str, str] | None = None
        self._parts: Sequence[Sequence[str]] = ()

    def digest(self) -> str:
        """SHA-256 in hex of the text."""
        data, text = hashlib.sha256(), self._text.reveal()
        for at in range(0, len(text), _SLICE):
            data.update(text[at : at + _SLICE].encode())
        return data.hexdigest()

    def reveal(self) -> Mapping[str, str]:
        """The rows by key, as `parse` finds them. Call it only where rows are compared or written."""
        if self._rows is None:
            self._rows = parse(self._text.reveal(), self.separator)
        return self._rows

    def parts(self) -> Sequence[Sequence[str]]:
        """The rows in about equal parts, at least one. Which one a row is in is told by the Adler-32 of its key."""
        if not self._parts:
            lines = self._text.reveal().split("\n")[:-1]
            parts: list[list[str]] = [[] for _ in range(max(1, min(MOST_PARTS, len(lines) // ROWS_A_PART)))]
            for row in lines:
                sums = zlib.adler32(row.partition(self.separator)[0].encode())
                parts[((sums & 0xFFFF) + (sums >> 16)) % len(parts)].append(row)
            self._parts = parts
        return self._parts

    def __repr__(self) -> str:
        return "<rows>"


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of a live table by key, which never show themselves."""

    rows: Mapping[str, str] = field(repr=False)

    def reveal(self) -> Mapping[str, str]:
        """The rows. Call it only where rows are compared."""
        return self.rows


def table(lines: Iterable[str], separator: str) -> Table:
    """The table of these rows in byte order: its digest is what `sort | sha256sum` gives in the C locale."""
    ordered = sorted(lines)  # every line is ASCII, so this is byte order
    return Table("\n".join((*ordered, "")), separator)


# --- what a host is asked of a table that differs

ROWS_A_PART = 1_000
MOST_PARTS = 64
"""a large table is compared part by part, so that what travels grows with the change, not with the table"""


def question(path: str, separator: str, desired: Table | Seen | None) -> Question:
    """For those parts of a live table that are not as desired. The answer is what `answered` reads."""
    digests = _digests(desired.parts()) if isinstance(desired, Table) else ("-",)
    return Question("rows", "rows", (path, separator, *digests))


def answered(text: str, separator: str, desired: Table | Seen | None) -> Seen:
    """The rows of the live table: those that the host told, and the desired ones of the parts that do not differ.

    Raises HostError when the text is no such answer.
    """
    told, _, body = text.partition("\n")
    lines = [line.partition(" ") for line in body.split("\n")[:-1]]
    try:
        apart, numbers = frozenset(map(int, told.split())), [int(number) for number, _, _ in lines]
    except ValueError:  # it would quote what stands there, maybe a password's hash
        raise HostError("the host's answer is garbled", why="what it tells of a table has no numbers") from None
    parts = desired.parts() if isinstance(desired, Table) else ()
    same = (row for number, part in enumerate(parts) if number not in apart for row in part)
    found = {row.partition(separator)[0]: row for row in same}
    found |= _parse([row for _, _, row in lines], separator, numbers)
    return Seen(found)


def _digests(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(hashlib.sha256("".join(f"{row}\n" for row in part).encode()).hexdigest() for part in parts)


# --- differences


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> Difference:
    """What differs between two tables of key → row."""
    added = tuple(sorted(key for key in after if key not in before))
    return Difference(
        added,
        tuple(sorted(key for key in before if key not in after)),
        tuple(sorted(key for key, row in after.items() if before.get(key, row) != row)),
        len(before) + len(added),
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

# What `parse` need not look at any closer, by separator: a key and a value that it would take just as they are.
_PLAIN = {":": re.compile(r"""[!"$-9;-~]+:(?:[ -~]*[!-~])?"""), " ": re.compile(r"""[!"$-~]+ [ -~]*[!-~]""")}


def parse(text: str, separator: str) -> dict[str, str]:
    """The rows of a live table by key, the first of each; a line that is no row comes under its number.

    So no text that somebody wrote there is taken for a key, and shown: it may hold a password.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return _parse(lines, separator, range(1, len(lines) + 1))


def _parse(lines: Sequence[str], separator: str, numbers: Sequence[int]) -> dict[str, str]:
    if separator in _PLAIN and all(map(_PLAIN[separator].fullmatch, lines)):
        plain = {row.partition(separator)[0]: row for row in lines}
        if len(plain) == len(lines):
            return plain
    found: dict[str, str] = {}
    for number, line in zip(numbers, lines, strict=True):
        row = line.rstrip(" \t\r")
        key, cut, _ = row.partition(separator)
        if cut and _KEY.fullmatch(key) and _PRINTABLE.fullmatch(row):
            found.setdefault(key, row)
        elif row:
            found[f"(line {number})"] = row
    return found
