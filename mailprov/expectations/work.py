"""How much there may be to judge: expectations times accounts, changes or hosts, whoever wrote either (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailprov.declaration.diagnostics import meant
from mailprov.errors import MailprovError

MOST_WORK = 250_000
"""things that are held against an expectation, in all: some seconds"""
MOST_HINTS: Final = 20
"""names that are looked for among all that there are, since nobody has them: each takes as long as 10,000 accounts"""


@dataclass(slots=True)
class Work:
    """What was done so far."""

    done: int = 0
    hints: int = 0

    def add(self, count: int) -> None:
        """Begin with so much more. Raises MailprovError where that is too much."""
        self.done += count
        if self.done > MOST_WORK:
            what = "there is too much to judge: too many expectations of too many accounts, hosts, ports or changes"
            raise MailprovError(what, fix="write fewer, or judge fewer hosts at once: --limit")

    def meant(self, text: str, known: Iterable[str]) -> str:
        """ ": did you mean …?" behind what nobody has, for the first few of these; else ""."""
        self.hints += 1
        found = meant(text, known) if self.hints <= MOST_HINTS else ""
        return f": {found}" if found else ""
