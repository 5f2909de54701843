"""A machine's disk: read-only layers below one writable directory, joined by an overlay mount."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mailprov.lab.errors import LabError


class Disk:
    """The disk kept in `directory`; `layers` are its read-only parts, topmost first."""

    def __init__(self, directory: Path, layers: Sequence[Path]) -> None:
        self.directory = directory
        self.layers = tuple(layers)
        self.upper = directory / "upper"
        self.merged = directory / "merged"
        self._work = directory / "work"
        if any(character in str(path) for path in (directory, *layers) for character in ":,\\"):
            raise LabError("the lab's cache path holds a colon, comma or backslash", where=str(directory))
        directory.mkdir(mode=0o700)
        self.merged.mkdir()
        self._renew()

    def options(self) -> str:
        """Return the options of the overlay mount, after making the disk ready to be mounted anew."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        lower = ":".join(str(layer) for layer in self.layers)
        # volatile: nothing here has to survive the controller's own power cut, and without the syncs
        # an installation of packages takes a fraction of the time. The work directory is made anew above
        # because the kernel refuses one that a volatile mount left. Without redirect_dir no folder of a lower layer
        # could be renamed.
        return f"volatile,redirect_dir=on,lowerdir={lower},upperdir={self.upper},workdir={self._work}"

    def freeze(self, into: Path) -> tuple[Path, ...]:
        """Make what was written so far a read-only layer at `into`; return all layers, topmost first."""
        self.upper.rename(into)
        self.layers = (into, *self.layers)
        self._renew()
        return self.layers

    def place(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Write a file onto the unmounted disk. `path` is absolute; its directories keep their attributes."""
        target = self._directory(Path(path).parent) / Path(path).name
        target.unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data.encode() if isinstance(data, str) else data)

    def place_directory(self, path: str, mode: int) -> None:
        """Make sure that a directory of root's is on the unmounted disk, with that mode."""
        made = self._directory(Path(path))
        made.chmod(mode)
        os.chown(made, 0, 0)

    def withdraw(self, path: str) -> None:
        """Take back a file placed before on the unmounted disk."""
        (self.upper / path.lstrip("/")).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the disk; layers stay."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _renew(self) -> None:
        self.upper.mkdir()
        self.upper.chmod(0o755)

    def _directory(self, path: Path) -> Path:
        """Make the absolute directory `path` in the upper part and return it."""
        made = self.upper
        # A directory in the upper part hides the attributes of the one below, so it must copy them.
        for part in path.parts[1:]:
            made /= part
            if made.is_dir():
                continue
            made.mkdir(mode=0o700)
            here = made.relative_to(self.upper)
            below = next((layer / here for layer in self.layers if (layer / here).is_dir()), None)
            if below is not None:
                shutil.copystat(below, made)
                status = below.stat()
                os.chown(made, status.st_uid, status.st_gid)
        return made
