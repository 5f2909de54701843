"""A folder that mailprov made: what of it is its own, and what somebody else has put there."""

from __future__ import annotations

import errno
import json
import os
import threading
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final

from mailprov import local_files
from mailprov.errors import FileError, MailprovError

MARKER: Final = ".mailprov-files"
"""the list of files that are ours, as JSON"""
_MODE: Final = 0o644


class OutputFolder:
    """A new folder, or one that an earlier run of `verb` made; a context manager around the writing of files.

    Nobody else on this machine may look into a new one. Threads may write at once. The list of what is ours is right
    also when the block is left by an error. What is in the folder may be anybody's: no link in it is followed, and
    nothing outside is touched. Raises MailprovError for a folder that holds anything else.
    """

    def __init__(self, path: Path, verb: str) -> None:
        self._path = path
        self._verb = verb
        self._before = self._listed()
        self._written: set[str] = set()
        self._gone: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> OutputFolder:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._list()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._list()

    def write(self, name: PurePosixPath, content: bytes) -> None:
        """Put one file in its place at once: whoever reads it sees the old one or the new one.

        Raises MailprovError where it cannot be put there.
        """
        self._put(name, content)
        with self._lock:
            self._written.add(str(name))

    def forget_others(self) -> int:
        """Delete what earlier runs wrote and this one did not; how many files that were. Raises OSError."""
        gone = 0
        for name in sorted(self._before - self._written):
            gone += self._deleted(PurePosixPath(name).parts)
            self._gone.add(name)
        return gone

    def _deleted(self, parts: tuple[str, ...]) -> bool:
        """Delete one file, and the folders that are empty without it; nothing where a link would have to be followed.

        Files right in the folder are none that a verb writes.
        """
        if len(parts) < 2:
            return False
        try:
            with local_files.entered(self._path, *parts[:-1]) as folder, suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=folder)
        except (NotADirectoryError, IsADirectoryError, FileNotFoundError, ValueError):
            return False
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
                raise
            return False
        for length in range(len(parts) - 1, 0, -1):
            # OSError: not empty yet, or because of somebody else's file
            with suppress(OSError), local_files.entered(self._path, *parts[: length - 1]) as folder:
                os.rmdir(parts[length - 1], dir_fd=folder)
        return True

    def _listed(self) -> frozenset[str]:
        if not os.path.lexists(self._path):
            return frozenset()
        try:
            with local_files.entered(self._path) as folder:
                with os.scandir(folder) as inside:
                    if not any(inside):
                        return frozenset()
                data = local_files.contents(Path(MARKER), local_files.MAX_CONFIG, follow=False, below=folder)
            said = json.loads(data)
            if said["verb"] == self._verb and all(isinstance(name, str) for name in said["files"]):
                return frozenset(said["files"])
        except NotADirectoryError:
            fix = "name the folder itself"
            raise MailprovError("this is a file or a link, no folder", where=str(self._path), fix=fix) from None
        except (FileError, ValueError, TypeError, KeyError, RecursionError):
            pass
        what = f"this folder holds what `mailprov {self._verb}` did not make"
        raise MailprovError(what, where=str(self._path), fix="name a new folder")

    def _list(self) -> None:
        files = sorted((self._before | self._written) - self._gone)
        self._put(PurePosixPath(MARKER), json.dumps({"verb": self._verb, "files": files}, indent=0).encode())

    def _put(self, name: PurePosixPath, content: bytes) -> None:
        try:
            with local_files.entered(self._path, *name.parts[:-1], make=True) as folder:
                local_files.put(folder, name.name, content, _MODE, lasting=False)
        except OSError as error:
            links = isinstance(error, NotADirectoryError)
            why = "a link or a file is in the place of a folder" if links else error.strerror or str(error)
            fix = "delete it, or name a new folder" if links else ""
            raise MailprovError("this file cannot be written", where=str(self._path / name), why=why, fix=fix) from None
