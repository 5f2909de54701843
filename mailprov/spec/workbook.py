"""Tables from spreadsheets (.xlsx). The only file that imports openpyxl, which is an extra: mailprov[xlsx]."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from mailprov.errors import Origin
from mailprov.spec.desk import Desk, Wrong
from mailprov.spec.files import MAX_TABLE, opened
from mailprov.spec.table import Row, Table

MAX_UNPACKED: Final = 8 * MAX_TABLE
"""bytes that the parts of a spreadsheet may have in all: they are compressed, and may be a bomb"""


@contextmanager
def workbook(path: Path, desk: Desk) -> Iterator[Table]:
    """The first sheet of the spreadsheet at `path`, of formulas their last results. Raises Wrong."""
    try:
        import openpyxl
    except ImportError:
        cure = "pip install 'mailprov[xlsx]', or save the table as CSV"
        raise Wrong("reading spreadsheets needs openpyxl, which is not installed", cure) from None
    with opened(path, MAX_TABLE) as file:
        _refuse_bombs(file)
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some programs write that a sheet has one cell
            lines = enumerate(sheet.iter_rows(values_only=True), 1)
            header_line, header = _header(lines)
        except Wrong:
            raise
        except Exception as error:  # openpyxl raises whatever a damaged file leads it into
            raise _damaged(error) from None
        rows = _rows(str(path), lines, len(header), desk)
        yield Table(str(path), "a spreadsheet", header, header_line, "", rows, lambda _, index: index + 1)


def _refuse_bombs(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise _damaged(error) from None
    if size > MAX_UNPACKED:
        raise Wrong(f"this spreadsheet unpacks to more than {MAX_UNPACKED >> 20} MiB", "save the table as CSV")
    file.seek(0)


def _damaged(error: Exception) -> Wrong:
    return Wrong(f"this is not a spreadsheet that can be read ({type(error).__name__})", "save the table as CSV")


def _header(lines: Iterator[tuple[int, tuple[Any, ...]]]) -> tuple[int, tuple[str, ...]]:
    for number, values in lines:
        header = [_text(value) for value in values]
        while header and not header[-1].strip():
            del header[-1]
        if header:
            return number, tuple(header)
    raise Wrong("this sheet is empty", "its first row names the columns: address, name, password_hash, quota")


def _rows(file: str, lines: Iterator[tuple[int, tuple[Any, ...]]], width: int, desk: Desk) -> Iterator[Row]:
    while True:
        try:
            number, values = next(lines)
            fields = [_text(value) for value in values]
        except StopIteration:
            return
        except Exception as error:  # as above
            raise _damaged(error) from None
        if any(map(str.strip, fields[width:])):
            here = Origin(file, number, width + 1)
            desk.complain(here, "a cell at the right has no heading", "name its column in the first row")
            desk.stop_when_full()
            continue
        yield number, fields[:width] + [""] * (width - len(fields)), ""


def _text(value: Any) -> str:
    """A cell as it would be typed: a whole number without a point, a date as ISO 8601 has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
