"""A new repository that is a mail system: the files of templates/gitops/, in a folder that has none of them yet."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from mailprov import assets, local_files
from mailprov.errors import MailprovError, visible

README: Final = "README.md"
_ANOTHER: Final = "MAIL.md"
_SCRIPT: Final = b"#!"
"""how a file begins that is to be run"""


def files() -> Mapping[str, bytes]:
    """The contents of each file of such a repository, by its path there.

    Raises MailprovError where the installation lacks them.
    """
    return assets.files("templates/gitops")


def write(folder: Path) -> tuple[str, ...]:
    """Write the files into `folder`, which is made where it is missing, and give their paths there: all, or none.

    What else is in the folder stays; beside a README.md, which forges begin a repository with, ours is MAIL.md. Only
    who is killed meanwhile leaves some; a second run names them.
    Raises MailprovError where the folder has one of them, or cannot be written.
    """
    wanted = dict(files())
    if os.path.lexists(folder / README):
        wanted[_ANOTHER] = wanted.pop(README)
    written: list[Path] = []
    made: list[Path] = []
    try:
        _make(folder, made)
        root = folder.resolve()
        _require_free(folder, [name for name in wanted if os.path.lexists(root / name)])
        for name, content in wanted.items():
            for above in reversed(list(_below(root, root / name))):
                _make(above, made)
            _write(root, name, content)
            written.append(root / name)
    except BaseException as error:
        for path in written:
            with suppress(OSError):
                path.unlink()
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        if isinstance(error, OSError):
            raise local_files.unwritable(Path(error.filename or folder), error) from None
        raise
    return tuple(wanted)


def _require_free(folder: Path, there: list[str]) -> None:
    if there:
        what = f"there is already: {', '.join(map(visible, there))}"
        raise MailprovError(what, where=str(folder), why="nothing is overwritten", fix="name another folder")


def _below(root: Path, path: Path) -> Iterator[Path]:
    """The folders between `root` and `path`, the innermost first."""
    return (each for each in path.parents if each != root and each.is_relative_to(root))


def _make(folder: Path, made: list[Path]) -> None:
    with suppress(FileExistsError):
        folder.mkdir()
        made.append(folder)
    if not stat.S_ISDIR(folder.stat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _write(root: Path, name: str, content: bytes) -> None:
    """Write one file where there is none; no link on the way is followed. Raises OSError."""
    *above, last = name.split("/")
    try:
        with local_files.entered(root, *above) as number:
            local_files.stage(number, last, content, 0o755 if content.startswith(_SCRIPT) else 0o644)
    except OSError as error:
        error.filename = str(root / name)
        raise
