"""One control group per machine: machines that share one kill each other's services."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from mailprov.lab.errors import LabError

_ROOT = Path("/sys/fs/cgroup")


def create(name: str) -> tuple[Path, ...]:
    """Make the control group `name` (may hold slashes) in every hierarchy systemd uses; return its directories."""
    made = tuple(hierarchy / name for hierarchy in _hierarchies())
    for directory in made:
        directory.mkdir(parents=True, exist_ok=True)
    return made


def clear(name: str, patience: float = 10.0) -> None:
    """Kill every process in the control group `name` and remove it; LabError if some process will not die."""
    deadline = time.monotonic() + patience
    while not _cleared(name):
        if time.monotonic() > deadline:
            raise LabError(f"the control group {name} cannot be removed", why="a process in it does not die")
        time.sleep(0.01)


def _hierarchies() -> tuple[Path, ...]:
    if (_ROOT / "cgroup.controllers").exists():
        return (_ROOT,)
    # The v1 and hybrid layouts: the memory hierarchy is separated too, so that no limit is shared.
    return tuple(path for path in (_ROOT / "systemd", _ROOT / "unified", _ROOT / "memory") if path.is_dir())


def _cleared(name: str) -> bool:
    gone = True
    for hierarchy in _hierarchies():
        for walked, _, _ in os.walk(hierarchy / name, topdown=False):
            directory = Path(walked)
            for pid in _processes(directory):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
    return gone


def _processes(directory: Path) -> list[int]:
    try:
        listed = (directory / "cgroup.procs").read_text()
    except OSError:
        return []
    # 0 stands for a process that this process namespace cannot see; kill(0) would hit ourselves.
    return [pid for pid in map(int, listed.split()) if pid > 0]
