"""Sessions that a look has opened, and that a change goes on with: what is agreed to soon needs no second handshake."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from mailprov.connection import Host
from mailprov.model import Spec
from mailprov.workflows.survey import PlanResult

MOST = 64
"""sessions that are kept open: each has a thread here, and a process on its host"""
SECONDS = 60.0
"""how long one is trusted that nothing was said on: what lies between may have forgotten it by then"""


@dataclass(frozen=True, slots=True)
class OpenHost:
    """An open session with a host, what was found there, and the declaration that was asked for."""

    host: Host
    found: PlanResult
    spec: Spec
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class OpenHosts:
    """At most `MOST` of them, by the host's name. Threads share it."""

    _kept: dict[str, OpenHost] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, name: str, opened: OpenHost) -> bool:
        """Keep a session, where there is room: whether it is kept now."""
        with self._lock:
            if len(self._kept) >= MOST:
                return False
            self._kept[name] = opened
            return True

    def take(self, name: str) -> OpenHost | None:
        """The session that was kept of a host, from now on the caller's; None where none is to be trusted."""
        with self._lock:
            opened = self._kept.pop(name, None)
        if opened is not None and time.monotonic() - opened.since > SECONDS:
            opened.host.close()
            return None
        return opened

    def close(self) -> None:
        """End those that nobody has taken."""
        with self._lock:
            left = [*self._kept.values()]
            self._kept.clear()
        for opened in left:
            opened.host.close()
