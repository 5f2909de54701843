"""What fits a comment on a merge request: whole items, the most important first; what is left out is counted (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mailprov.model import some

LIMIT: Final = 65_536 - 136
"""characters that a forge takes, without a line of whoever posts it; counted as UTF-16 does, which is never fewer than
it counts itself"""
_RESERVE: Final = 600
"""characters for the words about what was left out"""


@dataclass(frozen=True, slots=True)
class Part:
    """`items` that stand together between `head` and `tail`: a list, a table, a fold.

    `rank`: parts of a lower one find room first. `noun`: what one item is, in the plural.
    """

    rank: int
    noun: str
    items: Sequence[str]
    head: str = ""
    tail: str = ""


@dataclass(slots=True)
class _Filled:
    """A part, the items of it that have found room, and how much that is."""

    part: Part
    chosen: list[int] = field(default_factory=list)
    used: int = 0

    def fill(self, room: int) -> int:
        """Take what fits into so much more room, and say how much of it that is."""
        before = self.used
        taken = set(self.chosen)
        for number, item in enumerate(self.part.items):
            if number in taken:
                continue
            more = size(item) + 1 + (0 if self.chosen else self._frame())
            if self.used - before + more <= room:
                self.chosen.append(number)
                self.used += more
        return self.used - before

    def _frame(self) -> int:
        return size(self.part.head) + size(self.part.tail) + size(self._remark(len(self.part.items))) + 4

    def text(self) -> str:
        """What is shown of it; "" where that is nothing."""
        if not self.chosen:
            return ""
        shown = [self.part.items[number] for number in sorted(self.chosen)]
        body = "\n".join([*([self.part.head] if self.part.head else []), *shown])
        return body.rstrip("\n") + self._remark(self.left) + self.part.tail

    def _remark(self, left: int) -> str:
        return f"\n\n… {left:,} more {self.part.noun} left out" if left else ""

    @property
    def left(self) -> int:
        """How many items have found no room."""
        return len(self.part.items) - len(self.chosen)


def fitted(title: str, parts: Sequence[Part], limit: int = LIMIT) -> str:
    """The comment: `title`, and of the parts, in this order, what fits, so that all of it has at most `limit`
    characters. No part takes more than half of the room that is left until every other one had its turn.
    """
    filled = [_Filled(part) for part in parts]
    room = limit - size(title) - _RESERVE
    for share in (2, 1):
        for each in sorted(filled, key=lambda each: each.part.rank):
            room -= each.fill(room // share)
    left = Counter[str]()
    for each in filled:
        left[each.part.noun] += each.left
    told = [f"{count:,} {noun}" for noun, count in left.items() if count]
    last = [f"… left out, so that this fits a comment: {some(told, 8)}; `--json FILE` has it all"] if told else []
    return "\n\n".join([title, *filter(None, (each.text() for each in filled)), *last])


def size(text: str) -> int:
    """The characters of `text`, each beyond U+FFFF counted twice."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
