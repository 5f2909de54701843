"""The parts of a spreadsheet file, given out within bounds: what is packed in it may be a thousand times as large."""

from __future__ import annotations

import re
import zipfile
from typing import Any, BinaryIO, Final, Protocol
from xml.parsers import expat

from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.files import MAX_TABLE

MAX_UNPACKED: Final = 4 * MAX_TABLE
"""bytes that all parts may have unpacked; a quarter of what is read of them in all, for some are read again"""
MAX_SMALL: Final = 8 * 1024 * 1024
"""bytes of a part that is read as a whole: styles, say"""
MAX_PARTS: Final = 10_000
MAX_ROWS: Final = 1_048_576
"""rows of a sheet, as Excel has them"""
MAX_COLUMNS: Final = 1_000
MAX_CELLS: Final = 2_000_000
"""cells of a sheet, those counted that are left out before others of a row"""
MAX_STRINGS: Final = 600_000
"""texts that cells share"""
MAX_TEXT: Final = 65_536
"""characters of one cell: Excel allows half as many"""
MAX_DEPTH: Final = 50
MAX_ELEMENTS: Final = 200_000
"""elements of one row or text, and of all that is in neither"""
_PIECE: Final = 1 << 16
_LONGEST: Final = 1 << 20
"""bytes of one tag"""

_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main "
_PLACE: Final = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_CSV: Final = "save the table as CSV"


class Part(Protocol):
    """As much of an open part as is read."""

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        ...

    def close(self) -> None:
        """Done."""
        ...


class Parts(zipfile.ZipFile):
    """A spreadsheet file, opened. What is read of it is bounded, and is XML that no reader can be led astray by.

    Raises Wrong where that is not so. `strings` is the part with the texts that cells share.
    """

    def __init__(self, file: BinaryIO) -> None:
        _require_few(file)
        super().__init__(file)
        self.strings = ""
        self._left = 4 * MAX_UNPACKED
        if sum(part.file_size for part in self.infolist()) > MAX_UNPACKED:
            raise _large()
        if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in self.infolist()):
            raise InvalidValue("this spreadsheet is packed in a way that spreadsheets are not", _CSV)

    def read(self, name: Any, *_: Any, **__: Any) -> bytes:
        """A whole part. Raises Wrong for one that is too large to be read so."""
        part: Part = self.open(name)
        return part.read()

    def open(self, name: Any, *_: Any, **__: Any) -> Any:  # zipfile's type is a class of its own
        """A part to be read piece by piece."""
        strings = self.strings == getattr(name, "filename", name)
        return _Checked(self, super().open(name), _Bounds("si" if strings else "row"))

    def require_bounded(self, name: str) -> None:
        """Raises Wrong where a part is beyond a bound: soon, for openpyxl would work on all that is before it."""
        part: Part = self.open(name)
        while part.read(_PIECE):
            pass

    def count(self, size: int) -> None:
        """Put down that so many bytes were read. Raises Wrong where they are too many in all."""
        self._left -= size
        if self._left < 0:
            raise _large()


class _Checked:
    """A part that is looked at before it is given out."""

    def __init__(self, parts: Parts, part: Part, bounds: _Bounds) -> None:
        self._parts, self._part, self._bounds = parts, part, bounds

    def __enter__(self) -> _Checked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._part.close()

    def read(self, count: int | None = -1) -> bytes:
        if count is not None and 0 <= count <= _PIECE:
            return self._piece(count)
        data = b""
        while piece := self._piece(_PIECE):
            data += piece
            if len(data) > MAX_SMALL:
                raise InvalidValue(f"a part of this spreadsheet is larger than {MAX_SMALL >> 20} MiB", _CSV)
        return data

    def _piece(self, count: int) -> bytes:
        piece = self._part.read(count)
        self._parts.count(len(piece))
        self._bounds.feed(piece)
        return piece


