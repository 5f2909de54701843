"""An open SSH session as a `Host`: how a command is quoted, made root's, run, and what ends the session."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from mailprov.connection import sudo
from mailprov.connection.channel import Channel, Exchange
from mailprov.connection.known_hosts import HostKey
from mailprov.connection.output import Output, printable
from mailprov.connection.sshconfig import Target
from mailprov.model import Completed, HostSpec


class Link(Protocol):
    """An SSH connection to one machine."""

    @property
    def traffic(self) -> tuple[int, int]:
        """The bytes sent and received."""

    @property
    def key(self) -> HostKey:
        """The host key that the machine proved to have."""

    def open_channel(self, timeout: float, doing: str) -> Channel:
        """A channel for one command; ConnectError where there is none to be had."""

    def close(self) -> None:
        """End it; may be called twice."""


class SshHost:
    """An open SSH session with a host, as `connect` makes it: a `Host`, and a context manager."""

    def __init__(self, spec: HostSpec, way: Sequence[Target], links: Sequence[Link]) -> None:
        self._spec = spec
        self._target = way[-1]
        self._links = tuple(links)

    @property
    def name(self) -> str:
        """The host's name in the declaration."""
        return self._spec.name

    @property
    def identity(self) -> str:
        """The fingerprint of the host's own key, as OpenSSH prints it."""
        return self._links[-1].key.fingerprint

    @property
    def traffic(self) -> tuple[int, int]:
        """The bytes sent and received so far, by the first machine on the way."""
        return self._links[0].traffic

    def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run one command as root; see `Host.run`. `timeout` counts seconds in which neither side got anything.

        The status of a command that a signal ended is 255.

        Raises ConnectError when the session ends before the command, nothing comes for `timeout` seconds, or sudo
        refuses; HostError when the output is without bounds. Each of them ends the session, except sudo's refusal.
        """
        become = self._spec.become and self._target.user != "root"
        way = sudo.become(self._spec.become_password) if become else None
        command = quote(way.wrap(argv) if way is not None else argv)
        doing = printable(quote(argv[:2]).decode(errors="replace"), 60)
        output = Output(self._target.where, on_line, way.mark.encode() if way is not None else b"")
        try:
            channel = self._links[-1].open_channel(timeout, doing)
            exchange = Exchange(channel, output, where=self._target.where, doing=doing, timeout=timeout, way=way)
            return exchange.run(command, stdin)
        except sudo.Refused:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the session; may be called twice."""
        for link in reversed(self._links):
            link.close()

    def __enter__(self) -> SshHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def quote(argv: Sequence[str]) -> bytes:
    """`argv` as the one string that SSH carries to the login shell; the only place where such a string is made.

    Raises ValueError for an empty command, or a NUL, at which the far side would cut the command short.
    """
    if not argv or any("\0" in word for word in argv):
        raise ValueError("a command needs at least one word, and no NUL")
    return shlex.join(argv).encode("utf-8", "surrogateescape")
