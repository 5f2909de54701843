"""This machine (`address: local`): the same door as SSH's, without a shell and without a network."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from typing import IO, cast

from mailprov.errors import ConnectError, HostError
from mailprov.host import sudo, troubles
from mailprov.host.lines import Output, printable
from mailprov.model import Completed, HostSpec

_CHUNK = 256 * 1024
_LEFT_OPEN = 2.0
"""seconds without output after which a command that has ended counts as done, though a child holds its stdout"""


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
                cure="run it as root, or declare become: true",
            )
        self._spec = spec
        self._root = root

    @property
    def name(self) -> str:
        """The host's name in the declaration."""
        return self._spec.name

    def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run one command as root; see `Host.run`.

        Raises ConnectError when nothing comes for `timeout` seconds, or sudo refuses; HostError when the command does
        not exist or its output is without bounds. The command is ended with each of them.
        """
        way = None if self._root else sudo.become(self._spec.become_password)
        output = Output(self.name, on_line, way.mark.encode() if way is not None else b"")
        doing = printable(" ".join(argv[:2]), 60)
        try:
            process = subprocess.Popen(
                way.wrap(argv) if way is not None else argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C is for mailprov; what it began is ended, or left to end, as on a host far away.
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(
                f"cannot run {printable(argv[0])}", where=self.name, why=error.strerror or str(error)
            ) from error
        try:
            status = _Talk(process, output, way, stdin, timeout, self.name, doing).finish()
        except BaseException:
            # A command under sudo is root's, and ends by its closed pipes instead.
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            for pipe in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):
                    cast(IO[bytes], pipe).close()
        if not output.begun and way is not None:
            raise sudo.refusal(self.name, way, status, output.stderr)
        return output.completed(status, forget=way.forget() if way is not None else b"")

    def close(self) -> None:
        """Nothing to end."""


class _Talk:
    """A process's three pipes, served by one thread."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        output: Output,
        way: sudo.Become | None,
        stdin: bytes,
        timeout: float,
        where: str,
        doing: str,
    ) -> None:
        self._process = process
        self._output = output
        self._way = way
        self._rest = memoryview(way.first() if way is not None else stdin)
        self._later = way.then() + stdin if way is not None else None
        self._timeout = timeout
        self._where = where
        self._doing = doing
        self._selector = selectors.DefaultSelector()
        self._moved = time.monotonic()

    def finish(self) -> int:
        """Serve the pipes until the process has ended, and return its status as a shell gives it.

        Raises ConnectError after `timeout` seconds of silence; HostError when the output is without bounds.
        """
        with self._selector:
            for pipe, events in (
                (self._process.stdin, selectors.EVENT_WRITE),
                (self._process.stdout, selectors.EVENT_READ),
                (self._process.stderr, selectors.EVENT_READ),
            ):
                stream = cast(IO[bytes], pipe)
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, events)
            self._release()
            while self._hearing():
                if not self._serve(self._pause()):
                    if self._process.poll() is not None and self._still(_LEFT_OPEN):
                        break
                    self._silence()
        while self._process.poll() is None:
            self._silence()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._pause())
        code = self._process.returncode
        return code if code >= 0 else 128 - code

    def _hearing(self) -> bool:
        streams = {key.fileobj for key in self._selector.get_map().values()}
        return self._process.stdout in streams or self._process.stderr in streams

    def _serve(self, seconds: float) -> bool:
        ready = self._selector.select(seconds)
        for key, _ in ready:
            stream = cast(IO[bytes], key.fileobj)
            if stream is self._process.stdin:
                self._write(stream)
            elif data := os.read(stream.fileno(), _CHUNK):
                (self._output.feed_stdout if stream is self._process.stdout else self._output.feed_stderr)(data)
            else:
                self._selector.unregister(stream)
            self._release()
        if ready:
            self._moved = time.monotonic()
        return bool(ready)

    def _write(self, stream: IO[bytes]) -> None:
        try:
            self._rest = self._rest[os.write(stream.fileno(), self._rest[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # the command ended, or closed its stdin, without reading all of it
            self._later, self._rest = None, memoryview(b"")

    def _release(self) -> None:
        """Let go of stdin's second part once sudo is passed, and of stdin itself once there is no more."""
        stream = cast(IO[bytes], self._process.stdin)
        if self._way is not None and self._later is not None:
            if self._output.begun:
                self._rest, self._later = memoryview(bytes(self._rest) + self._later), None
                if not stream.closed and stream not in self._streams():
                    self._selector.register(stream, selectors.EVENT_WRITE)
            elif self._way.refused(self._output.stderr):
                self._later = None
        if self._rest or stream.closed or stream not in self._streams():
            if not self._rest and self._later is None and not stream.closed:
                stream.close()
            return
        self._selector.unregister(stream)
        if self._later is None:
            stream.close()

    def _streams(self) -> set[object]:
        return {key.fileobj for key in self._selector.get_map().values()}

    def _pause(self) -> float:
        return max(0.0, min(_LEFT_OPEN / 4, self._moved + self._timeout - time.monotonic()))

    def _still(self, seconds: float) -> bool:
        return time.monotonic() - self._moved > seconds

    def _silence(self) -> None:
        if self._still(self._timeout):
            raise troubles.lost(self._where, self._doing, self._timeout, self._output.stderr)
