"""This machine (`address: local`): the same door as SSH's, without a shell and without a network."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO, cast

from mailprov.connection import sudo
from mailprov.connection.channel import CHUNK, Exchange
from mailprov.connection.output import Output, printable
from mailprov.errors import ConnectError, HostError
from mailprov.model import Completed, HostSpec

_TICK = 200
"""milliseconds after which a writer that nobody reads looks whether it is to end"""


class LocalHost:
    """This machine, as a `Host`."""

    def __init__(self, spec: HostSpec, *, root: bool) -> None:
        """`root`: this process is root's already.

        Raises ConnectError where there is no way to become root.
        """
        if not root and not spec.become:
            raise ConnectError(
                "mailprov must be root to manage this machine",
                where=spec.name,
                fix="run it as root, or declare become: true",
            )
        self._spec = spec
        self._root = root

    @property
    def name(self) -> str:
        """The host's name in the declaration."""
        return self._spec.name

    @property
    def identity(self) -> str:
        """Nothing: no key was shown."""
        return ""

    def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run one command as root; see `Host.run`.

        Raises ConnectError when nothing comes for `timeout` seconds, or sudo refuses; HostError when the output is
        without bounds, or there is no such command under root. The command is ended with each of them.
        """
        way = None if self._root else sudo.become(self._spec.become_password)
        output = Output(self.name, on_line, way.mark.encode() if way is not None else b"")
        doing = printable(" ".join(argv[:2]), 60)
        try:
            process = _Process(way.wrap(argv) if way is not None else argv)
        except OSError as error:
            what = f"cannot run {printable(argv[0], 100)}"
            raise HostError(what, where=self.name, why=error.strerror or str(error)) from error
        try:
            return Exchange(process, output, where=self.name, doing=doing, timeout=timeout, way=way).run(b"", stdin)
        except BaseException:
            process.kill()
            raise
        finally:
            process.close()

    def close(self) -> None:
        """Nothing to end."""


class _Process:
    """A process, seen as the channel that an `Exchange` talks to."""

    def __init__(self, argv: Sequence[str]) -> None:
        # A session of its own: Ctrl-C is for mailprov; what it began runs on, as on a host far away.
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._lock = threading.Lock()  # around stdin, which one thread writes and another may close
        self._read = {True: b"", False: b""}
        self._open = {True: cast(IO[bytes], self._process.stdout), False: cast(IO[bytes], self._process.stderr)}
        self._epoll = select.epoll()
        for stream in self._open.values():
            os.set_blocking(stream.fileno(), False)
            self._epoll.register(stream, select.EPOLLIN)
        os.set_blocking(self._stdin.fileno(), False)
        self.closed = False
        self.status_event = _Ended(self._process)

    @property
    def eof_received(self) -> bool:
        return not self._open

    def exec_command(self, command: bytes) -> None:
        """It runs already."""

    def fileno(self) -> int:
        return self._epoll.fileno()

    def recv_ready(self) -> bool:
        return self._fill(True)

    def recv(self, nbytes: int) -> bytes:
        return self._take(True, nbytes)

    def recv_stderr_ready(self) -> bool:
        return self._fill(False)

    def recv_stderr(self, nbytes: int) -> bytes:
        return self._take(False, nbytes)

    def sendall(self, s: bytes) -> None:
        poll = select.poll()
        poll.register(self._stdin.fileno(), select.POLLOUT)
        rest = memoryview(s)
        while rest:
            poll.poll(_TICK)
            with self._lock, contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self._stdin.fileno(), rest) :]

    def shutdown_write(self) -> None:
        with self._lock:
            self._stdin.close()

    def exit_status_ready(self) -> bool:
        return self._process.poll() is not None

    def recv_exit_status(self) -> int:
        code = self._process.wait()
        return code if code >= 0 else 128 - code  # as a shell tells of a signal

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.shutdown_write()
            self._epoll.close()
            for stream in (self._process.stdout, self._process.stderr):
                cast(IO[bytes], stream).close()

    def kill(self) -> None:
        # A command under sudo is root's: it ends by its closed pipes instead.
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(1)

    def _take(self, stdout: bool, size: int) -> bytes:
        data, self._read[stdout] = self._read[stdout][:size], self._read[stdout][size:]
        return data

    def _fill(self, stdout: bool) -> bool:
        if not self._read[stdout] and stdout in self._open:
            with contextlib.suppress(BlockingIOError):
                self._read[stdout] = os.read(self._open[stdout].fileno(), CHUNK)
                if not self._read[stdout]:
                    self._epoll.unregister(self._open.pop(stdout))
        return bool(self._read[stdout])


class _Ended:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait(self, timeout: float | None = None) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self._process.returncode is not None
