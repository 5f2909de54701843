"""A secret in somebody's editor: in a private folder, in memory where this machine has one, and gone afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mailprov import local_files
from mailprov.commands import console
from mailprov.errors import MailprovError

_MOUNTS: Final = Path("/proc/self/mounts")
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


def edited(secret: bytes, name: str, limit: int) -> bytes:
    """What somebody makes of `secret` in $VISUAL or $EDITOR; `name` tells the editor what it is.

    Raises MailprovError where no editor can be run, where it fails, and where nothing is left.
    """
    command = _command()
    with _private_folder() as folder:
        path = folder / name
        local_files.replace(path, secret)
        try:
            status = subprocess.run((*command, str(path)), check=False).returncode
        except OSError as error:
            what = f"the editor {command[0]} cannot be run: {error.strerror}"
            raise MailprovError(what, fix="export EDITOR=nano") from None
        if status:
            raise MailprovError(f"the editor ended with exit code {status}; nothing was changed", fix="edit it again")
        return local_files.contents(path, limit)


def _command() -> list[str]:
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("vi" if console.interactive() else "")
    try:
        words = shlex.split(named)
    except ValueError:
        words = []
    if not words:
        raise MailprovError("no editor is named", fix="export EDITOR=nano")
    return words


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that nobody else may enter, and that is emptied and gone when the block ends, however it ends."""
    above = _memory()
    if above is None:
        console.say(
            f"! no folder in memory is here: the secret is on disk while you edit ({tempfile.gettempdir()})", "warn"
        )
    # Whose terminal is gone, with a link that broke, leaves no secret behind either.
    former = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        folder = Path(tempfile.mkdtemp(prefix="mailprov-", dir=above))
        try:
            yield folder
        finally:
            _wipe(folder)
    finally:
        signal.signal(signal.SIGHUP, former)


def _memory() -> Path | None:
    """A folder for files that are kept in memory only; None where there is none."""
    mounts = (
        local_files.contents(_MOUNTS, local_files.MAX_CONFIG).decode("utf-8", "replace") if _MOUNTS.exists() else ""
    )
    kept = {words[1] for words in map(str.split, mounts.splitlines()) if len(words) > 2 and words[2] in _IN_MEMORY}
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", "/run/shm"):  # noqa: S108 - made private there
        if place and os.path.realpath(place) in kept and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    return None


def _wipe(folder: Path) -> None:
    """Overwrite what an editor has left, and remove it. On a disk, what an editor has deleted may still be found."""
    for path in folder.rglob("*"):
        with suppress(MailprovError), local_files.descriptor(path, os.O_WRONLY, follow=False) as number:
            os.write(number, bytes(min(os.fstat(number).st_size, local_files.MAX_CONFIG)))
            os.fsync(number)
    shutil.rmtree(folder, ignore_errors=True)
