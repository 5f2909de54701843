"""Tables from spreadsheets (.xlsx). The only file that imports openpyxl, which is an extra: mailprov[xlsx]."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mailprov import extras
from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.files import MAX_TABLE, opened
from mailprov.declaration.table import Row, Table
from mailprov.declaration.workbook_parts import Parts
from mailprov.errors import Origin

MAX_TEXT: Final = MAX_TABLE
"""characters of all cells: cells share their texts, so a short file can say a long one often"""


@contextmanager
def workbook(path: Path, diagnostics: Diagnostics, root: Root | None = None) -> Iterator[Table]:
    """The first sheet of the spreadsheet at `path`, of formulas their last results. Raises Wrong."""
    try:
        import openpyxl  # noqa: F401 - whether it is there
        from openpyxl.reader.excel import ExcelReader
        from openpyxl.xml.constants import SHARED_STRINGS
    except ImportError:
        fix = f"{extras.install('xlsx')}; or save the table as CSV"
        raise InvalidValue("reading spreadsheets needs openpyxl, which is not installed", fix) from None
    with opened(path, MAX_TABLE, root) as file:
        try:
            parts = Parts(file)
            # What openpyxl.load_workbook does, with parts that are bounded.
            reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
            reader.archive = parts
            reader.read_manifest()
            strings = reader.package.find(SHARED_STRINGS)
            parts.strings = strings.PartName[1:] if strings is not None else ""
            if parts.strings:
                parts.require_bounded(parts.strings)
            reader.read()
            sheet = reader.wb.worksheets[0]
            parts.require_bounded(sheet._worksheet_path)
            sheet.reset_dimensions()  # some programs write that a sheet has one cell
            lines = enumerate(sheet.iter_rows(values_only=True), 1)
            header_line, header = _header(lines)
        except Exception as error:  # openpyxl raises whatever a damaged file leads it into
            raise _explained(error) from None
        rows = _rows(str(path), lines, len(header), diagnostics)
        yield Table(str(path), "a spreadsheet", header, header_line, "", rows, lambda _, index: index + 1)


def _explained(error: Exception) -> InvalidValue:
    """What is wrong with the file, where openpyxl came upon it."""
    for found in (error, error.__cause__, error.__context__):
        if isinstance(found, InvalidValue):
            return found
    return InvalidValue(f"this is not a spreadsheet that can be read ({type(error).__name__})", "save the table as CSV")


def _header(lines: Iterator[tuple[int, tuple[Any, ...]]]) -> tuple[int, tuple[str, ...]]:
    for number, values in lines:
        header = [_text(value) for value in values]
        while header and not header[-1].strip():
            del header[-1]
        if header:
            return number, tuple(header)
    raise InvalidValue("this sheet is empty", "its first row names the columns: address, name, password_hash, quota")


def _rows(
    file: str, lines: Iterator[tuple[int, tuple[Any, ...]]], width: int, diagnostics: Diagnostics
) -> Iterator[Row]:
    said = 0
    while True:
        try:
            number, values = next(lines)
            fields = [_text(value) for value in values]
        except StopIteration:
            return
        except Exception as error:  # as above
            raise _explained(error) from None
        said += sum(map(len, fields))
        if said > MAX_TEXT:
            raise InvalidValue(f"the cells of this sheet hold more than {MAX_TEXT >> 20} Mi characters", "split it")
        if any(map(str.strip, fields[width:])):
            here = Origin(file, number, width + 1)
            diagnostics.complain(here, "a cell at the right has no heading", "name its column in the first row")
            diagnostics.stop_when_full()
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
