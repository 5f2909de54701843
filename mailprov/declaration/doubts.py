"""Columns of a staff list that nobody has explained, and that may say who has left: these people get no accounts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

from mailprov.declaration import encodings, states
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
        codec = "" if _is_proved(table) else table.codec
        self._gone = Known(partial(_gone, codec))
        self._misread = bool(codec)
        """whether the encoding may be another one"""
        names = Counter(map(plain, table.header))
        self._switches = {
            index: 0
            for index in self._telling
            # of two columns of one name, one is called by a wrong one
            if not is_heading(table.header[index]) or names[plain(table.header[index])] > 1
        }
        """columns in which every cell so far says yes or no or a day, with how many do"""
        self._hinted = {index for index in self._switches if states.is_hinted(plain(table.header[index]))}
        """columns whose headings sound as if they said who has left"""
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
                what = "this cell says that the user has left or is suspended, and nothing shuts the account"
                return index, what, fix
        if (self._misread or _BRACKET.search(user.name)) and gone[user.name]:
            fix = "delete this line, or write `no` in a column `enabled`, or the name without its brackets"
            return self._name_at, "this name says that the user has left, and nothing shuts the account", fix
        for index in self._nameless:
            if fields[index].strip():
                fix = "name the column in the first line, or delete it"
                return index, "this cell is in a column that has no name, and may mean anything", fix
        return None

    def _count(self, fields: list[str]) -> None:
        for index in tuple(self._switches):
            text = fields[index]
            if not text or states.is_nothing(text):
                continue
            if index in self._hinted or states.is_switch(text):
                self._switches[index] += 1
            else:
                del self._switches[index]

    def switches(self) -> Iterator[Doubt]:
        """The columns of which nobody knows what they say, and that say yes or no or a day of every user, or have a
        heading that sounds as if they said who has left."""
        for index, count in self._switches.items():
            if count:
                says = "" if index in self._hinted else "says yes or no, or a day, and "
                what = f"column {index + 1} {says}may say who has left, and its heading is not known"
                yield index, what, f"call it `enabled`, or `suspended`, or `离职日期`, if it does; {_IGNORE}"


def _is_proved(table: Table) -> bool:
    """Whether a heading that is known, and is not ASCII, shows that the encoding is the right one."""
    return any(is_heading(heading) and not plain(heading).isascii() for heading in table.header)


def _gone(codec: str, text: str) -> bool:
    """Whether a cell says that somebody has left, in the encoding in which it was read or in any other."""
    return states.gone(text) or any(map(states.gone, encodings.other_readings(text, codec)))


def _telling(table: Table, found: Columns) -> Iterator[int]:
    """The columns in which a word may tell that somebody has left: all that say nothing of what is on or off."""
    for index in (*found.unused, found.at.get("department", -1), found.at.get("title", -1)):
        if index >= 0 and not _OTHER.search(plain(table.header[index])):
            yield index
