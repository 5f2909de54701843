"""A conversation in lines over a socket, bounded in time and size whatever the server does.

The stdlib's poplib, imaplib and smtplib restart their time-out with every byte, tell a closed connection only by a
message text, and keep unread cleartext in buffers of their own; this one class is what all three protocols need.
"""

from __future__ import annotations

import socket
import ssl
import time
from ipaddress import ip_address

from mailprov.checks.cause import Cause, ServerError

LINE_LIMIT = 64 * 1024
EXCHANGE_LIMIT = 4 * 1024 * 1024


def dial(address: str, port: int, timeout: float) -> Wire:
    """A TCP connection to `address` (name or IP), as a Wire.

    Raises OSError as `socket.create_connection` does, UnicodeError for a name that cannot be a host's.
    """
    return Wire(socket.create_connection((address, port), timeout), timeout)


class Wire:
    """Lines that end in CRLF, each exchange (one `send` and the answer to it) within `timeout` seconds."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._sock = sock
        self._timeout = timeout
        self._buffer = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._deadline = time.monotonic() + self._timeout
        self._budget = EXCHANGE_LIMIT

    @property
    def same_host(self) -> bool:
        """True where client and server are one machine, as far as their addresses tell."""
        here, there = self._sock.getsockname()[0], self._sock.getpeername()[0]
        return bool(here == there or ip_address(there.partition("%")[0]).is_loopback)

    @property
    def local_address(self) -> str:
        """The IP address that this end has."""
        return str(self._sock.getsockname()[0]).partition("%")[0]

    @property
    def encrypted(self) -> bool:
        """True once TLS is up."""
        return isinstance(self._sock, ssl.SSLSocket)

    def send(self, line: str | bytes) -> None:
        """Sends one line and starts a new exchange.

        Raises ValueError where the line holds CR, LF or NUL: it would be two commands.
        """
        data = line.encode() if isinstance(line, str) else line
        if any(char in data for char in b"\r\n\0"):
            raise ValueError("a command holds a line break or NUL")
        self.send_raw(data + b"\r\n")

    def send_raw(self, data: bytes) -> None:
        """Sends `data` as it is and starts a new exchange."""
        self._begin()
        self._sock.settimeout(self._timeout)
        self._sock.sendall(data)

    def line(self) -> bytes:
        """The next line without its line break.

        Raises EOFError when the server closed, TimeoutError past the exchange's deadline, ServerError (GARBLED) for
        a line or an answer without end.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_LIMIT:
                raise ServerError(Cause.GARBLED, f"a line longer than {LINE_LIMIT} bytes")
            self._fill()
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return found.removesuffix(b"\r")

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes, raising as `line` does."""
        if count > EXCHANGE_LIMIT:
            raise ServerError(Cause.GARBLED, f"{count} bytes announced")
        while len(self._buffer) < count:
            self._fill()
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def bare(self) -> socket.socket:
        """The socket, to make TLS on; give the result to `adopt`, or close this Wire.

        Raises ServerError (INJECTION) if cleartext was already waiting: it could have been put there by anyone, and
        would be read as if it had come through TLS (CVE-2011-0411 and kin).
        """
        if self._buffer:
            raise ServerError(Cause.INJECTION)
        self._sock.settimeout(self._timeout)
        return self._sock

    def adopt(self, secured: ssl.SSLSocket) -> None:
        """Goes on over TLS."""
        self._sock = secured
        self._begin()

    def close(self) -> None:
        """Closes the connection; the farewell of the protocol is not its business."""
        self._sock.close()

    def _fill(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        data = self._sock.recv(16 * 1024)
        if not data:
            raise EOFError
        self._budget -= len(data)
        if self._budget < 0:
            raise ServerError(Cause.GARBLED, f"an answer longer than {EXCHANGE_LIMIT} bytes")
        self._buffer += data
