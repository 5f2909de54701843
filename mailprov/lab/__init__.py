"""Disposable real Debian hosts on this machine, booted with systemd-nspawn.

    with Lab() as lab:
        host = lab.boot("mail", "bookworm")
        host.run(("systemctl", "is-system-running"))

Everything a lab makes is gone when the `with` block ends, and also when the controlling process is killed.
"""

from mailprov.lab.cable import connect
from mailprov.lab.errors import LabError
from mailprov.lab.host import LabHost
from mailprov.lab.lab import HostSpec, Lab
from mailprov.lab.layers import RELEASES, Layer, Release
from mailprov.lab.requirements import Requirements, requirements

__all__ = [
    "RELEASES",
    "HostSpec",
    "Lab",
    "LabError",
    "LabHost",
    "Layer",
    "Release",
    "Requirements",
    "connect",
    "requirements",
]
