"""The only door to files of this machine that people name or make: each opened once, as a regular file, and bounded.

A folder, a named pipe, a device, a socket or a loop of links is an error at once: none of them is ever opened.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final

from mailprov.errors import FileError, MailprovError, brief

MAX_KEY: Final = 1024 * 1024
"""bytes of a file with certificates or a key"""
MAX_CONFIG: Final = 32 * 1024 * 1024
"""bytes of a file with settings, or with a line for each of many hosts"""
SLOWEST: Final = 60.0
"""seconds that a disk may take to give one file"""

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def opened(
    path: Path, limit: int, *, follow: bool = True, below: int | None = None, name: str = ""
) -> Iterator[BinaryIO]:
    """The regular file `path`, open for reading. Not `follow`: a link is none. `below`: the folder that it is in.

    `name`: what it is called in there, where links on its path have been followed already.
    Raises FileError where it cannot be read or holds more than `limit` bytes, also where that shows only later.
    """
    with descriptor(path, os.O_RDONLY, follow=follow, below=below, name=name) as number:
        if os.fstat(number).st_size > limit:
            raise _too_large(path, limit)
        yield _reader(number, path, limit)


def contents(path: Path, limit: int, *, follow: bool = True, below: int | None = None) -> bytes:
    """The bytes of the regular file `path`. Takes and raises what `opened` does."""
    with opened(path, limit, follow=follow, below=below) as file:
        return file.read()


def certificates(path: Path) -> str:
    """The text of a file with certificates in PEM; read again only when it was written since. Raises FileError."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise unusable(path, error, os.O_RDONLY) from None
    return _certificates(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=4)
def _certificates(path: Path, _state: tuple[int, ...]) -> str:
    # What stands between certificates is anybody's words, and OpenSSL wants ASCII.
    return contents(path, MAX_CONFIG).decode("ascii", "ignore")


def remaining(number: int, path: Path, limit: int) -> bytes:
    """The bytes of an open file, which `descriptor` has opened as `path`. Raises FileError for more than `limit`."""
    return _reader(number, path, limit).read()


@contextmanager
def descriptor(
    path: Path, flags: int, *, follow: bool = True, below: int | None = None, name: str = ""
) -> Iterator[int]:
    """The regular file `path`, open with these flags of open(2), made with mode 0600 where they say so.

    Raises FileError for what is no regular file; an OSError within the block, for what is done there, becomes one, too.
    """
    try:
        # Only what is known to be a file is opened: opening a device may have an effect, opening a pipe may last.
        with suppress(*((FileNotFoundError,) if flags & os.O_CREAT else ())):
            _require_regular(path, os.stat(name or path, dir_fd=below, follow_symlinks=follow))
        # O_NONBLOCK: what stands at the path may be another thing by now.
        safe = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        number = os.open(name or path, flags | safe, 0o600, dir_fd=below)
    except (OSError, ValueError) as error:
        raise unusable(path, error, flags) from None
    try:
        _require_regular(path, os.fstat(number))
        yield number
    except OSError as error:
        raise unusable(path, error, flags) from None
    finally:
        os.close(number)


def require_readable(path: Path, limit: int, *, below: int | None = None, name: str = "") -> None:
    """Raises FileError where there is something at `path` that `opened` would refuse for what it is or its size."""
    try:
        status = os.stat(name or path, dir_fd=below, follow_symlinks=not name)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise unusable(path, error, os.O_RDONLY) from None
    _require_regular(path, status)
    if status.st_size > limit:
        raise _too_large(path, limit)


