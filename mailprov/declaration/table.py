"""A table from a file: a header and rows of texts that know their places. CSV is read here, a line at a time."""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.encodings import Encoding, recognized
from mailprov.declaration.files import MAX_TABLE, opened
from mailprov.errors import Origin

SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab"}
_QUOTE: Final = '"'
_PIECE: Final = 1 << 14
_SPAN: Final = 50
"""lines that one field in quotation marks may run over before its end counts as missing"""

Row = tuple[int, list[str], str]
"""line, fields, and the line itself ("" in a spreadsheet)"""


@dataclass(frozen=True, slots=True)
class Table:
    """An open table. `rows` can be read once; each row has as many fields as the `header`."""

    file: str
    form: str
    """what kind of file it is, in words"""
    header: tuple[str, ...]
    header_line: int
    header_text: str = field(repr=False)
    rows: Iterator[Row] = field(repr=False)
    column: Callable[[str, int], int] = field(repr=False)
    """where in a line, from 1, the field of this index begins"""
    guessed: str = ""
    """the encoding, where it had to be found out and is not UTF-8"""
    codec: str = ""
    """what read it, where that could read a text of another encoding, too"""

    def origin(self, line: int, text: str, index: int) -> Origin:
        """The place of the field `index` in this line."""
        return Origin(self.file, line, self.column(text, index))

    def heading(self, index: int) -> Origin:
        """The place of a column's heading."""
        return self.origin(self.header_line, self.header_text, index)


@contextmanager
def table(path: Path, encoding: str, diagnostics: Diagnostics, root: Root | None = None) -> Iterator[Table]:
    """The table in the file at `path`: a spreadsheet (.xlsx), or CSV in this encoding ("": it is found out).

    Raises Wrong where the file is no such table; faulty lines are handed in at the `diagnostics` while rows are read.
    """
    if path.suffix.lower() == ".xlsx":
        from mailprov.declaration.workbook import workbook

        with workbook(path, diagnostics, root) as found:
            yield found
        return
    with opened(path, MAX_TABLE, root) as file:
        known = recognized(file, encoding)
        file.seek(0)
        yield _csv(str(path), known, _lines(file, known.codec), diagnostics)


def _lines(file: BinaryIO, codec: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers. A lone carriage return ends a line, too, as it did on old Macs."""
    decoder = codecs.getincrementaldecoder(codec)()
    above, parts, held, piece = 0, [""], "", b" "
    while piece:
        piece = file.read(_PIECE)
        text = held + decoder.decode(piece, not piece)
        held = ""
        if "\r" in text:
            if piece and text.endswith("\r"):
                text, held = text[:-1], "\r"  # a line feed may follow in the next piece
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        parts.append(text)
        if "\n" in text:
            lines = "".join(parts).split("\n")
            parts = [lines.pop()]
            yield from enumerate(lines, above + 1)
            above += len(lines)
    yield above + 1, "".join(parts)


def _csv(file: str, encoding: Encoding, lines: Iterator[tuple[int, str]], diagnostics: Diagnostics) -> Table:
    separator = ""
    for number, line in lines:  # noqa: B007 - both are of use behind the loop
        if line[:4].lower() == "sep=":  # Excel's own way to say it
            separator = line[4:5]
        elif line.strip(" \t,;"):
            break
    else:
        raise InvalidValue("this file is empty", "its first line names the columns: address,name,password_hash,quota")
    separator = separator if separator in SEPARATORS else _separator(line)
    header = _fields(line.lstrip("\ufeff"), separator)
    while len(header) > 1 and not header[-1].strip():
        del header[-1]  # spreadsheets write empty columns at the right
    form = f"{encoding.name}, separated by {SEPARATORS[separator]}s"
    rows = _rows(file, lines, separator, len(header), diagnostics)

    def column(text: str, index: int) -> int:
        return _column(text, separator, index)

    guessed = encoding.name if encoding.guessed else ""
    return Table(file, form, tuple(header), number, line, rows, column, guessed, encoding.doubtful)


def _separator(line: str) -> str:
    """What stands most often between the fields of this line."""
    outside = "".join(line.split(_QUOTE)[::2])
    return max(SEPARATORS, key=outside.count)


def _rows(
    file: str, lines: Iterator[tuple[int, str]], separator: str, width: int, diagnostics: Diagnostics
) -> Iterator[Row]:
    ahead: deque[tuple[int, str]] = deque()
    for number, line in _in_turn(lines, ahead):
        if _QUOTE not in line:
            fields = line.split(separator)
        else:
            try:
                fields = _fields(line, separator)
            except InvalidValue as wrong:
                if isinstance(wrong, _Unclosed) and (more := _until_closed(line, separator, width, lines, ahead)):
                    what = f"a field of this line holds a line break: it goes on to line {number + more}"
                    wrong = InvalidValue(what, "write it in one line")
                diagnostics.refuse(Origin(file, number, 1), wrong)
                diagnostics.stop_when_full()
                continue
        while len(fields) > width and not fields[-1].strip():
            del fields[-1]
        if len(fields) == width:
            yield number, fields, line
        elif any(map(str.strip, fields)):
            diagnostics.complain(Origin(file, number, 1), *_wrong_width(fields, width, separator))
            diagnostics.stop_when_full()


def _in_turn(lines: Iterator[tuple[int, str]], ahead: deque[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """`lines`, and before the next of them those that were looked at `ahead`."""
    for each in lines:
        yield each
        while ahead:
            yield ahead.popleft()


def _wrong_width(fields: Sequence[str], width: int, separator: str) -> tuple[str, str]:
    found = len(fields)
    what = f"this line has {found} field{'' if found == 1 else 's'}, the header has {width}"
    mark = SEPARATORS[separator]
    if found < width and (wide := next((char for char in "，；" if any(char in field for field in fields)), "")):
        return what, f"a wide {wide} sets nothing apart: write a {mark}"
    if found > width:
        return what, f"put a field that holds a {mark} in quotation marks"
    return what, f"write every field; an empty one is nothing between two {mark}s"


class _Unclosed(InvalidValue):
    """A quotation mark opens a field, and none closes it."""


def _fields(line: str, separator: str) -> list[str]:
    """The fields of a line. Raises Wrong where its quotation marks are not as RFC 4180 §2 has them."""
    try:
        return next(csv.reader((line,), delimiter=separator, strict=True), [])
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise _Unclosed("a quotation mark in this line is not closed", "close it, or delete it") from None
        if "field limit" in str(error):
            raise InvalidValue("a field of this line is far too long", "is a quotation mark missing?") from None
        raise InvalidValue("a quotation mark stands within a field", 'write it twice, as "", or delete it') from None


def _until_closed(
    line: str, separator: str, width: int, lines: Iterator[tuple[int, str]], ahead: deque[tuple[int, str]]
) -> int:
    """How many further lines a row goes on in, which are passed over; 0 where they make no whole row."""
    ahead.extend(islice(lines, _SPAN - len(ahead)))
    for count, (_, more) in enumerate(ahead, 1):
        line += "\n" + more
        if more.count(_QUOTE) % 2:
            try:
                whole = len(_fields(line, separator)) == width
            except InvalidValue:
                return 0
            for _ in range(count if whole else 0):
                ahead.popleft()
            return count if whole else 0
    return 0


def _column(line: str, separator: str, index: int) -> int:
    if _QUOTE not in line:
        return sum(map(len, line.split(separator, index)[:index])) + index + 1
    inside, seen = False, 0
    for place, char in enumerate(line):
        if seen == index:
            return place + 1
        if char == _QUOTE:
            inside = not inside
        elif char == separator and not inside:
            seen += 1
    return len(line)
