"""The read-only parts that machines boot from: a base root per release, and package layers upon it.

Both are built once per machine and kept in the cache. A build writes to a temporary directory that is
renamed when complete, under a lock: of several builders one builds and the others wait.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailprov.lab import cgroups
from mailprov.lab.bootstrap import RECIPE, bootstrap
from mailprov.lab.disk import Disk
from mailprov.lab.errors import LabError
from mailprov.lab.nspawn import REPOSITORY, container
from mailprov.lab.process import Running, call, locked, must, tail

# Part of the names in the cache: raise it when the recipe changes, and everything is built anew.
_FORMAT = 2
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_INSTALL = """\
set -e
apt-get update
apt-get install --yes --no-install-recommends -- "$@"
apt-get clean
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A Debian release that a lab can boot."""

    codename: str
    number: int


RELEASES = (Release("bullseye", 11), Release("bookworm", 12), Release("trixie", 13))


def release_named(name: str) -> Release:
    """Return the release with that codename or number; LabError if there is none."""
    for release in RELEASES:
        if name in (release.codename, str(release.number)):
            return release
    known = ", ".join(f"{release.codename} ({release.number})" for release in RELEASES)
    raise LabError(f"the lab has no release {name!r}", fix=f"take one of {known}")


@dataclass(frozen=True, slots=True)
class Layer:
    """Something to boot from: read-only directories, topmost first, and the package repository that fits."""

    release: Release
    directories: tuple[Path, ...]
    repository: Path


class Cache:
    """The layers kept in `directory`, built in control groups below `cgroup`.

    Safe for several threads and processes at once.
    """

    def __init__(self, directory: Path, cgroup: str, progress: Callable[[str], None]) -> None:
        self.directory = directory
        self._cgroup = cgroup
        self._running = Running()
        self._progress = progress

    def base(self, release: Release) -> Layer:
        """Return the base of a release, built now if it is not there. LabError if the build fails."""
        done = self.directory / f"base-{_FORMAT}-{RECIPE}-{release.codename}"
        with self._building(done, f"base of {release.codename}") as temporary:
            if temporary is not None:
                bootstrap(release.codename, temporary, self._running)
                (temporary / "identity").write_text(uuid.uuid4().hex)
        return Layer(release, (done / "root",), done / "repository")

    def with_packages(self, release: Release, packages: Iterable[str]) -> Layer:
        """Return the base of a release with `packages` installed, built now if it is not there.

        LabError if a package's name is malformed or it cannot be installed.
        """
        base = self.base(release)
        wanted = sorted(set(packages))
        if not wanted:
            return base
        for package in wanted:
            if not _PACKAGE.fullmatch(package):
                raise LabError(f"not a package name: {package!r}")
        identity = (base.repository.parent / "identity").read_text()
        digest = hashlib.sha256(" ".join((identity, *wanted)).encode()).hexdigest()[:16]
        done = self.directory / f"packages-{_FORMAT}-{release.codename}-{digest}"
        with self._building(done, f"{release.codename} with {' '.join(wanted)}") as temporary:
            if temporary is not None:
                self._install(base, wanted, temporary)
        return Layer(release, (done / "root", *base.directories), base.repository)

    def abandon(self) -> None:
        """Make every build that runs now, or is begun later, fail."""
        self._running.end()

    @contextmanager
    def _building(self, done: Path, what: str) -> Iterator[Path | None]:
        """Give a temporary directory to build in, renamed to `done` at the end; or None if it is built."""
        if done.is_dir():
            yield None
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self.directory / f".{done.name}.lock"
        with locked(lock, lambda: self._progress(f"lab: another process is building the {what}; waiting")):
            if done.is_dir():
                yield None
                return
            self._progress(f"lab: building the {what} (once; kept in {self.directory})")
            temporary = self.directory / f".{done.name}.new"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            try:
                yield temporary
                # On disk before it gets its name: a power cut must not leave half a layer under the final name.
                must(("sync", "--file-system", str(temporary)), "the lab's cache cannot be written")
                temporary.rename(done)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            self._progress(f"lab: the {what} is ready")

    def _install(self, base: Layer, packages: list[str], into: Path) -> None:
        disk = Disk(into / "disk", base.directories)
        # Nothing may start while it is installed: the packages' services start when the machine boots.
        disk.place("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        options = (
            *("--as-pid2", "--private-network", "--console=pipe", "--hostname=debian"),
            "--setenv=DEBIAN_FRONTEND=noninteractive",
            f"--bind-ro={base.repository}:{REPOSITORY}",
        )
        command = ("sh", "-c", _INSTALL, "sh", *packages)
        # nspawn makes groups below the one it runs in, and leaves them behind.
        cgroup = f"{self._cgroup}/{into.name}"
        argv = container(disk, "mplab-build", options, command, cgroups.create(cgroup))
        try:
            done = call(argv, running=self._running)
        finally:
            cgroups.clear(cgroup)
        if done.returncode != 0:
            raise LabError(
                f"{' '.join(packages)} cannot be installed in {base.release.codename}",
                why=tail(done.stdout + done.stderr),
                fix=f"only what is in {base.repository} can be installed",
            )
        disk.withdraw("/usr/sbin/policy-rc.d")
        disk.freeze(into / "root")
        disk.remove()
