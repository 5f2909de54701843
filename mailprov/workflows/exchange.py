"""Several files of this machine that get other contents together: all of them, or none."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mailprov import local_files
from mailprov.errors import FileError, LockedError, MailprovError


@dataclass(frozen=True, slots=True)
class Exchange:
    """A file, by its real path, that shall get other contents, and what it holds until then."""

    path: Path
    was: bytes
    content: bytes


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else is at work on the files of `folder` in this block. Raises LockedError where somebody is."""
    with ExitStack() as stack:
        try:
            number = stack.enter_context(local_files.entered(Path(os.path.realpath(folder))))
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what, fix = "somebody else is at work on the secrets here", "wait, and do it again"
            raise LockedError(what, where=str(folder), fix=fix) from None
        except OSError as error:
            raise local_files.unusable(folder, error) from None
        yield


def exchange(files: Collection[Exchange]) -> None:
    """Give each of these files its other contents: all of them, or none. They keep their owners and modes.

    All are on disk beside their places before the first is renamed. Only who is killed between two renames leaves some
    done and others not: each of them is whole, and whoever does it again finishes it.
    Raises MailprovError, then every file is as it was: where one cannot be written, or is not what it `was` any more.
    """
    with ExitStack() as stack:
        staged = [_Staged(each, stack) for each in files]
        for each in files:
            _require_unchanged(each)
        try:
            for one in staged:
                one.commit()
        except BaseException:
            for one in staged:
                one.take_back()
            raise


def _require_unchanged(file: Exchange) -> None:
    try:
        same = local_files.contents(file.path, len(file.was)) == file.was
    except FileError:
        same = False
    if not same:
        raise MailprovError("this file was changed meanwhile", where=str(file.path), fix="do it again")


class _Staged:
    """New contents of a file, on disk beside it; gone when the block ends, unless they have been put there."""

    def __init__(self, file: Exchange, stack: ExitStack) -> None:
        self.file, self.tried = file, False
        local_files.require_replaceable(file.path)
        # One name for each file: what somebody has left who was killed is in nobody's way.
        self._new = f".new-{hashlib.sha256(os.fsencode(file.path.name)).hexdigest()[:16]}"
        try:
            self._folder = os.open(file.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, self._folder)
            status = os.stat(file.path.name, dir_fd=self._folder)
            self._mode, self._owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
            self._discard()
            self._stage(file.content)
        except OSError as error:
            raise local_files.unwritable(file.path, error) from None
        stack.callback(self._discard)

    def _stage(self, content: bytes) -> None:
        local_files.stage(self._folder, self._new, content, self._mode, owner=self._owner)

    def _put(self) -> None:
        os.replace(self._new, self.file.path.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        os.fsync(self._folder)

    def commit(self) -> None:
        """Put it there. Raises MailprovError."""
        self.tried = True
        try:
            self._put()
        except OSError as error:
            raise local_files.unwritable(self.file.path, error) from None

    def take_back(self) -> None:
        """Put there again what was there, if anything else may be by now."""
        if self.tried:
            with suppress(OSError):
                self._discard()
                self._stage(self.file.was)
                self._put()

    def _discard(self) -> None:
        with suppress(OSError):
            os.unlink(self._new, dir_fd=self._folder)
