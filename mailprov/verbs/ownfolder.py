"""A folder that mailprov made: what of it is its own, and what somebody else has put there."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType

from mailprov.errors import MailprovError

MARKER = ".mailprov-files"
"""the list of files that are ours, as JSON"""


class OwnFolder:
    """A new folder, or one that an earlier run of `verb` made; a context manager around the writing of files.

    Nobody else on this machine may look into a new one. Threads may write at once. The list of what is ours is right
    also when the block is left by an error. Raises MailprovError for a folder that holds anything else.
    """

    def __init__(self, path: Path, verb: str) -> None:
        self._path = path
        self._verb = verb
        self._before = self._listed()
        self._written: set[str] = set()
        self._gone: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> OwnFolder:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._list()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._list()

    def write(self, name: PurePosixPath, content: bytes) -> None:
        """Put one file in its place at once: whoever reads it sees the old one or the new one. Raises OSError."""
        self._put(name, content)
        with self._lock:
            self._written.add(str(name))

    def forget_others(self) -> int:
        """Delete what earlier runs wrote and this one did not; how many files that were. Raises OSError."""
        for name in sorted(self._before - self._written):
            parts = PurePosixPath(name).parts
            if ".." not in parts and len(parts) > 1 and not PurePosixPath(name).is_absolute():
                self._delete(self._path / name)
            self._gone.add(name)
        return len(self._gone)

    def _delete(self, path: Path) -> None:
        with suppress(IsADirectoryError, NotADirectoryError):
            path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == self._path:
                break
            with suppress(OSError):  # not empty: yet, or because of somebody else's file
                parent.rmdir()

    def _listed(self) -> frozenset[str]:
        try:
            said = json.loads((self._path / MARKER).read_text(encoding="utf-8"))
            if said["verb"] == self._verb:
                return frozenset(said["files"])
        except FileNotFoundError:
            if not self._path.is_dir() or not any(self._path.iterdir()):
                return frozenset()
        except (ValueError, TypeError, KeyError):
            pass
        what = f"this folder holds what `mailprov {self._verb}` did not make"
        raise MailprovError(what, where=str(self._path), cure="name a new folder")

    def _list(self) -> None:
        files = sorted((self._before | self._written) - self._gone)
        self._put(PurePosixPath(MARKER), json.dumps({"verb": self._verb, "files": files}, indent=0).encode())

    def _put(self, name: PurePosixPath, content: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        number, new = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(number, "wb") as file:
                os.fchmod(number, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
                file.write(content)
            Path(new).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(new).unlink()
            raise
