"""Exports of other systems, from the files in exports/: above each table what there is to know of it.

    states: HEADING|…   the columns that tell who has left
    encodings: …        what it is saved as: names of Python's, or xlsx
    read: all           it is read as it is: who has left is declared, and cannot log in
    read: stays         it is refused for the lines of those who have left, and only for these
    read: nobody        it is refused: headings in a language that is not known here, or hashes that do not say of what

Whoever stays has an address that begins with `stay`, who has left one that begins with `gone`; `*` in a row stands for
a password, and every password has PASSWORD in it.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Row = tuple[str, ...]

PASSWORD: Final = "Geheim"
_DATE: Final = re.compile(r"(\d{4})[-/](\d\d?)[-/](\d\d?)")


@dataclass(frozen=True)
class Export:
    """A table, and how it is written down."""

    maker: str
    header: Row
    rows: tuple[Row, ...]
    states: tuple[int, ...]
    encodings: tuple[str, ...]
    read: str
    above: tuple[Row, ...] = ()
    """lines above the header"""
    separator: str = ","
    quoting: int = csv.QUOTE_MINIMAL
    line_end: str = "\r\n"

    def data(self, encoding: str) -> bytes:
        """The file in this encoding."""
        return self._workbook() if encoding == "xlsx" else self.text().encode(encoding, "replace")

    def text(self) -> str:
        """The file as CSV."""
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.separator, quoting=self.quoting, lineterminator=self.line_end)
        writer.writerows(filter(None, (*self.above, self.header, *self.rows)))
        return out.getvalue()

    def _workbook(self) -> bytes:
        import openpyxl

        book, out = openpyxl.Workbook(), io.BytesIO()
        for row in (*self.above, self.header):
            book.active.append([cell.replace("\0", "") for cell in row])
        for row in self.rows:
            book.active.append([_value(cell) for cell in row])
        book.save(out)
        return out.getvalue()


def _value(text: str) -> object:
    """What a spreadsheet makes of a text that is typed into a cell."""
    if found := _DATE.fullmatch(text):
        return datetime.datetime(*map(int, found.groups()))  # type: ignore[arg-type]
    if text.upper() in ("TRUE", "FALSE"):
        return text.upper() == "TRUE"
    return int(text) if text.isdecimal() and len(text) < 12 and not text.startswith("0") else text or None


def _of(path: Path) -> Export:
    lines = path.read_text(encoding="utf-8").splitlines()
    above = dict(line.split(": ", 1) for line in lines[:3])
    header, *rows = (tuple(line.split("|")) for line in lines[3:])
    assert all(len(row) == len(header) for row in rows), path.name
    encodings = tuple(above["encodings"].split())
    letter = "ß" if "cp1252" in encodings else "中"
    made = tuple(
        tuple(f"{PASSWORD}-{number}-{letter}" if cell == "*" else cell for cell in row)
        for number, row in enumerate(rows, 1)
    )
    states = tuple(map(header.index, above["states"].split("|")))
    return Export(path.stem, header, made, states, encodings, above["read"])


def exports() -> Sequence[Export]:
    """All of them."""
    return [_of(path) for path in sorted((Path(__file__).parent / "exports").glob("*.txt"))]
