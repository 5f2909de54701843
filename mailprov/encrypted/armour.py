"""Age files as text (C2SP age.md, "ASCII armor"): a first line, Base64, a last line. Pure.

YAML may fold such a text: blanks stand for line breaks as well.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from typing import Final

from mailprov.errors import FileError

HEADER: Final = "-----BEGIN AGE ENCRYPTED FILE-----"
FOOTER: Final = "-----END AGE ENCRYPTED FILE-----"
MAGIC: Final = b"age-encryption.org/v1\n"
LONGEST: Final = 256 * 1024
"""characters of one that stands in a declaration: a secret of 64 KiB for a hundred recipients, with room to spare"""
_COLUMNS: Final = 64
_LOOKS_SO: Final = re.compile(rf"\s*{HEADER}[\n -~]*")
_BODY: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_AGAIN: Final = "take it from the Git history, or encrypt the secret anew: mailprov secret encrypt"


def looks_so(text: str) -> bool:
    """Whether `text` means to be an age text, and holds line breaks and printable ASCII only."""
    return _LOOKS_SO.fullmatch(text) is not None


def one_line(text: str) -> str:
    """The same age text with blanks for line breaks: no text in a declaration holds any of these."""
    return " ".join(text.split())


def armoured(data: bytes) -> str:
    """An age file as text, which ends with a line break."""
    body = b64encode(data).decode("ascii")
    lines = (body[at : at + _COLUMNS] for at in range(0, len(body), _COLUMNS))
    return "\n".join((HEADER, *lines, FOOTER, ""))


def unarmoured(text: str) -> bytes:
    """The age file that `text` is. Raises FileError, which shows none of it, where it is none or not all of one."""
    text = text.strip()
    if not text.startswith(HEADER):
        fix = "`mailprov secret encrypt --at FILE:LINE` puts one there; a file is named so: {age: {file: …}}"
        raise FileError("this is no age text", fix=fix)
    if not text.endswith(FOOTER):
        raise FileError(f"this age text is cut off: its last line ({FOOTER}) is missing", fix=_AGAIN)
    body = "".join(text.removeprefix(HEADER).removesuffix(FOOTER).split())
    try:
        data = b64decode(body, validate=True) if _BODY.fullmatch(body) else b""
    except (Error, ValueError):
        data = b""
    return binary(data)


def binary(data: bytes) -> bytes:
    """`data`, if it begins as an age file does. Raises FileError where it does not."""
    if not data.startswith(MAGIC):
        raise FileError("this age text or file is damaged", fix=_AGAIN)
    return data


def of_file(data: bytes) -> tuple[bytes, bool]:
    """An age file from disk in binary, and whether it was armoured. Raises FileError for anything else."""
    if data.startswith(MAGIC):
        return data, False
    try:
        return unarmoured(data.decode("ascii")), True
    except UnicodeDecodeError:
        return binary(b""), False
