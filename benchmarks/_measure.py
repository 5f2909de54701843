"""One run of a program and of all that it starts: seconds, memory, and what went over the hosts' links."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailprov.lab.process import doomed

_INTERVAL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall clock and of CPU, bytes to and from the hosts, frames and all.

    `memory` is the most that all its processes had together, in bytes (proportional set size), 0 where not looked at.
    """

    wall: float
    cpu: float
    sent: int
    received: int
    memory: int
    status: int
    said: str
    complained: str


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    links: Sequence[str] = (),
    watched: bool = False,
) -> Sample:
    """Run a command in a process namespace of its own, so that what it leaves running ends with it, and is counted.

    `links` are the network interfaces that lead to its hosts. To be `watched` costs some time: not for timed runs.
    """
    output, errors = folder / "output", folder / "errors"
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        before, begun = _traffic(links), time.perf_counter()
        process = subprocess.Popen(
            doomed(command), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        watch = _Watch(process.pid) if watched else None
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    memory = watch.end() if watch else 0
    sent, received = (now - then for now, then in zip(_traffic(links), before, strict=True))
    said, complained = (file.read_text(encoding="utf-8", errors="replace") for file in (output, errors))
    return Sample(wall, used.ru_utime + used.ru_stime, sent, received, memory, process.returncode, said, complained)


def _traffic(links: Sequence[str]) -> tuple[int, int]:
    """Bytes that have gone out and come in."""

    def total(counter: str) -> int:
        return sum(int(Path(f"/sys/class/net/{link}/statistics/{counter}").read_text()) for link in links)

    return total("tx_bytes"), total("rx_bytes")


class _Watch:
    """Looks again and again at how much memory a process and its descendants have."""

    def __init__(self, pid: int) -> None:
        import psutil

        self._errors = psutil.Error
        self._root = psutil.Process(pid)
        self._most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """The most that there was, in bytes."""
        self._over.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while not self._over.wait(_INTERVAL_SECONDS):
            try:
                family = (self._root, *self._root.children(recursive=True))
            except self._errors:
                continue
            self._most = max(self._most, sum(map(self._size, family)))

    def _size(self, process: object) -> int:
        try:
            return int(process.memory_full_info().pss)  # type: ignore[attr-defined]
        except self._errors:
            return 0


def require_psutil() -> None:
    """End with what to do where psutil is missing."""
    try:
        import psutil  # noqa: F401
    except ImportError:
        sys.exit("psutil is missing: pip install -e '.[bench]'")
