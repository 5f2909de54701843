"""Tables of one row a line under a key: what passwd-files and Postfix maps have in common."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.errors import HostError
from mailprov.model import FieldChange, Query, RowsChange, Secret

_SLICE = 1 << 20
"""characters that are turned into bytes at once: not a whole table, which may be large"""


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
            self._rows = parse(self._text.reveal(), self.separator).rows
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
    """A live table, which never shows itself: its rows by key, and by number the lines that are no rows."""

    rows: Mapping[str, str] = field(repr=False)
    broken: Mapping[int, str] = field(default_factory=dict, repr=False)

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


def query(path: str, separator: str, desired: Table | Seen | None, reader: str = "cat") -> Query:
    """For those parts of a live table that are not as desired. The answer is what `answered` reads.

    `reader` is the host's function that prints what of the file may be told.
    """
    digests = _digests(desired.parts()) if isinstance(desired, Table) else ("-",)
    return Query("rows", "rows", (reader, path, separator, *digests))


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
    there = _parse([row for _, _, row in lines], separator, numbers)
    return Seen({**found, **there.rows}, there.broken)


def lines(text: str, separator: str) -> list[str]:
    """All that stands in a table, by the answer to `query`, also what is no row: its digest is of that, too."""
    found = answered(text, separator, None)
    return [*found.rows.values(), *found.broken.values()]


def _digests(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(hashlib.sha256("".join(f"{row}\n" for row in part).encode()).hexdigest() for part in parts)


# --- differences


def change(
    noun: str,
    before: Table | Seen | None,
    after: Table | Seen | None,
    fields: Callable[[str, str], tuple[FieldChange, ...]] | None = None,
    besides: str = "",
    formerly: Mapping[str, str] | None = None,
) -> RowsChange:
    """What differs between two tables; None is one without rows. `fields` tells two rows of one key apart.

    `formerly`: under which key a row may have been before.
    """
    old, new = (side.reveal() if side is not None else {} for side in (before, after))
    broken = before.broken if isinstance(before, Seen) else {}
    pairs = (formerly or {}).items()
    renamed = {key: was for key, was in pairs if key in new and key not in old and was in old and was not in new}
    left = frozenset(renamed.values())
    added = tuple(sorted(key for key in new if key not in old and key not in renamed))
    changed = tuple(sorted(key for key, row in new.items() if old.get(key, row) != row))
    told: dict[str, tuple[FieldChange, ...]] = {}
    if fields:
        told = {key: fields(old[key], new[key]) for key in changed}
        for key, was in renamed.items():
            same = old[was].removeprefix(was) == new[key].removeprefix(key)
            told[key] = (FieldChange("address", was, key), *(() if same else fields(old[was], new[key])))
    return RowsChange(
        noun,
        added,
        changed,
        tuple(sorted(key for key in old if key not in new and key not in left)),
        renamed,
        tuple(sorted(broken)),
        fields=told,
        total=len(old) + len(added),
        besides=besides,
    )


_Shape = tuple[str, str, str, str]
"""a file's type, mode, owner and group"""


def aspects(digests: tuple[str, str], *files: tuple[_Shape, _Shape]) -> frozenset[str]:
    """Which of rows, type, mode and owner (or group) differ, of a table before and after, and of the files it is in."""
    found = {"rows"} if digests[0] != digests[1] else set[str]()
    for old, new in files:
        pairs = (("type", old[0], new[0]), ("mode", old[1], new[1]), ("owner", old[2:], new[2:]))
        found.update(name for name, was, will in pairs if was != will)
    return frozenset(found)


def payload(delta: RowsChange, after: Mapping[str, str]) -> bytes:
    """What `merge` of acts.sh needs to make `after` of the live table: "S" and a row, "D" and a key, or "R", the key of
    before and a row, a line each.

    So what travels grows with the change, not with the table. Lines that are no rows are dropped by themselves there.
    """
    lines = (
        *(f"S{after[key]}" for key in (*delta.added, *delta.changed)),
        *(f"D{key}" for key in delta.removed),
        *(f"R{was} {after[key]}" for key, was in delta.renamed.items()),
        *(f"D{was}" for was in delta.renamed.values() if was not in after),
    )
    return "".join(line + "\n" for line in lines).encode()


# By the same signs `merged` of acts.sh knows a row: printable ASCII, a key without blanks, a value.
_KEY = re.compile(r"[^# ]+")
_PRINTABLE = re.compile(r"[ -~]+")

# What `parse` need not look at any closer, by separator: a key and a value that it would take just as they are.
_PLAIN = {":": re.compile(r"""[!"$-9;-~]+:(?:[ -~]*[!-~])?"""), " ": re.compile(r"""[!"$-~]+ [ -~]*[!-~]""")}


def parse(text: str, separator: str) -> Seen:
    """The rows of a live table by key, the first of each; a line that is no row is kept under its number.

    So no text that somebody wrote there is taken for a key, and shown: it may hold a password.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return _parse(lines, separator, range(1, len(lines) + 1))


def _parse(lines: Sequence[str], separator: str, numbers: Sequence[int]) -> Seen:
    if separator in _PLAIN and all(map(_PLAIN[separator].fullmatch, lines)):
        plain = {row.partition(separator)[0]: row for row in lines}
        if len(plain) == len(lines):
            return Seen(plain)
    found: dict[str, str] = {}
    broken: dict[int, str] = {}
    for number, line in zip(numbers, lines, strict=True):
        row = line.rstrip(" \t\r")
        key, cut, _ = row.partition(separator)
        if cut and _KEY.fullmatch(key) and _PRINTABLE.fullmatch(row):
            found.setdefault(key, row)
        elif row:
            broken[number] = row
    return Seen(found, broken)