def require_replaceable(path: Path) -> None:
    """Raises MailprovError where `replace` would put `path` in the place of anything but a regular file, or may not."""
    try:
        if not path.name or not stat.S_ISDIR(path.parent.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with suppress(FileNotFoundError):
            _require_regular(path, path.lstat())
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileError as error:
        raise MailprovError(error.what, why="it would be replaced", fix="name another file") from None
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


def replace(path: Path, content: bytes, mode: int = 0o600, *, new: str = "") -> None:
    """Make `content` the file `path`, at once: whoever reads it, also after a power cut, finds the old or the new one.

    `new`: its name while it is written, where somebody must know it to clear up what a power cut has left.
    Raises MailprovError where it cannot be, or as `require_replaceable` does.
    """
    require_replaceable(path)
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            put(folder, path.name, content, mode, new=new)
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unwritable(path, error) from None


def put(folder: int, name: str, content: bytes, mode: int, *, new: str = "", lasting: bool = True) -> None:
    """Make `content` the file `name` of an open folder, at once; a link of that name is replaced. Raises OSError.

    `lasting`: it is on disk when this returns.
    """
    new = new or f".new-{token_hex(8)}"
    stage(folder, new, content, mode, lasting=lasting)
    try:
        os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise


def stage(
    folder: int, new: str, content: bytes, mode: int, *, lasting: bool = True, owner: tuple[int, int] | None = None
) -> None:
    """Write the file `new` of an open folder, where nothing is yet, and nothing is where that fails. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    number = os.open(new, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(number, *owner)
            os.fchmod(number, mode)
            if lasting:
                os.fsync(number)
    except BaseException:
        with suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise


@contextmanager
def entered(folder: Path, *names: str, make: bool = False) -> Iterator[int]:
    """The folder `names` below `folder`, open: no link on the way is followed. `make`: it is made where it is missing.

    Raises OSError: FileNotFoundError where it is not there, NotADirectoryError where a link or a file is in its place.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    number = os.open(folder, flags)
    try:
        for name in names:
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise NotADirectoryError(errno.ENOTDIR, "this leads out of the folder", name)
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=number)
            inner = os.open(name, flags, dir_fd=number)
            os.close(number)
            number = inner
        yield number
    finally:
        os.close(number)


def _reader(number: int, path: Path, limit: int) -> BinaryIO:
    return io.BufferedReader(_Bounded(number, path, limit), 1 << 16)  # type: ignore[type-var]


class _Bounded(io.RawIOBase):
    """An open file that gives no more than `limit` bytes, takes no longer than SLOWEST to do so, and never waits."""

    def __init__(self, number: int, path: Path, limit: int) -> None:
        super().__init__()
        self._number, self._path, self._limit = number, path, limit
        self._took = 0.0

    def fileno(self) -> int:
        return self._number

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return os.lseek(self._number, offset, whence)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        begun = time.monotonic()
        count = os.readv(self._number, [buffer])
        self._took += time.monotonic() - begun
        if self._took > SLOWEST:
            what = f"{brief(str(self._path), 200)} is read too slowly: more than {SLOWEST:.0f} s"
            raise FileError(what, fix="copy it to a disk of this machine, and name the copy")
        if count and self.tell() > self._limit:
            raise _too_large(self._path, self._limit)
        return count


def size(count: int) -> str:
    """A bound in words: "64 KiB"."""
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise FileError(f"{brief(str(path), 200)} is not a regular file, but {kind}", fix="name the file itself")


def unusable(path: Path, error: OSError | ValueError, flags: int = os.O_RDONLY) -> FileError:
    """What is told of an error at `path`, which was to be opened with these flags."""
    number = error.errno if isinstance(error, OSError) else None
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "the path is not valid"
    done = "read" if flags & os.O_ACCMODE == os.O_RDONLY else "written"
    what = f"{brief(str(path), 200)} cannot be {done}: {reason}"
    absent, denied = number in (errno.ENOENT, errno.ENOTDIR), number in (errno.EACCES, errno.EPERM)
    return FileError(what, fix="check the path and its permissions", absent=absent, denied=denied)


def unwritable(path: Path, error: OSError | ValueError) -> MailprovError:
    """What is told of an error at `path`, which was to be put there."""
    told = unusable(path, error, os.O_WRONLY)
    return MailprovError(told.what, fix=told.fix)


def _too_large(path: Path, limit: int) -> FileError:
    return FileError(f"{brief(str(path), 200)} is larger than {size(limit)}", fix="split it into several files")
