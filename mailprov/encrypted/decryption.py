"""Encrypted values opened in memory: the identity is looked for when the first one needs it, and once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mailprov.encrypted import age, identities
from mailprov.errors import FileError


class Decryption:
    """What opens the encrypted values of one declaration. Nothing is written anywhere."""

    def __init__(self, environ: Mapping[str, str], identity: Path | None = None) -> None:
        """`identity`: the file that was named for it."""
        self._environ, self._named = environ, identity
        self._identity: age.Identity | FileError | None = None
        self._documents: dict[Path, Any] = {}

    def identity(self) -> age.Identity:
        """What opens age files here. Raises FileError where there is nothing that can."""
        if self._identity is None:
            try:
                self._identity = identities.identity(self._environ, self._named)
            except FileError as error:
                self._identity = error
        if isinstance(self._identity, FileError):
            raise self._identity
        return self._identity

    @property
    def identity_file(self) -> Path | None:
        """The file that the identity was read from; None where it was not needed, or was in no file."""
        used = isinstance(self._identity, age.Identity)
        return identities.file(self._environ, self._named) if used else None

    def age(self, data: bytes) -> bytes:
        """What is in an age file (binary). Raises FileError where it cannot be opened here, or is damaged."""
        return age.decrypted(data, self.identity())

    def sops(self, path: Path, key: str = "") -> bytes:
        """What is in a file of SOPS: all of it, or the text at `key`. Raises as `sops.decrypted` does."""
        from mailprov.encrypted import sops  # few have such files

        if not key:
            return sops.decrypted(path, self._environ)
        if path not in self._documents:
            try:
                self._documents[path] = sops.parsed(sops.decrypted(path, self._environ, as_json=True), path)
            except FileError as error:
                self._documents[path] = error
        found = self._documents[path]
        if isinstance(found, FileError):
            raise found
        return sops.value_at(found, key, path).encode("utf-8", "surrogatepass")