class _Bounds:
    """Looks at XML while it is read: whether a reader that forgets each `item` (a row, a text) can hold the rest."""

    def __init__(self, item: str) -> None:
        self._item = item
        self._fed = self._depth = self._item_depth = 0
        self._items = self._cells = self._others = self._inside = self._text = self._column = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, piece: bytes) -> None:
        """Raises Wrong where this piece goes beyond a bound; what is no XML is left to the reader to find out."""
        try:
            self._parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            raise InvalidValue(f"this is not a spreadsheet that can be read ({error})", _CSV) from None
        self._fed += len(piece)
        if piece and self._fed - self._parser.CurrentByteIndex > _LONGEST:
            raise _beyond("it has a tag or a comment that does not end", _LONGEST)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _beyond("elements stand in one another", MAX_DEPTH)
        name = name.removeprefix(_MAIN)
        if self._item_depth:
            self._inside += 1
            if self._inside > MAX_ELEMENTS:
                raise _beyond(f"one {self._item} has too many elements", MAX_ELEMENTS)
            if name == "c":
                self._cell(attributes.get("r", ""))
        elif name == self._item:
            self._begin(attributes.get("r", ""))
        else:
            self._others += 1
            if self._others > MAX_ELEMENTS:
                raise _beyond("there are too many elements that are no cells", MAX_ELEMENTS)

    def _begin(self, number: str) -> None:
        self._item_depth = self._depth
        self._inside = self._text = self._column = 0
        self._items += 1
        if self._item == "si" and self._items > MAX_STRINGS:
            raise _beyond("there are too many texts", MAX_STRINGS)
        if self._item == "row" and (self._items > MAX_ROWS or _number(number) > MAX_ROWS):
            raise _beyond("there are too many rows, or a row has too high a number", MAX_ROWS)

    def _cell(self, place: str) -> None:
        self._text = 0
        before = self._column
        found = _PLACE.fullmatch(place)
        if place and (found is None or _number(found[2]) > MAX_ROWS):
            raise _beyond("a cell is at a place that no sheet has", MAX_ROWS)
        self._column = _letters(found[1]) if found else before + 1
        self._cells += max(1, self._column - before)
        if self._column > MAX_COLUMNS:
            raise _beyond("there are too many columns", MAX_COLUMNS)
        if self._cells > MAX_CELLS:
            raise _beyond("there are too many cells", MAX_CELLS)

    def _end(self, _name: str) -> None:
        if self._depth == self._item_depth:
            self._item_depth = 0
        self._depth -= 1

    def _characters(self, text: str) -> None:
        self._text += len(text)
        if self._item_depth and self._text > MAX_TEXT:
            raise _beyond("a cell's text is too long", MAX_TEXT)

    def _doctype(self, *_: object) -> None:
        raise InvalidValue("this spreadsheet declares entities, which no spreadsheet program does", _CSV)


def _number(text: str) -> int:
    """A row's number; 0 where it is none, one too large where it has too many digits to be asked."""
    if len(text) > 7:
        return MAX_ROWS + 1
    return int(text) if text.isdecimal() else 0


def _letters(text: str) -> int:
    """A column's number from its letters: A is 1, AA is 27."""
    found = 0
    for letter in text.upper():
        found = found * 26 + ord(letter) - 64
    return found


def _require_few(file: BinaryIO) -> None:
    """Raises Wrong for a list of parts that would be large in memory; ZIP64 is for what is larger than any of this."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 22 - 65_535))
    end = file.read()
    file.seek(0)
    at = end.rfind(b"PK\5\6")
    if at < 0 or len(end) < at + 22:
        raise InvalidValue("this is not a spreadsheet that can be read: it has no end", "copy it again, or " + _CSV)
    listed = int.from_bytes(end[at + 12 : at + 16], "little")
    if listed > 100 * MAX_PARTS or end[max(0, at - 20) : at].startswith(b"PK\6\7"):
        raise _beyond("there are too many parts", MAX_PARTS)


def _large() -> InvalidValue:
    return InvalidValue(f"this spreadsheet unpacks to more than {MAX_UNPACKED >> 20} MiB", _CSV)


def _beyond(what: str, limit: int) -> InvalidValue:
    return InvalidValue(f"this spreadsheet is not read: {what} (more than {limit:,})", _CSV)
