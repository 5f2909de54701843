"""Reading the files that a declaration is made of, and the secrets it points to."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from mailprov.errors import Complaint, Origin, SpecError
from mailprov.spec.desk import Wrong, brief

MAX_DECLARATION: Final = 32 * 1024 * 1024
"""bytes of one declaration file"""
MAX_PEM: Final = 1024 * 1024
"""bytes of a certificate or key file"""
MAX_SECRET: Final = 64 * 1024
"""bytes of a file with a password or hash"""
MAX_TABLE: Final = 64 * 1024 * 1024
"""bytes of a table of users: some 350,000 of them"""


_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Absent(Wrong):
    """The file or variable is not there at all (as opposed to there, but wrong)."""


@contextmanager
def opened(path: Path, limit: int) -> Iterator[BinaryIO]:
    """The regular file `path`, open for reading. Raises Wrong where it cannot be read or holds more than `limit` bytes.

    A fault that shows only while it is read is Wrong, too.
    """
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its writer
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Wrong(f"{_named(path)} is not a regular file", "name the file itself")
        if status.st_size > limit:
            raise _too_large(path, limit)
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(descriptor)


def contents(path: Path, limit: int) -> bytes:
    """The bytes of the regular file `path`. Raises Wrong where it cannot be read or holds more than `limit` bytes."""
    with opened(path, limit) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large(path, limit)
    return data


def _unreadable(path: Path, error: OSError | ValueError) -> Wrong:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not valid"
    kind = Absent if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR) else Wrong
    return kind(f"{_named(path)} cannot be read: {reason}", "check the path and its permissions")


def _too_large(path: Path, limit: int) -> Wrong:
    return Wrong(f"{_named(path)} is larger than {_size(limit)}", "split it into several files")


def _named(path: Path) -> str:
    return brief(str(path), 200)


def _size(limit: int) -> str:
    return f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"


def declaration(path: Path) -> str:
    """The text of the declaration file `path`. Raises SpecError where it is no UTF-8 text of bearable size."""
    start = Origin(str(path), 1, 1)
    try:
        data = contents(path, MAX_DECLARATION)
    except Absent as wrong:
        raise SpecError([Complaint(start, wrong.what, "name the file with -f, or run `mailprov init`")]) from None
    except Wrong as wrong:
        raise SpecError([Complaint(start, wrong.what, wrong.cure)]) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise SpecError([Complaint(start, "this file is UTF-16", "save it as UTF-8")]) from None
        line_start = data.rfind(b"\n", 0, error.start) + 1
        place = Origin(
            str(path), data.count(b"\n", 0, line_start) + 1, len(data[line_start : error.start].decode("utf-8")) + 1
        )
        what = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        raise SpecError([Complaint(place, what, "save the file as UTF-8")]) from None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a declaration file may refer to: its folder, and the environment."""

    folder: Path
    environ: Mapping[str, str]

    def path(self, text: str) -> Path:
        """The path that `text` means: relative to the declaring file, `~/` is $HOME. Raises Wrong."""
        if text == "~" or text.startswith("~/"):
            home = self.environ.get("HOME", "")
            if not home.startswith("/"):
                raise Wrong("`~` means nothing here: HOME is not set", "write the whole path")
            return Path(home, text[2:])
        if text.startswith("~"):
            raise Wrong("only your own home can be abbreviated", "write ~/… or the whole path")
        return self.folder / text

    def text(self, source: Mapping[str, str], limit: int) -> str:
        """The text that `{env: NAME}` or `{file: path}` holds.

        Raises Absent where there is no such variable or file, and Wrong where it cannot be used. Neither ever shows
        any of the text.
        """
        if "env" in source:
            name = source["env"]
            if not _VARIABLE.fullmatch(name):
                # unnamed: somebody may have put the secret itself here
                raise Wrong("this is not the name of an environment variable", "for example BOB_INITIAL")
            if name not in self.environ:
                raise Absent(f"the environment variable {name} is not set", f"export {name}")
            text = self.environ[name]
            if len(text) > limit:
                raise Wrong(f"the environment variable {name} is longer than {_size(limit)}", "check its value")
            if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
                raise Wrong(f"the environment variable {name} is not UTF-8", "check its value")
            return text
        path = self.path(source["file"])
        try:
            return contents(path, limit).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Wrong(f"{_named(path)} is not UTF-8 text", "check that it is the file you mean") from None

    def line(self, source: Mapping[str, str], limit: int = MAX_SECRET) -> str:
        """The one line that `source` holds, without the line break at its end. Raises as `text` does."""
        text = self.text(source, limit)
        text = text.removesuffix("\n").removesuffix("\r") if "file" in source else text
        where = described(source)
        if not text:
            raise Wrong(f"{where} is empty", "put the secret there")
        if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
            raise Wrong(f"{where} holds more than one line, or control characters", "keep one line there")
        return text


def described(source: Mapping[str, str]) -> str:
    """Where a secret comes from, in words: "env BOB_INITIAL", "file secrets/bob"."""
    return f"env {source['env']}" if "env" in source else f"file {brief(source['file'], 200)}"
