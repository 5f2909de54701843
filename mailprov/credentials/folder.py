"""The hand-out folder: nobody but its owner can look into it, Git leaves it alone, and what is written there lasts."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailprov import local_files
from mailprov.credentials import entries, sent
from mailprov.credentials.entries import Entry
from mailprov.credentials.sent import Record
from mailprov.errors import FileError, MailprovError, visible

PASSWORDS: Final = "passwords.csv"
SENT: Final = "sent.csv"
_NEW: Final = ".new"
_IGNORE: Final = ".gitignore"
_LARGEST: Final = 256 * 1024 * 1024
"""bytes of a file here: a line for each account, or for each message that was ever sent"""
_OURS: Final = (PASSWORDS + _NEW, PASSWORDS, SENT, _IGNORE + _NEW, _IGNORE)


@dataclass(frozen=True, slots=True)
class Folder:
    """The hand-out folder at `path`, which need not be there yet.

    Every method raises MailprovError where the folder is not its owner's alone, or cannot be read or written.
    """

    path: Path

    def __str__(self) -> str:
        known = self.path.is_absolute() or ".." in self.path.parts
        return visible(str(self.path) if known else f"./{self.path}")

    @property
    def passwords(self) -> Path:
        """The file with the passwords."""
        return self.path / PASSWORDS

    def entries(self) -> tuple[Entry, ...]:
        """The passwords that are kept here; none where there is no folder, or one that is something else."""
        with self._explained("read"):
            if not os.path.lexists(self.passwords) or not self._there():
                return ()
            return entries.parse(self._read(PASSWORDS), str(self.passwords))

    def change(self, make: Callable[[tuple[Entry, ...]], Iterable[Entry]]) -> tuple[Entry, ...]:
        """Replace the entries by what `make` makes of them, on disk when this returns; nobody else does so meanwhile.

        The folder is made where there is none.
        """
        with self._explained("written"), self._made():
            before = entries.parse(self._read(PASSWORDS), str(self.passwords))
            after = tuple(make(before))
            if after != before:
                self._replace(PASSWORDS, entries.dump(after))
            return after

    def sent(self) -> tuple[Record, ...]:
        """What was sent to whom; nothing where there is no folder."""
        with self._explained("read"):
            return sent.parse(self._read(SENT)) if self._there() else ()

    def record(self, made: Record) -> None:
        """Put down that something was sent; on disk when this returns."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with self._explained("written"), self._made(), self._descriptor(SENT, flags) as stream:
            begun = os.fstat(stream).st_size
            torn = begun and os.pread(stream, 1, begun - 1) != b"\n"
            text = ("\r\n" if torn else "") + ("" if begun else sent.HEADER) + sent.line(made)
            os.write(stream, text.encode())
            os.fsync(stream)

    def purge(self) -> tuple[str, ...]:
        """Remove the folder with everything of ours in it; what is left of it keeps the folder, and is named."""
        with self._explained("removed"):
            if not self._there():
                return ()
            with self._locked():
                for name in _OURS:
                    (self.path / name).unlink(missing_ok=True)
                left = tuple(sorted(entry.name for entry in self.path.iterdir()))
                if left:
                    self._replace(_IGNORE, "*\n")
                else:
                    self.path.rmdir()
                return left

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, UnicodeDecodeError, FileError) as error:
            why = error.what if isinstance(error, FileError) else "it is no UTF-8 text"
            if isinstance(error, OSError):
                why = error.strerror or str(error)
            fix = "correct it, or name another folder with --handout"
            what = f"the hand-out folder cannot be {what}; nothing was touched"
            raise MailprovError(what, where=str(self), why=why, fix=fix) from None

    def require_folder(self) -> None:
        """Raises MailprovError where something else stands in its place, which never holds a password."""
        with self._explained("read"):
            self._status()

    def _status(self) -> os.stat_result | None:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            raise MailprovError("this is no folder", where=str(self), fix="name another with --handout")
        return found

    def _there(self) -> bool:
        """Whether there is a folder; one that others may look into is refused."""
        found = self._status()
        if found is None:
            return False
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            why = f"its owner has the number {found.st_uid}, its mode is {stat.S_IMODE(found.st_mode):o}"
            fix = f"make it yours alone (chmod 700 {self}), or name another with --handout"
            raise MailprovError("the hand-out folder is open to others", where=str(self), why=why, fix=fix)
        return True

    @contextmanager
    def _made(self) -> Iterator[None]:
        """Alone with the folder, which is made where there is none."""
        if not self._there():
            with suppress(FileExistsError):
                self.path.mkdir(mode=0o700)
            self._sync(self.path.parent)
            self._there()
        with self._locked():
            if not (self.path / _IGNORE).exists():
                self._replace(_IGNORE, "*\n")
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the folder: threads and processes, here and (by NFS) elsewhere, take turns."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> str:
        """A file's text; that of a file without lines where there is none."""
        try:
            return local_files.contents(self.path / name, _LARGEST, follow=False).decode("utf-8")
        except FileError as error:
            if not error.absent:
                raise
            return entries.dump(()) if name == PASSWORDS else ""

    def _replace(self, name: str, text: str) -> None:
        """Write a whole file, so that after a power cut it is the old one or the new one."""
        (self.path / (name + _NEW)).unlink(missing_ok=True)
        local_files.replace(self.path / name, text.encode(), new=name + _NEW)

    def _descriptor(self, name: str, flags: int) -> AbstractContextManager[int]:
        return local_files.descriptor(self.path / name, flags, follow=False)

    @staticmethod
    def _sync(folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
