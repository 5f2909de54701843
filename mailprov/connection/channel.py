"""One command over one channel: stdin goes up while stdout and stderr come down, and silence is noticed."""

from __future__ import annotations

import select
import threading
import time
from typing import Protocol

from mailprov.connection import connect_errors, sudo
from mailprov.connection.output import Output
from mailprov.errors import ConnectError
from mailprov.model import Completed

CHUNK = 256 * 1024
_LEFT_OPEN = 2.0
"""seconds without output after which a command that has ended counts as done, though a child holds its stdout"""
_SIGNALLED = 255
"""the status of a command that a signal ended, as ssh(1) has it"""


class Awaited(Protocol):
    """What is used of a threading.Event."""

    def wait(self, timeout: float | None = None) -> bool: ...


class Channel(Protocol):
    """What is used of a paramiko channel; a local process gives itself out as one."""

    @property
    def eof_received(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def status_event(self) -> Awaited: ...
    def exec_command(self, command: bytes) -> None: ...
    def fileno(self) -> int: ...
    def recv_ready(self) -> bool: ...
    def recv(self, nbytes: int) -> bytes: ...
    def recv_stderr_ready(self) -> bool: ...
    def recv_stderr(self, nbytes: int) -> bytes: ...
    def sendall(self, s: bytes) -> None: ...
    def shutdown_write(self) -> None: ...
    def exit_status_ready(self) -> bool: ...
    def recv_exit_status(self) -> int: ...
    def close(self) -> None: ...


class Exchange:
    """A command on its way. `run` is called once."""

    def __init__(
        self,
        channel: Channel,
        output: Output,
        *,
        where: str,
        doing: str,
        timeout: float,
        way: sudo.Become | None = None,
    ) -> None:
        self._channel = channel
        self._output = output
        self._where = where
        self._doing = doing
        self._timeout = timeout
        self._way = way
        self._gate = threading.Event()
        self._moved = time.monotonic()

    def run(self, command: bytes, stdin: bytes) -> Completed:
        """Run `command` with `stdin` and return what it gave back.

        Raises ConnectError when the channel dies before the command, falls silent for the timeout, or sudo refuses;
        HostError when the output is without bounds.
        """
        # A thread of its own: what is sent may wait for what is received, and even the request to begin may never be
        # answered.
        feeder = threading.Thread(target=self._feed, args=(command, stdin), daemon=True, name="mailprov-stdin")
        feeder.start()
        try:
            self._listen()
        finally:
            self._gate.set()
        status = self._channel.recv_exit_status() if self._channel.exit_status_ready() else -1
        if status < 0:
            if not self._channel.eof_received:
                raise connect_errors.lost(self._where, self._doing, stderr=self._said())
            status = _SIGNALLED
        self._channel.close()
        feeder.join(self._timeout)
        if not self._output.begun and self._way is not None:
            raise sudo.refusal(self._where, self._way, status, self._output.stderr)
        return self._output.completed(status, self._said())

    def _feed(self, command: bytes, stdin: bytes) -> None:
        channel = self._channel
        try:
            channel.exec_command(command)
            if self._way is not None and (first := self._way.first()):
                channel.sendall(first)
                self._gate.wait()
                stdin = self._way.then() + stdin if self._output.begun else b""
            view = memoryview(stdin)
            for start in range(0, len(view), CHUNK):
                channel.sendall(bytes(view[start : start + CHUNK]))
                self._moved = time.monotonic()
            channel.shutdown_write()
        except Exception:  # noqa: S110
            # A command may end without reading its stdin, and a dead channel is seen by the listener, which knows why.
            pass

    def _listen(self) -> None:
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        while True:
            finished = self._channel.eof_received or self._channel.closed
            if self._drain():
                continue
            if finished:
                # stdout and stderr are closed; the status may still be on its way, or the command at work without them.
                self._silence(self._channel.status_event.wait(self._left()))
                return
            if self._channel.eof_received:
                continue  # it came while the rest was read
            ended = self._channel.exit_status_ready()
            if ended and time.monotonic() - self._moved > _LEFT_OPEN:
                return
            self._silence(self._left() > 0)
            poll.poll(1000 * min(self._left(), _LEFT_OPEN / 4))

    def _drain(self) -> bool:
        moved = False
        if self._channel.recv_ready():
            self._output.feed_stdout(self._channel.recv(CHUNK))
            moved = True
        if self._channel.recv_stderr_ready():
            self._output.feed_stderr(self._channel.recv_stderr(CHUNK))
            moved = True
        if moved:
            self._moved = time.monotonic()
        if (
            self._way is not None
            and not self._gate.is_set()
            and (self._output.begun or self._way.refused(self._output.stderr))
        ):
            self._gate.set()
        return moved

    def _left(self) -> float:
        return max(0.0, self._moved + self._timeout - time.monotonic())

    def _silence(self, heard: bool) -> None:
        if not heard:
            raise self._lost_in_silence()

    def _said(self) -> bytes:
        """stderr, as it may be shown."""
        return self._output.stderr if self._way is None else self._way.shown(self._output.stderr)

    def _lost_in_silence(self) -> ConnectError:
        return connect_errors.lost(self._where, self._doing, self._timeout, self._said())
