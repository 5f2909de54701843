"""The only door to a machine: ssh.py (another machine), local.py (this one), fake.py (none, for the pure middle)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mailprov.model import Completed


class Host(Protocol):
    """A machine on which commands run as root."""

    @property
    def name(self) -> str:
        """The host's name in the declaration."""

    @property
    def identity(self) -> str:
        """What it proved to be: the SHA-256 fingerprint of its SSH host key; "" for this machine."""

    def run(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        timeout: float = 60.0,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run one command as root with `stdin`, wait for it, and return what it gave back.

        `on_line` is called with each line of stdout as it arrives (control characters removed, undecodable bytes
        replaced). Output is bounded. `timeout` counts seconds without any output.

        Raises ConnectError when the session ends before the command does, or nothing comes for `timeout` seconds.
        """

    def close(self) -> None:
        """End the session; may be called twice."""
