"""Spreadsheets that no spreadsheet program wrote: each is one error, soon, and in little memory."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.workbook import workbook

pytest.importorskip("openpyxl")

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
MIB = 1 << 20
PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/sheet.xml" ContentType="{TYPE}.worksheet+xml"/>'
    f'<Override PartName="/xl/strings.xml" ContentType="{TYPE}.sharedStrings+xml"/></Types>',
    "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{REL}"><sheets><sheet name="A" sheetId="1" r:id="r1"/></sheets>'
    "</workbook>",
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="r1" Type="{REL}/worksheet" Target="sheet.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet {MAIN}><cellXfs count="1"><xf/></cellXfs></styleSheet>',
}
HEAD = '<row r="1"><c r="A1" t="s"><v>0</v></c></row>'
STRING = "<si><t>address</t></si>"

Text = str | Iterable[str]
Make = Callable[[], dict[str, Text]]


def sheet(rows: Text, after: Text = "", before: str = "") -> dict[str, Text]:
    """A file with these rows after a heading."""
    return {"xl/sheet.xml": around(f"{before}<worksheet {MAIN}><sheetData>{HEAD}", rows, "</sheetData>", after)}


def around(*pieces: Text) -> Iterator[str]:
    for piece in pieces:
        yield from (piece,) if isinstance(piece, str) else piece
    yield "</worksheet>"


def strings(items: Text, before: str = "") -> dict[str, Text]:
    """A file with these shared texts after the heading's."""

    def text() -> Iterator[str]:
        yield f"{before}<sst {MAIN}>{STRING}"
        yield from (items,) if isinstance(items, str) else items
        yield "</sst>"

    return {"xl/strings.xml": text()}


