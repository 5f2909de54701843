"""A slow line to a host, on which connections and round trips can be counted."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from types import TracebackType


class SlowLine:
    """Passes connections on, each byte `delay` seconds late, so that what waits for an answer stands apart.

    `connections` counts them, `round_trips` how often the near side spoke and was answered. What it says without having
    waited for an answer, which takes two delays to come, is one speech, however the answers fall into it.
    """

    def __init__(self, to: tuple[str, int], delay: float) -> None:
        self._to = to
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._heard: list[list[tuple[float, str]]] = []
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0

    @property
    def round_trips(self) -> int:
        return sum(map(self._answered, self._heard))

    def _answered(self, heard: list[tuple[float, str]]) -> int:
        trips, spoke, open_ = 0, float("-inf"), False
        for at, direction in tuple(heard):
            if direction == "up":
                open_ = open_ or at - spoke >= 1.5 * self._delay
                spoke = at
            elif open_:
                trips, open_ = trips + 1, False
        return trips

    def __enter__(self) -> SlowLine:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(self._to)
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._heard.append([])
                self._carry(near, far, "up", self._heard[-1])
                self._carry(far, near, "down", self._heard[-1])

    def _carry(
        self, source: socket.socket, sink: socket.socket, direction: str, heard: list[tuple[float, str]]
    ) -> None:
        under_way: queue.Queue[tuple[float, bytes]] = queue.Queue()

        def take() -> None:
            data = b"-"
            while data:
                try:
                    data = source.recv(1 << 20)
                except OSError:
                    data = b""
                if data:
                    heard.append((time.monotonic(), direction))
                under_way.put((time.monotonic() + self._delay, data))

        def give() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, data = under_way.get()
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not data:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    sink.sendall(data)

        for work in (take, give):
            threading.Thread(target=work, daemon=True).start()
