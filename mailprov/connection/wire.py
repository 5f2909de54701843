"""The TCP connection under an SSH session."""

from __future__ import annotations

import contextlib
import socket
from typing import Protocol

from mailprov.connection import connect_errors
from mailprov.connection.sshconfig import Target

_DEAD_LINK = 45_000
"""milliseconds that sent data may stay unacknowledged: three keepalives"""
_HEAD = 1024


class Socket(Protocol):
    """What is needed of a socket, or of a channel through a jump host."""

    def send(self, data: bytes, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Wire:
    """A socket that counts, keeps the first bytes that came (they say who answered), and wakes its reader on closing.

    It may be handed to paramiko in a socket's place.
    """

    def __init__(self, inner: Socket) -> None:
        self._inner = inner
        self._closed = False  # paramiko looks at this attribute of a socket
        self.head = b""
        self.sent = 0
        self.received = 0
        self.ended = False  # by the other side

    def send(self, data: bytes) -> int:
        """As socket.send."""
        try:
            count = self._inner.send(data)
        except TimeoutError:
            raise
        except OSError:
            self.ended = True
            raise
        self.sent += count
        return count

    def recv(self, size: int) -> bytes:
        """As socket.recv."""
        try:
            data = self._inner.recv(size)
        except TimeoutError:
            raise
        except OSError:
            self.ended = True
            raise
        self.received += len(data)
        self.ended = self.ended or not data
        if len(self.head) < _HEAD:
            self.head += data[:_HEAD]
        return data

    def settimeout(self, seconds: float | None) -> None:
        """As socket.settimeout."""
        self._inner.settimeout(seconds)

    def close(self) -> None:
        """Close both directions at once; may be called twice."""
        self._closed = True
        # A channel through a jump host that is gone already cannot say goodbye.
        with contextlib.suppress(OSError, EOFError):
            # Without it, a thread in recv sleeps on until its time-out.
            self._inner.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, EOFError):
            self._inner.close()


def dial(target: Target) -> Wire:
    """A TCP connection to a machine, each of its addresses tried in turn.

    Raises ConnectError when none answers in time.
    """
    try:
        inner = socket.create_connection((target.host, target.port), timeout=target.timeout)
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # paramiko's keepalive expects no answer; the kernel notices that none of it is acknowledged.
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_LINK)
        return Wire(inner)
    except (OSError, UnicodeError) as error:
        raise connect_errors.no_route(target, error) from error
