"""A set of disposable machines that lives as long as a `with` block, and never longer than its process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mailprov.lab.errors import LabError
from mailprov.lab.host import LabHost, generate_key
from mailprov.lab.layers import Cache, Layer, release_named
from mailprov.lab.requirements import require
from mailprov.lab.slots import claim

_DEFAULT_CACHE = "/var/cache/mailprov/lab"
_CACHE_VARIABLE = "MAILPROV_LAB_CACHE"
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_NEEDED = 4096


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What to boot: a host `name` on a `release` with `packages`, or on a `layer`."""

    name: str
    release: str = "bookworm"
    packages: tuple[str, ...] = ()
    layer: Layer | None = None


def _to_stderr(message: str) -> None:
    # One write: print() makes two, and lines of several threads would mix.
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


class Lab:
    """Disposable machines on this machine; a context manager.

    Making one raises LabError if this machine lacks something (see `requirements`). `cache` keeps the base
    roots (default: $MAILPROV_LAB_CACHE or /var/cache/mailprov/lab); `progress` is told what takes long.
    """

    def __init__(self, *, cache: Path | None = None, progress: Callable[[str], None] = _to_stderr) -> None:
        require()
        _raise_inotify_limit()
        directory = (cache or Path(os.environ.get(_CACHE_VARIABLE) or _DEFAULT_CACHE)).resolve()
        self._slot = claim(directory / "run", progress)
        self._cache = Cache(directory, self._slot.cgroup, progress)
        self._hosts: dict[str, LabHost] = {}
        self._lock = threading.Lock()
        self._closed = False
        # A machine dies with the thread that started it, so one thread that lives as long as the lab starts all.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-spawner")
        try:
            self._identity = self._slot.directory / "id_ed25519"
            generate_key(self._identity, "mailprov lab")
            for name in ("hosts", "layers"):
                (self._slot.directory / name).mkdir()
        except BaseException:
            self.close()
            raise

    def boot(
        self, name: str, release: str = "bookworm", *, packages: Sequence[str] = (), layer: Layer | None = None
    ) -> LabHost:
        """Boot a new machine and return it when it is up. May be called from several threads at once.

        It runs a plain Debian `release` (codename or number) with `packages` installed, or starts from `layer`
        (see `LabHost.snapshot`), which decides the release. LabError if it cannot be made or does not come up.
        """
        if layer is not None and packages:
            raise LabError("a host is booted from a layer or with packages, not both", where=name)
        if layer is None:
            layer = self._cache.with_packages(release_named(release), packages)
        with self._lock:
            if self._closed:
                raise LabError("the lab is closed", where=name)
            if name in self._hosts:
                raise LabError(f"the lab has a host {name!r} already", fix="take another name, or discard() it")
            directory = self._slot.directory / "hosts" / name
            host = LabHost(name, layer, self._slot.place(), directory, self._identity, self._spawn)
            self._hosts[name] = host
        try:
            host.start()
        except BaseException:
            self.discard(host)
            raise
        return host

    def boot_all(self, specs: Sequence[HostSpec]) -> list[LabHost]:
        """Boot several machines at once; return them in the order of `specs`. LabError if any does not come up."""
        with ThreadPoolExecutor(max_workers=max(1, len(specs))) as pool:
            booting = [
                pool.submit(self.boot, spec.name, spec.release, packages=spec.packages, layer=spec.layer)
                for spec in specs
            ]
            try:
                wait(booting)
            except BaseException:
                # Ctrl-C: without this the pool would wait until everything is built and booted.
                self.close()
                raise
        return [future.result() for future in booting]

    def discard(self, host: LabHost) -> None:
        """Cut a host's power, delete its disk and free its name and address. Layers made of it stay."""
        host.retire()
        with self._lock:
            if self._hosts.pop(host.name, None) is host:
                self._slot.vacate(host.place)

    def close(self) -> None:
        """End all machines at once and remove everything of the lab but the cache. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            hosts = list(self._hosts.values())
        self._cache.abandon()
        try:
            with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
                for host in hosts:
                    pool.submit(host.retire)
        finally:
            self._spawner.shutdown()
            self._slot.release()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self, argv: Sequence[str], console: Path) -> subprocess.Popen[bytes]:
        def start() -> subprocess.Popen[bytes]:
            with console.open("ab") as output:
                # A session of its own: Ctrl-C at the terminal must reach the controller only.
                return subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )

        return self._spawner.submit(start).result()


def _raise_inotify_limit() -> None:
    # Every systemd needs several inotify instances, all counted on one root user: the usual limit of 128 ends
    # at about 18 machines. The limit stays raised; lowering it under a running lab of somebody else would hurt.
    with suppress(OSError, ValueError):
        if int(_INOTIFY.read_text()) < _INOTIFY_NEEDED:
            _INOTIFY.write_text(str(_INOTIFY_NEEDED))
