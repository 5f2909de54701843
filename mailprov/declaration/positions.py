"""Values from a file that know their places."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from mailprov.errors import Diagnostic, Origin

Value = Any
"""Map | Seq | str | int | float | bool | None"""

BITS: Final = 26
"""a place is one integer, the line above this many bits of column: 32 MiB of text holds fewer than 2**26 of either"""
_MASK: Final = (1 << BITS) - 1


class Map(dict[str, Value]):
    """A mapping with the places of its keys and values, in order of appearance."""

    __slots__ = ("_index", "marks")

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[int] = []
        self._index: dict[str, int] | None = None

    def place(self, key: str, *, of_key: bool) -> tuple[int, int]:
        """Line and column, from 1, of `key` or of its value. Raises KeyError where there is no such key."""
        if self._index is None or len(self._index) != len(self):
            self._index = {known: number for number, known in enumerate(self)}
        both = self.marks[self._index[key]]
        mark = both >> 2 * BITS if of_key else both & (1 << 2 * BITS) - 1
        return (mark >> BITS) + 1, (mark & _MASK) + 1


class Seq(list[Value]):
    """A list with the places of its items."""

    __slots__ = ("marks",)

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[int] = []

    def place(self, index: int) -> tuple[int, int]:
        """Line and column, from 1, of the item `index`. Raises IndexError where there is none."""
        mark = self.marks[index]
        return (mark >> BITS) + 1, (mark & _MASK) + 1


class Document:
    """One file's value, the place of everything in it, and what is wrong with it as a text.

    At the places of these `faults`, and those that are `tainted` by one, nothing else is worth saying.
    """

    __slots__ = ("_mark", "faults", "file", "partial", "root", "tainted")

    def __init__(
        self,
        file: str,
        root: Value,
        mark: int,
        faults: Sequence[Diagnostic] = (),
        tainted: Collection[Origin] = (),
        *,
        partial: bool = False,
    ) -> None:
        self.file = file
        self.root = root
        self.faults = tuple(faults)
        self.tainted = frozenset((*tainted, *(fault.origin for fault in faults)))
        self.partial = partial
        """whether hosts, domains or people may stand in what could not be told"""
        self._mark = mark

    def origin(self, path: Sequence[str | int], *, of_key: bool = False) -> Origin:
        """The place of the value at `path`, or of its key; the nearest place above it where it does not exist."""
        node, line, column = self.root, (self._mark >> BITS) + 1, (self._mark & _MASK) + 1
        last = len(path) - 1
        for number, step in enumerate(path):
            try:
                if isinstance(node, Map) and isinstance(step, str):
                    line, column = node.place(step, of_key=of_key and number == last)
                elif isinstance(node, Seq) and isinstance(step, int):
                    line, column = node.place(step)
                else:
                    break
                node = node[step]
            except (KeyError, IndexError):
                break
        return Origin(self.file, line, column)
