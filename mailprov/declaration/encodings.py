"""Which encoding a text file is in."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from mailprov.declaration.diagnostics import InvalidValue, brief

ENCODINGS: Final = {
    "utf-8": "utf-8-sig",
    "utf-16": "utf-16",
    "gb18030": "gb18030",
    "gbk": "gbk",
    "gb2312": "gb2312",
    "big5": "big5",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "windows-1251": "cp1251",
    "windows-1252": "cp1252",
}
"""names that a declaration may use, and Python's for them"""
_DOUBTFUL: Final = tuple(codec for name, codec in ENCODINGS.items() if not name.startswith("utf"))
_PIECE: Final = 1 << 15
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DAMAGED: Final = 12
"""bytes beyond one a character that are right in UTF-8 before the first wrong one: by chance, GB18030 has fewer"""
_MAGIC: Final = (
    (b"PK\x03\x04", "this is a spreadsheet or an archive, not CSV", "let its name end in .xlsx, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "this is a spreadsheet of an old kind (.xls)", "save it as .xlsx or as CSV"),
    (b"%PDF", "this is a PDF file", "ask for the table itself"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding: its usual `name`, and Python's for it. `guessed`: no mark and nobody said it."""

    name: str
    codec: str
    guessed: bool = False

    @property
    def doubtful(self) -> str:
        """The codec, if it could read what is in another encoding; in UTF-8 and UTF-16 such a text is an error."""
        return self.codec if self.codec in _DOUBTFUL else ""


def named(name: str) -> str:
    """The encoding that `name` means, as ENCODINGS has it. Raises Wrong."""
    plain = name.strip().lower().replace("_", "").replace("-", "")
    for known, codec in ENCODINGS.items():
        if plain in (known.replace("_", "").replace("-", ""), codec):
            return known
    raise InvalidValue(f"the encoding `{brief(name, 40)}` is not known here", f"choose from {', '.join(ENCODINGS)}")


def recognized(file: BinaryIO, declared: str = "") -> Encoding:
    """The encoding in which the whole of `file` can be read: the `declared` one, or else that of the byte order mark,
    UTF-8 or GB18030, in this order. Raises Wrong.

    GB18030 takes nearly everything, so it comes last; of Chinese in GB18030 next to nothing is valid UTF-8.
    """
    start = file.read(4096)
    for magic, what, fix in _MAGIC:
        if start.startswith(magic):
            raise InvalidValue(what, fix)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), "")
    if declared not in ("", "utf-8", "utf-16") and (marked or _is_surely_utf8(file)):
        what = f"this is {(marked or 'utf-8').upper()}, not {declared.upper()}"
        raise InvalidValue(what, "leave `encoding` out")
    name = declared or marked
    if not name and b"\0" in start:
        raise InvalidValue(
            "this is not a text: it holds NUL bytes", "save it as CSV in UTF-8; UTF-16 wants a byte order mark"
        )
    if name:
        if fault := _fault(file, ENCODINGS[name]):
            raise InvalidValue(
                f"line {fault.line:,} is not {name.upper()}", "name the right `encoding`, or leave it out"
            )
        return Encoding(name.upper(), ENCODINGS[name])
    fault = _fault(file, "utf-8")
    if fault is None:
        return Encoding("UTF-8", "utf-8")
    if fault.surplus >= _DAMAGED:
        raise InvalidValue(f"line {fault.line:,} is not UTF-8, while all before it is", "write this line's text anew")
    if _fault(file, "gb18030"):
        fix = "save the file as UTF-8, or name its `encoding`"
        raise InvalidValue(f"line {fault.line:,} is neither UTF-8 nor GB18030", fix)
    return Encoding("GB18030", "gb18030", guessed=True)


@dataclass(frozen=True, slots=True)
class _Fault:
    """The first line that cannot be read, and by how many bytes there are more than characters before it."""

    line: int
    surplus: int


def _fault(file: BinaryIO, codec: str) -> _Fault | None:
    decoder = codecs.getincrementaldecoder(codec)()
    read, surplus = 0, 0
    for piece in _pieces(file):
        try:
            surplus += len(piece) - len(decoder.decode(piece, not piece))
        except UnicodeDecodeError as error:
            # its bytes are this piece, and before it what was kept of the piece before
            right = error.object[: error.start]
            text = right.decode(codec, "replace")
            file.seek(0)
            lines = file.read(max(0, read + len(piece) - len(error.object) + error.start)).decode(codec, "replace")
            return _Fault(lines.count("\n") + 1, surplus + len(right) - len(text))
        except UnicodeError:  # UTF-16 without its mark
            return _Fault(1, 0)
        read += len(piece)
    return None


def _is_surely_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return sum(len(piece) - len(decoder.decode(piece, not piece)) for piece in _pieces(file)) >= _DAMAGED
    except UnicodeDecodeError:
        return False


def other_readings(text: str, codec: str) -> Iterator[str]:
    """What the bytes of `text`, which was read with this codec, say in other encodings; "" is one beyond doubt."""
    if codec and not text.isascii():
        data = text.encode(codec, "replace")
        yield from (data.decode(other, "replace") for other in _DOUBTFUL if other != codec)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """The file from its beginning, in pieces; the last one is empty."""
    file.seek(0)
    while piece := file.read(_PIECE):
        yield piece
    yield b""
