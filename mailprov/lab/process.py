"""Running programs, and locks that the kernel releases when their holder dies."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from mailprov.lab.errors import LabError

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def doomed(argv: Sequence[str]) -> tuple[str, ...]:
    """Return `argv` wrapped so that it and all its descendants die with the thread that starts it.

    The command runs as process 1 of its own process namespace, with its own mounts: none is visible outside.
    """
    return (
        *("setpriv", "--pdeathsig", "KILL"),
        # slave, not private: an unmount outside must not be held up by a copy of the mount in here.
        *("unshare", "--mount", "--propagation", "slave"),
        *("--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
        *argv,
    )


class Running:
    """The commands that `call` runs on somebody's behalf, so that they can be ended from another thread."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._ended = False

    @contextmanager
    def holding(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Count `process` among the running ones inside the `with` block; end it if `end` was called before."""
        with self._lock:
            self._processes.add(process)
            if self._ended:
                _end(process)
        try:
            yield
        finally:
            with self._lock:
                self._processes.discard(process)

    def end(self) -> None:
        """Kill every command that runs now or is started later."""
        with self._lock:
            self._ended = True
            for process in self._processes:
                _end(process)


def call(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    running: Running | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run `argv` and return its status and output, whatever the status.

    subprocess.TimeoutExpired after `timeout` seconds. On that, or any exception, its process group is killed.
    """
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None if environment is None else {**os.environ, **environment},
        start_new_session=True,
    ) as process:
        try:
            with running.holding(process) if running is not None else nullcontext():
                stdout, stderr = process.communicate(stdin, timeout)
        except BaseException:
            _end(process)
            raise
    return subprocess.CompletedProcess(tuple(argv), process.returncode, stdout, stderr)


def must(argv: Sequence[str], what: str, *, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
    """Run `argv` and return its standard output; LabError saying `what` failed, with the last output lines."""
    done = call(argv, stdin=stdin, environment=environment)
    if done.returncode != 0:
        raise LabError(what, why=tail(done.stderr or done.stdout) or f"{argv[0]} ended with {done.returncode}")
    return done.stdout


def tail(output: bytes, lines: int = 12) -> str:
    """Return the last `lines` lines of `output` as text, without colours and other terminal controls."""
    return "\n".join(_CONTROLS.sub("", output.decode("utf-8", "replace")).strip().splitlines()[-lines:])


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process's main thread; none if it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _end(process: subprocess.Popen[bytes]) -> None:
    # Children first, so that the process itself reaps them: an orphan of nsenter would be left to this
    # machine's init, and a machine's process namespace does not end before its last zombie is reaped.
    for child in children(process.pid):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def try_lock(path: Path) -> int | None:
    """Return a file descriptor that holds the lock at `path` until it is closed, or None if it is held."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The former holder may have unlinked the file between our open and our lock: then we hold a ghost.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at `path`; call `waiting` once if another process has it. The file stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
