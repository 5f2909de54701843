"""What a machine needs before it can run a lab."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from mailprov.lab.errors import LabError

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_PROGRAMS = (
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("ssh-keygen", "openssh-client"),
    ("dpkg-deb", "dpkg"),
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is `missing` on this machine, and the `fix`: one command, or words where no command helps."""

    missing: tuple[str, ...]
    fix: str

    @property
    def met(self) -> bool:
        """Whether a lab can run here."""
        return not self.missing


def requirements() -> Requirements:
    """Return what this machine lacks for running a lab; `missing` is empty if it lacks nothing."""
    if not sys.platform.startswith("linux"):
        return Requirements(("Linux (this is " + sys.platform + ")",), "run the lab on a Linux machine")
    absent = [(program, package) for program, package in _PROGRAMS if shutil.which(program) is None]
    missing = [program for program, _ in absent]
    packages = {package for _, package in absent}
    if not _KEYRING.exists():
        missing.append(str(_KEYRING))
        packages.add("debian-archive-keyring")
    cures = []
    if packages:
        cures.append(" ".join(("apt-get install --yes", *sorted(packages))))
    if os.geteuid() != 0:
        missing.append("root (namespaces and mounts need it)")
        cures.append("run as root (sudo)")
    return Requirements(tuple(missing), "; then ".join(cures))


def require() -> None:
    """Return if a lab can run here; otherwise raise LabError naming what is missing and the cure."""
    lacks = requirements()
    if not lacks.met:
        raise LabError("this machine cannot run a lab", why="missing: " + ", ".join(lacks.missing), fix=lacks.fix)
