"""Columns of a staff list that nobody has explained, and that may say who has left: these people get no accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mailprov.declaration import states
from mailprov.declaration.cells import Known
from mailprov.declaration.columns import Columns, is_heading, plain
from mailprov.declaration.table import Table
from mailprov.model import User

_OTHER: Final = re.compile("mfa|2fa|2sv|factor|step|imap|pop|smtp|forward|protocol|licen[sc]e|验证|转发|许可")
"""headings of columns that say what is on or off, and not of whom"""
_BRACKET: Final = re.compile(r"[(\[（【〔]")
_IGNORE: Final = "else say so: from_csv: {file: …, ignore: [its name]}"
Doubt = tuple[int, str, str]
"""which cell of a row, what it may mean, and what to do"""


class Doubts:
    """What in the rows of a table may say that somebody has left, though no column that is known does."""

    def __init__(self, table: Table, found: Columns) -> None:
        self._nameless = tuple(index for index in found.unused if not plain(table.header[index]))
        self._telling = tuple(_telling(table, found))
        self._gone = Known(states.gone)
        self._switches = {index: 0 for index in self._telling if not is_heading(table.header[index])}
        """columns in which every cell so far says yes or no, with how many do"""
        self._name_at = max(found.at.get(field, -1) for field in ("name", "first_name", "last_name"))

    def of(self, user: User, fields: list[str]) -> Doubt | None:
        """The first cell of a row that may say that this user, whom nothing shuts out, has left."""
        if self._switches:
            self._count(fields)
        if not user.protocols:
            return None
        gone = self._gone
        for index in self._telling:
            if gone[fields[index]]:
                fix = f"delete this line, or write `no` in a column `enabled`; {_IGNORE}"
                return (
                    index,
                    "this cell says that the user has left or is suspended, and nothing shuts the account",
                    fix,
                )
        if not user.name.isalnum() and _BRACKET.search(user.name) and states.gone(user.name):
            fix = "delete this line, or write `no` in a column `enabled`, or the name without its brackets"
            return self._name_at, "this name says that the user has left, and nothing shuts the account", fix
        for index in self._nameless:
            if fields[index].strip():
                fix = "name the column in the first line, or delete it"
                return index, "this cell is in a column that has no name, and may mean anything", fix
        return None

    def _count(self, fields: list[str]) -> None:
        for index in tuple(self._switches):
            if text := fields[index]:
                if states.is_switch(text):
                    self._switches[index] += 1
                else:
                    del self._switches[index]

    def switches(self) -> Iterator[Doubt]:
        """The columns that say yes or no of every user, and nobody knows of what."""
        for index, count in self._switches.items():
            if count:
                what = f"column {index + 1} says yes or no, and its heading is not known: it may say who has left"
                yield index, what, f"call it `enabled`, or `suspended`, if it does; {_IGNORE}"


def _telling(table: Table, found: Columns) -> Iterator[int]:
    """The columns in which a word may tell that somebody has left: all that say nothing of what is on or off."""
    for index in (*found.unused, found.at.get("department", -1), found.at.get("title", -1)):
        if index >= 0 and not _OTHER.search(plain(table.header[index])):
            yield index
