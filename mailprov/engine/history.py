"""What a host remembers of its transactions (pure)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SAID: Final = re.compile(r"([^ ]+) commit=([^ ]+)(?: (.*))?")
"""what workflows.run_plan.who makes"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history: when (UTC), which transaction, how it ended, and who did what."""

    at: datetime
    transaction: str
    verdict: str
    meta: str

    @property
    def who(self) -> str:
        """Who did it, from where (USER@MACHINE); "" where the line does not say."""
        return self._words()[0]

    @property
    def commit(self) -> str:
        """At which commit of the declaration's folder; "" where it was none, or the line does not say."""
        found = self._words()[1]
        return "" if found == "-" else found

    @property
    def summary(self) -> str:
        """What was done, in words: all of a line that says nothing else."""
        return self._words()[2]

    def _words(self) -> tuple[str, str, str]:
        """Who, which commit, and what. A host, and whoever can write there, may say anything."""
        found = _SAID.fullmatch(self.meta)
        return (found[1], found[2], found[3] or "") if found else ("", "", self.meta)


@dataclass(frozen=True, slots=True)
class History:
    """Every transaction, oldest first.

    `gap` is the number of the first line that does not follow from the one before it (lines count from 1), 0 while
    the chain is whole.
    """

    entries: tuple[Entry, ...]
    gap: int = 0


@dataclass(frozen=True, slots=True)
class Transactions:
    """What is going on: who holds the lock, the transaction that is open, the last that ended.

    `events` are lines of the open one's journal: the last of each name, in their order.
    """

    holder: str = ""
    open: str = ""
    events: tuple[str, ...] = ()
    last: Entry | None = None


def transactions(sections: Mapping[str, str]) -> Transactions:
    """The answer to the `transactions` question."""
    pairs = [line.partition(" ")[::2] for line in sections.get("transactions", "").splitlines()]
    said = dict(pairs)
    last = _entry(said.get("last", "").partition(" ")[2])
    events = tuple(text for name, text in pairs if name == "event")
    return Transactions(said.get("locked", ""), said.get("open", ""), events, last)


def history(text: str) -> History:
    """A host's history file: each line begins with the SHA-256 of the one before it, newline and all."""
    entries: list[Entry] = []
    gap, before = 0, b""
    for number, line in enumerate(text.splitlines(), 1):
        link, _, rest = line.partition(" ")
        entry = _entry(rest)
        if not gap and (link != hashlib.sha256(before).hexdigest() or entry is None):
            gap = number
        before = line.encode() + b"\n"
        if entry is not None:
            entries.append(entry)
    return History(tuple(entries), gap)


def _entry(text: str) -> Entry | None:
    words = text.split(" ", 3)
    if len(words) < 3 or not (words[0].isascii() and words[0].isdigit() and len(words[0]) < 12):
        return None
    return Entry(datetime.fromtimestamp(int(words[0]), UTC), words[1], words[2], words[3] if len(words) == 4 else "")
