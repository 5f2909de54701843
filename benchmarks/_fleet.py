"""Lab hosts that any of the tools can manage, and what is seen of them."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from _peers import CACHE
from _trial import PACKAGES, Access, Member

from mailprov.lab import HostSpec, Lab, LabHost, Layer
from mailprov.model import HostSpec as Declared
from mailprov.model import Spec
from mailprov.workflows.session import session
from mailprov.workflows.survey import script

RELEASE = "bookworm"
PYTHON = ("python3", "python3-apt")
"""what Ansible needs on a host"""
TOGETHER = 4
"""hosts that boot at the same time"""
_MIRROR = os.environ.get("MAILPROV_LAB_MIRROR") or "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


_INSTALL = """\
set -e
mkdir /srv/python
cd /srv/python
tar -x
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q --yes --no-install-recommends install ./*.deb
rm -r /srv/python
# What apt's own daily job leaves behind, and tools look at before they read the lists again.
mkdir -p /var/lib/apt/periodic
touch /var/lib/apt/periodic/update-success-stamp
"""


def prepared(lab: Lab, *, installed: bool) -> Layer:
    """A Debian with Python, for Ansible; with `installed` the mail servers' packages are there, too."""
    host = lab.boot("first", RELEASE, packages=PACKAGES if installed else ())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for package in _packages(host.read("/var/lib/dpkg/status")):
            archive.add(package, package.name)
    host.run(("sh", "-c", _INSTALL), stdin=packed.getvalue())
    host.stop()
    layer = host.snapshot()
    lab.discard(host)
    return layer


def _packages(status: bytes) -> list[Path]:
    """Python's packages for a host with this dpkg status, fetched from Debian's mirror where they are not here."""
    folder = CACHE / f"python-{RELEASE}"
    if not (folder / "ready").exists():
        for part in ("lists/partial", "archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_bytes(status)
        (folder / "sources").write_text(f"deb [signed-by={_KEYRING}] {_MIRROR} {RELEASE} main\n")
        places = {
            "Dir::State::status": folder / "status",
            "Dir::State::Lists": folder / "lists",
            "Dir::Cache": folder,
            "Dir::Cache::archives": folder / "archives",
            "Dir::Etc::SourceList": folder / "sources",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Debug::NoLocking": "1",
        }
        apt = ("apt-get", "-q", *(word for name, value in places.items() for word in ("-o", f"{name}={value}")))
        print(f"fetching {' '.join(PYTHON)} for {RELEASE} into {folder}", file=sys.stderr)
        for words in (("update",), ("--yes", "--no-install-recommends", "--download-only", "install", *PYTHON)):
            subprocess.run((*apt, *words), check=True, stdout=subprocess.DEVNULL)
        (folder / "ready").touch()
    return sorted(folder.glob("archives/*.deb"))


def boot(lab: Lab, layer: Layer, count: int) -> list[LabHost]:
    """So many hosts from a layer, a few at a time."""
    specs = [HostSpec(f"mail{number:02}", layer=layer) for number in range(1, count + 1)]
    return [host for at in range(0, count, TOGETHER) for host in lab.boot_all(specs[at : at + TOGETHER])]


def links(hosts: Sequence[LabHost]) -> tuple[str, ...]:
    """The network interfaces that lead to hosts."""
    return tuple(host.place.name for host in hosts)


_STATE = """\
for path; do stat -c '%F %a %U %G %n' "$path" || echo "none $path"; done
for path; do shift; [ ! -f "$path" ] || set -- "$@" "$path"; done
sha256sum -- "$@"
systemctl is-enabled dovecot postfix mailprov-firewall; systemctl is-active dovecot postfix mailprov-firewall
nft -s list table inet mailprov
"""


def state(host: LabHost, paths: Sequence[str]) -> str:
    """What all tools must agree on: files with their owners, services, and the firewall's table in the kernel."""
    return host.run(("sh", "-c", _STATE, "sh", *paths), check=False).stdout.decode()


# --- many hosts that are one

# Shared address space (RFC 6598): it is no lab's, and a route for this part of it leads to the lab's own host.
NETWORK = IPv4Network("100.127.240.0/20")
# Whatever a thousand machines do, each with its own processor, one does here: no log is kept, no second shell started.
_SSHD = f"""
MaxStartups 4096
UsePAM no
LogLevel QUIET
Match LocalAddress {NETWORK}
    ForceCommand set -- $SSH_CONNECTION; exec cat "/srv/replay/$3"
"""


def multiply(host: LabHost, spec: Spec, declared: Declared, how: Access, count: int) -> list[Member]:
    """Make `host` answer under `count` addresses, as so many machines with names of their own for themselves.

    sshd, its key exchange and its login are real each time. What it then runs is not the script, but `cat` of what the
    script said on this host just before, with a machine id of its own for each address: on a real fleet each machine
    does that work with its own processor.
    """
    with session(declared) as opened:
        answer = opened.run(("sh", "-s"), stdin=script(spec, declared)).stdout.decode()
    addresses = [NETWORK.network_address + number for number in range(1, count + 1)]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for address in addresses:
            _add(archive, str(address), _as_another(answer))
    host.run(("sh", "-c", "mkdir -p /srv/replay && tar -x -C /srv/replay"), stdin=packed.getvalue())
    batch = "".join(f"address add {address}/32 dev host0\n" for address in addresses)
    host.run(("ip", "-batch", "-"), stdin=batch.encode())
    host.run(
        ("sh", "-c", "cat >>/etc/ssh/sshd_config && usermod --shell /bin/sh root && systemctl restart ssh"),
        stdin=_SSHD.encode(),
    )
    route = ("ip", "route", "replace", str(NETWORK), "via", host.address, "dev", host.place.name, "onlink")
    subprocess.run(route, check=True)
    key = host.known_hosts.read_text().split(None, 1)[1]
    with how.known_hosts.open("a") as stream:
        stream.writelines(f"{address} {key}" for address in addresses)
    return [_renamed(address, declared.hostname) for address in addresses]


def _renamed(address: IPv4Address, hostname: str) -> Member:
    return Member(f"mail{int(address) - int(NETWORK.network_address):04}", str(address), hostname)


def _as_another(answer: str) -> str:
    """The same answer from another machine."""
    other, count = re.subn(r"(?m)^facts machine .*$", f"facts machine {uuid.uuid4().hex}", answer)
    if count != 1:
        raise ValueError(f"the answer names {count} machines")
    return other


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))
