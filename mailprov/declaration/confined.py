"""A folder that nothing which is read through it leaves, for declarations that strangers have changed (--confined)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from mailprov import local_files
from mailprov.declaration.diagnostics import InvalidValue, brief
from mailprov.errors import FileError

_LINKS: Final = 40
"""links on the way to one file, as many as Linux follows (path_resolution(7))"""
_STEP: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Root:
    """The folder, held open: each step below it is taken from the descriptor of the one before.

    Whoever moves folders or exchanges links meanwhile gets an error at most.
    """

    def __init__(self, folder: Path) -> None:
        """Hold `folder`. Raises InvalidValue where the way to it has a link: a stranger may have made that."""
        self.folder = folder
        self._held = os.open("/" if folder.is_absolute() else ".", os.O_DIRECTORY | _STEP)
        for name in folder.parts[folder.is_absolute() :]:
            below = self._held
            try:
                self._held = os.open(name, os.O_DIRECTORY | _STEP, dir_fd=below)
            except (OSError, ValueError):
                what = f"{brief(str(folder), 200)} cannot be entered, or is reached through a link"
                raise InvalidValue(what, "with --confined, name the file by its real path") from None
            finally:
                os.close(below)

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._held)

    @contextmanager
    def located(self, path: Path) -> Iterator[tuple[int, str]]:
        """The open folder that `path` is in, and what it is called there: no link any more.

        Raises InvalidValue where the path, or a link on it, leaves; FileError where it leads nowhere.
        """
        try:
            folder, name = self._located(path)
        except OSError as error:
            raise local_files.unusable(path, error) from None
        except InvalidValue:
            raise
        except ValueError:
            raise InvalidValue("this path is not valid", "check it") from None
        try:
            yield folder, name
        finally:
            os.close(folder)

    def _located(self, path: Path) -> tuple[int, str]:
        try:
            todo = [*reversed(path.relative_to(self.folder).parts)]
        except ValueError:
            raise _leaves(path) from None
        above, links = [os.dup(self._held)], 0
        try:
            while todo:
                name = todo.pop()
                if name == "..":
                    os.close(above.pop())
                    if not above:
                        raise _leaves(path)
                elif (target := _link(name, above[-1])) is not None:
                    links += 1
                    if links > _LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                    if target.startswith("/"):
                        raise _leaves(path)
                    todo += reversed(PurePosixPath(target).parts)
                elif todo:
                    above.append(os.open(name, os.O_DIRECTORY | _STEP, dir_fd=above[-1]))
                else:
                    return above.pop(), name
            return above.pop(), "."
        finally:
            for descriptor in above:
                os.close(descriptor)

    def check(self, path: Path) -> None:
        """Raises InvalidValue where the path, or a link on it, leaves. The file is not read, and need not be there."""
        with suppress(FileError), self.located(path):
            pass

    def enter(self, names: Sequence[str]) -> int:
        """The descriptor of the folder `names` below this one. Raises OSError, also where one of them is a link."""
        number = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._held)
        for name in names:
            above = number
            try:
                number = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            finally:
                os.close(above)
        return number


def _link(name: str, above: int) -> str | None:
    """Where the link `name` leads; None where it is none."""
    try:
        return os.readlink(name, dir_fd=above)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _leaves(path: Path) -> InvalidValue:
    what = f"{brief(str(path), 200)} leads out of the folder of the main file, which --confined refuses"
    return InvalidValue(what, "keep the file in that folder, and name it by a relative path")
