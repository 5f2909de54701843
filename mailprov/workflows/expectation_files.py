"""The files of expectations beside a declaration: all in tests/, however deep; what is nearly one is named."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.files import opened
from mailprov.errors import Diagnostic, ExpectationsError, Origin

FOLDER: Final = "tests"
MOST_FILES: Final = 100
MOST_SEEN = 10_000
"""files and folders in tests/, of any kind"""
MAX_DEPTH: Final = 32
"""folders below each other"""
WRITE: Final = "write some into tests/ beside the declaration, or name their files"
_NAME_THEM: Final = "name those that are meant"
_YAML: Final = re.compile(r".*\.ya?ml", re.I | re.S)
_COPY: Final = re.compile(r".*(~|\.bak|\.orig|\.md)", re.I | re.S)
"""what editors, patches and people lay beside a file, and nobody takes for one that counts"""
_BEGINS: Final = re.compile(rb"""\{? *["']?expectations["']? *:""")
_FIRST: Final = 4096
"""bytes by which a file of expectations is known"""


@dataclass(frozen=True, slots=True)
class Found:
    """The files to be read, in the order of their names; and what is wrong with others, which nobody should pass over
    in silence."""

    files: tuple[Path, ...]
    wrong: tuple[Diagnostic, ...]


def beside(file: Path, root: Root | None) -> Found:
    """The files of expectations in tests/ beside the declaration `file`; `root` is what nothing may leave.

    Raises ExpectationsError where there is none, or too much to look through.
    """
    seen = sorted(_walked(file.parent, root))
    wrong = [each for path, linked in seen if (each := _complaint(file.parent, path, linked, root)) is not None]
    named = {each.origin.file for each in wrong}
    files = tuple(path for path, linked in seen if not linked and _YAML.fullmatch(path.name))
    if len(files) > MOST_FILES:
        raise _refused(files[0], f"more than {MOST_FILES} files of expectations", _NAME_THEM)
    if not files and not wrong:
        raise _refused(file.parent / FOLDER, "there is no file of expectations", WRITE)
    return Found(tuple(path for path in files if str(path) not in named), tuple(wrong))


def _walked(folder: Path, root: Root | None) -> Iterator[tuple[Path, bool]]:
    """What is in tests/, however deep: each file, and (True) each link to a folder."""
    todo: list[tuple[str, ...]] = [(FOLDER,)]
    count = 0
    while todo:
        inside = todo.pop()
        for name, mode, link in _entries(folder, inside, root):
            count += 1
            if count > MOST_SEEN:
                what = f"there are more than {MOST_SEEN:,} files and folders in {FOLDER}/"
                raise _refused(folder / FOLDER, what, _NAME_THEM)
            if not stat.S_ISDIR(mode):
                yield folder.joinpath(*inside, name), False
            elif link:
                yield folder.joinpath(*inside, name), True
            elif len(inside) >= MAX_DEPTH:
                raise _refused(folder / FOLDER, f"folders lie more than {MAX_DEPTH} deep in {FOLDER}/", _NAME_THEM)
            else:
                todo.append((*inside, name))


def _entries(folder: Path, inside: tuple[str, ...], root: Root | None) -> Iterator[tuple[str, int, bool]]:
    """What is in one folder, each with the mode of what a link leads to, and whether it is one."""
    try:
        where = folder.joinpath(*inside)
        number = root.enter(inside) if root else os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            return
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _refused(where, f"this folder cannot be read: {why}", WRITE) from None
    try:
        with os.scandir(number) as entries:
            for entry in entries:
                mode = 0
                with suppress(OSError):  # it leads nowhere, or went: told by whoever reads it
                    mode = os.stat(entry.name, dir_fd=number).st_mode
                yield entry.name, mode, entry.is_symlink()
    finally:
        os.close(number)


def _complaint(folder: Path, path: Path, linked: bool, root: Root | None) -> Diagnostic | None:
    """What is wrong with something in tests/ that somebody may take for expectations; None where nobody does."""
    place = Origin(str(path), 1, 1)
    if linked:
        return Diagnostic(place, "this is a link to a folder, which is not followed", "move its files here")
    if _YAML.fullmatch(path.name):
        if root is None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            return Diagnostic(place, "this leads out of the declaration's folder", "copy the file, or name it")
    elif not _COPY.fullmatch(path.name) and _looks_like_one(path, root):
        what = "this looks like expectations, and its name is not that of a YAML file, so that it would not be read"
        return Diagnostic(place, what, f"end its name in .yaml, or move it out of {FOLDER}/")
    return None


def _looks_like_one(path: Path, root: Root | None) -> bool:
    try:
        with opened(path, 1 << 60, root) as file:
            lines = map(bytes.strip, file.read(_FIRST).splitlines())
    except InvalidValue:
        return False
    first = next((line for line in lines if line and line[:1] != b"#" and line not in (b"---", b"{")), b"")
    return _BEGINS.match(first) is not None


def _refused(path: Path, what: str, fix: str) -> ExpectationsError:
    return ExpectationsError([Diagnostic(Origin(str(path), 1, 1), what, fix)])