def many(text: str, count: int) -> Iterator[str]:
    """So many times the text, in pieces."""
    step = max(1, MIB // len(text))
    for begun in range(0, count, step):
        yield text * min(step, count - begun)


def nested(tag: str, depth: int) -> str:
    return f"<{tag}>" * depth + f"</{tag}>" * depth


def laughs() -> str:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE x [<!ENTITY l0 "lol">{levels}]>'


BOMBS: dict[str, Make] = {
    "row-number": lambda: sheet('<row r="2147483648"><c><v>1</v></c></row>'),
    "row-number-of-many-digits": lambda: sheet(f'<row r="{"9" * 5000}"><c><v>1</v></c></row>'),
    "row-number-of-excel-plus-1": lambda: sheet('<row r="1048577"><c><v>1</v></c></row>'),
    "cell-row-number": lambda: sheet('<row><c r="A2147483648"><v>1</v></c></row>'),
    "last-column-in-each-row": lambda: sheet(many('<row><c r="XFD1"><v>1</v></c></row>', 100_000)),
    "wide-rows": lambda: sheet(many('<row><c r="ALL1"><v>1</v></c></row>', 100_000)),
    "column-ZZZZZ": lambda: sheet('<row><c r="ZZZZZ2"><v>1</v></c></row>'),
    "many-rows": lambda: sheet(many("<row/>", 1_100_000)),
    "many-cells": lambda: sheet(many("<row>" + "<c/>" * 900 + "</row>", 3_000)),
    "cells-in-one-row": lambda: sheet(around_row(many("<c/>", 300_000))),
    "elements-in-one-row": lambda: sheet(around_row(many("<x/>", 300_000))),
    "elements-after-rows": lambda: sheet("", after=many("<x/>", 300_000)),
    "rows-of-another-kind": lambda: sheet(many('<row xmlns="x"/>', 300_000)),
    "texts-in-a-sheet": lambda: sheet(many("<si/>", 300_000)),
    "deep": lambda: sheet(nested("x", 100_000)),
    "long-cell": lambda: sheet(around_row(('<c t="str"><v>', *many("x", 20 * MIB), "</v></c>"))),
    "long-attribute": lambda: sheet(around_row(('<c r="', *many("A", 20 * MIB), '"/>'))),
    "long-comment": lambda: sheet(around_row(("<!--", *many("x", 20 * MIB), "-->"))),
    "long-text": lambda: strings(("<si><t>", *many("x", 20 * MIB), "</t></si>")),
    "text-of-300-mib": lambda: strings(("<si><t>", *many("x", 300 * MIB), "</t></si>")),
    "many-texts": lambda: strings(many("<si/>", 1_000_000)),
    "many-runs-in-a-text": lambda: strings(("<si>", *many("<r><t>x</t></r>", 300_000), "</si>")),
    "rows-in-texts": lambda: strings(many("<row/>", 300_000)),
    "laughs-in-texts": lambda: strings("<si><t>&l11;</t></si>", laughs()),
    "laughs-in-a-sheet": lambda: sheet("<row><c><v>&l11;</v></c></row>", before=laughs()),
    "outer-entity": lambda: sheet("", before='<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "large-styles": lambda: {"xl/styles.xml": [f"<styleSheet {MAIN}>", *many("<x/>", 3_000_000), "</styleSheet>"]},
    "large-workbook": lambda: {"xl/workbook.xml": [f"<workbook {MAIN}>", *many("<x/>", 300_000), "</workbook>"]},
    "long-text-often": lambda: {
        **strings(f"<si><t>{'x' * 30_000}</t></si>"),
        **sheet(many('<row><c t="s"><v>1</v></c></row>', 50_000)),
    },
}


def around_row(cells: Iterable[str]) -> Iterator[str]:
    yield "<row>"
    yield from cells
    yield "</row>"


def made(path: Path, changed: dict[str, Text]) -> Path:
    """A spreadsheet at `path` whose parts are those above, but for these."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in {**PARTS, **sheet(""), **strings(""), **changed}.items():
            with archive.open(name, "w", force_zip64=True) as part:
                for piece in (text,) if isinstance(text, str) else text:
                    part.write(piece.encode())
    return path


def read(path: Path) -> list[list[str]]:
    with workbook(path, Diagnostics()) as found:
        assert found.header == ("address",)
        return [fields for _, fields, _ in found.rows]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_one_error_soon(tmp_path: Path, name: str) -> None:
    path = made(tmp_path / "x.xlsx", BOMBS[name]())
    begun = time.process_time()
    with pytest.raises(InvalidValue) as caught:
        read(path)
    assert time.process_time() - begun < 15
    assert caught.value.fix and "can be read (" not in caught.value.what, caught.value.what


def test_no_bomb_takes_much_memory(tmp_path: Path) -> None:
    """All of them in one process: the most that any of them took."""
    for name in BOMBS.keys() - {"many-cells", "many-rows"}:  # these hold nothing, and take their time
        made(tmp_path / f"{name}.xlsx", BOMBS[name]())
    code = (
        "import re, sys; from pathlib import Path; from test_spec_workbook import read, InvalidValue\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: read(path)\n"
        "    except InvalidValue: pass\n"
        "    print(path.name, re.search('VmHWM:\\\\s+(\\\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    here = Path(__file__).parent
    ran = subprocess.run((sys.executable, "-c", code, tmp_path), cwd=here, capture_output=True, text=True, check=True)
    assert int(ran.stdout.split()[-1]) < 400 * 1024, ran.stdout


def test_the_file_itself_may_be_strange(tmp_path: Path) -> None:
    path = made(tmp_path / "x.xlsx", {})
    assert read(path) == []
    whole = path.read_bytes()
    many_parts = tmp_path / "many.xlsx"
    with zipfile.ZipFile(many_parts, "w") as archive:
        for number in range(40_000):
            archive.writestr(f"x{number}", "")
    for data in (b"", b"PK\3\4", whole[:-1], whole[: len(whole) // 2], whole[::-1], many_parts.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(InvalidValue):
            read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x", "x")
    with pytest.raises(InvalidValue, match="packed in a way"):
        read(path)


def test_gaps_and_shared_texts_are_read(tmp_path: Path) -> None:
    rows = '<row r="4"><c r="A4" t="s"><v>1</v></c></row><row r="6"><c r="A6" t="inlineStr"><is><t>b</t></is></c></row>'
    path = made(tmp_path / "x.xlsx", {**strings("<si><r><t>a</t></r><r><t>@x</t></r></si>"), **sheet(rows)})
    assert [fields for fields in read(path) if fields != [""]] == [["a@x"], ["b"]]
