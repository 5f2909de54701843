"""How many come to one SSH server at once, and what is done when it turns one away.

Through a jump host a whole fleet knocks at one door. sshd drops new connections at random while ten wait to log in
(sshd_config(5), MaxStartups 10:30:100), and says nothing more of it than that the connection ends.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from mailprov.errors import ConnectError

T = TypeVar("T")

AT_ONCE = 8
"""connections of this process that log in to one server at the same time"""
PAUSES = (0.5, 1.0, 2.0)
"""seconds at most before each further attempt; at random, so that those turned away together do not come together"""

_turns: dict[tuple[str, int], threading.BoundedSemaphore] = defaultdict(lambda: threading.BoundedSemaphore(AT_ONCE))
_lock = threading.Lock()


class TurnedAwayError(ConnectError):
    """The server ended the connection before it said who it is: it has too much to do, or will not have us."""


def turn(host: str, port: int) -> threading.BoundedSemaphore:
    """Held while logging in to a server; waits while AT_ONCE others of this process are at it."""
    with _lock:
        return _turns[host, port]


def patiently(connect: Callable[[], T]) -> T:
    """What `connect` returns, tried again where the server turned it away. Raises what `connect` raises."""
    for pause in PAUSES:
        try:
            return connect()
        except TurnedAwayError:
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret depends on it
    return connect()
