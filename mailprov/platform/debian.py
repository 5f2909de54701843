"""Debian: its releases, and what its packages are called and come with (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mailprov.errors import HostError
from mailprov.model.listeners import OpenPort, Process

NAME = "Debian"
OS = "debian"
"""what os-release(5) calls it"""

_DOVECOT = {"11": "2.3.13", "12": "2.3.19", "13": "2.4.1"}
RELEASES = tuple(_DOVECOT)
"""those that are known here"""

_SSH_PROGRAMS = ("/usr/sbin/sshd", "/usr/sbin/dropbear")
_SSH_UNITS = re.compile(r"(ssh|sshd|dropbear)([-@][^/]*)?\.(service|socket)")


def dovecot(sections: Mapping[str, str], facts: Mapping[str, str]) -> str:
    """Dovecot's version: the one installed, else the one that apt would install, else the one of the release.

    Raises HostError for one that is none.
    """
    for line in sections.get("packages", "").splitlines():
        status, name, version = (*line.split("|"), "", "")[:3]
        if name == "dovecot-core" and status.startswith(("ii", "hi")):
            return _upstream(version)
    candidate = facts.get("candidate", "")
    if candidate and candidate != "(none)":
        return _upstream(candidate)
    return released(facts["release"])


def ssh(port: OpenPort) -> bool:
    """Whether an SSH server of root's is reached there from elsewhere."""
    if port.protocol != "tcp" or not port.public:
        return False
    if port.socket:
        return _SSH_UNITS.fullmatch(port.socket) is not None
    return any(map(_serves_ssh, port.processes))


def _serves_ssh(process: Process) -> bool:
    """A session is below the server, and what is forwarded to it (ssh -R) is no way in."""
    if process.uid != 0 or process.parent != 1:
        return False
    if process.program:
        return process.program in _SSH_PROGRAMS
    return _SSH_UNITS.fullmatch(process.unit) is not None


def released(release: str) -> str:
    """The Dovecot that a release came with."""
    return _DOVECOT[release]


def _upstream(version: str) -> str:
    """The upstream part of a Debian version: "2.3.19.1" of "1:2.3.19.1+dfsg1-2.1" (deb-version(7))."""
    found = re.match(r"(?:[0-9]{1,9}:)?([0-9]{1,9}(?:\.[0-9]{1,9})+)", version)
    if found is None:
        raise HostError("the host's Dovecot has a version that means nothing here", why=ascii(version[:80]))
    return found[1]
