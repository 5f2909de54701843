"""Where the identity is that opens secrets: what was named, else the environment, else a file in the home folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mailprov import local_files
from mailprov.encrypted import age
from mailprov.errors import FileError, visible
from mailprov.model import Secret

TEXT: Final = "MAILPROV_AGE_IDENTITY"
"""the variable that holds an identity, for pipelines"""
FILE: Final = "MAILPROV_AGE_IDENTITY_FILE"
"""the variable that names a file with one"""
USUAL: Final = "~/.config/mailprov/age.txt"
LARGEST: Final = 64 * 1024
"""bytes of a file with identities"""


def identity(environ: Mapping[str, str], named: Path | None = None) -> age.Identity:
    """The identity to open files with. Raises FileError (`denied`) where there is none, or none that can be used."""
    return age.identity(*text(environ, named))


def text(environ: Mapping[str, str], named: Path | None = None) -> tuple[Secret, str]:
    """The text of the identity, and where it is. Raises as `identity` does."""
    if named is None and environ.get(TEXT):
        if any("\ud800" <= char <= "\udfff" for char in environ[TEXT]):
            raise _no_text(TEXT)
        return Secret(environ[TEXT]), TEXT
    path = place(environ, named)
    where = visible(path)
    try:
        data = local_files.contents(path, LARGEST)
    except FileError as error:
        if error.absent and named is None and not environ.get(FILE):
            fix = f"name one: --identity FILE, {FILE}, or {TEXT}; `mailprov secret init` makes one"
            raise FileError(
                f"this is encrypted, and there is no identity to open it: no file {where}", fix=fix, denied=True
            ) from None
        raise FileError(f"the age identity {error.what}", fix=error.fix, denied=True) from None
    try:
        return Secret(data.decode("utf-8-sig")), where
    except UnicodeDecodeError:
        raise _no_text(where) from None


def file(environ: Mapping[str, str], named: Path | None = None) -> Path | None:
    """The file that the identity is in; None where the environment holds it. Raises as `place` does."""
    return None if named is None and environ.get(TEXT) else place(environ, named)


def _no_text(where: str) -> FileError:
    return FileError(f"the age identity in {where} is no text", fix="name another", denied=True)


def place(environ: Mapping[str, str], named: Path | None = None) -> Path:
    """The file that the identity is in, if it is in a file. Raises FileError where there is no home folder for it."""
    if named is not None:
        return named
    written = environ.get(FILE) or USUAL
    if not written.startswith("~/"):
        return Path(written)
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        fix = f"name the file: --identity FILE, {FILE}, or give the identity in {TEXT}"
        raise FileError("this is encrypted, and without HOME no identity is found", fix=fix, denied=True)
    return Path(home, written[2:])
