"""Values from a file that know their places."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from mailprov.errors import Diagnostic, Origin

Value = Any
"""Map | Seq | str | int | float | bool | None"""

BITS: Final = 26
"""a place is one integer, the line above this many bits of column: 32 MiB of text holds fewer than 2**26 of either"""
MASK: Final = (1 << BITS) - 1


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
        return (mark >> BITS) + 1, (mark & MASK) + 1


class Seq(list[Value]):
    """A list with the places of its items."""

    __slots__ = ("marks",)

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[int] = []

    def place(self, index: int) -> tuple[int, int]:
        """Line and column, from 1, of the item `index`. Raises IndexError where there is none."""
        mark = self.marks[index]
        return (mark >> BITS) + 1, (mark & MASK) + 1


class Frame:
    """A container that is still open."""

    __slots__ = ("anchor", "before", "deepest", "flow", "is_key", "key", "key_mark", "mark", "node", "rejected")

    def __init__(
        self, node: Map | Seq, mark: int, anchor: str | None, before: int, *, is_key: bool, flow: bool
    ) -> None:
        self.node = node
        self.mark = mark
        self.anchor = anchor
        self.before = before
        """values counted before this container"""
        self.is_key = is_key
        """it stands, or is within what stands, in the place of a key, and is only passed over"""
        self.flow = flow
        """it is written in brackets, which may have been meant to end long ago"""
        self.deepest = 0
        """levels below this container"""
        self.key: str | None = None
        self.key_mark = 0
        self.rejected = False
        """the pending key was complained about: its value is only looked at"""


def take_in(node: Map, key: str | None, value: Value) -> None:
    """Put into `node` what stands below a key that was complained about, so that it is looked at, too: the further
    items of a list, the further members of a mapping."""
    former = node if key == "<<" else node.get(key or "")
    if isinstance(former, Seq) and isinstance(value, Seq):
        both = Seq()
        both.extend((*former, *value))
        both.marks = [*former.marks, *value.marks]
        node[key or ""] = both
    elif isinstance(former, Map) and isinstance(value, Map):
        both_ = former
        if former is not node:
            both_ = Map()
            both_.update(former)
            both_.marks = list(former.marks)
            node[key or ""] = both_
        for (name, member), mark in zip(value.items(), value.marks, strict=True):
            if name not in both_:
                both_[name] = member
                both_.marks.append(mark)


class Document:
    """One file's value, the place of everything in it, and what is wrong with it as a text.

    At the places of these `faults`, and those that are `tainted` by one, nothing else is worth saying.
    """

    __slots__ = ("_mark", "doubtful", "faults", "file", "partial", "root", "tainted")

    def __init__(
        self,
        file: str,
        root: Value,
        mark: int,
        faults: Sequence[Diagnostic] = (),
        tainted: Collection[Origin] = (),
        *,
        partial: bool = False,
        doubtful: Origin | None = None,
    ) -> None:
        self.file = file
        self.root = root
        self.faults = tuple(faults)
        self.tainted = frozenset((*tainted, *(fault.origin for fault in faults)))
        self.partial = partial
        """whether hosts, domains or people may stand in what could not be told"""
        self.doubtful = doubtful
        """from where on nothing else is worth saying, since the text is no YAML soon after"""
        self._mark = mark

    def is_doubtful(self, origin: Origin) -> bool:
        """Whether what is said at this place of the file may be wrong because of one of the faults."""
        return origin in self.tainted or (self.doubtful is not None and origin >= self.doubtful)

    def origin(self, path: Sequence[str | int], *, of_key: bool = False) -> Origin:
        """The place of the value at `path`, or of its key; the nearest place above it where it does not exist."""
        node, line, column = self.root, (self._mark >> BITS) + 1, (self._mark & MASK) + 1
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
