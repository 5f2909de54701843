"""What the trials on lab hosts share: the declaration, the command, its environment, the options."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from staff_list import staff_list

from mailprov.lab import LabHost

MAILPROV = (sys.executable, "-c", "from mailprov.commands import main; main()")
PACKAGES = ("dovecot-core", "dovecot-lmtpd", "dovecot-pop3d", "dovecot-imapd", "postfix", "openssl", "nftables")
DOMAIN = "example.com"

_DECLARED = """\
mailprov: 1
hosts:
{hosts}
domains: [{{name: example.com, catch_all: user0@example.com}}]
users:
  - from_csv: staff.csv
{more}tls: {{certificate: {{file: certificate.pem}}, key: {{file: key.pem}}}}
services: {{pop3: true, imap: true, submission: true, smtp: true}}
firewall: {{manage: true}}
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A host as every tool reaches it."""

    name: str
    address: str
    hostname: str = ""
    port: int = 22


@dataclass(frozen=True, slots=True)
class Access:
    """The key that opens every host, and the file that knows theirs."""

    identity_file: Path
    known_hosts: Path


def member(host: LabHost) -> Member:
    """A lab's host under its own name."""
    return Member(host.name, host.address, f"{host.name}.{DOMAIN}")


def access(hosts: Sequence[LabHost], folder: Path) -> Access:
    """How a lab's hosts are reached; their known_hosts become one file in `folder`."""
    known = folder / "known_hosts"
    known.write_text("".join(host.known_hosts.read_text() for host in hosts))
    return Access(hosts[0].identity_file, known)


def declare(folder: Path, members: Sequence[Member], how: Access, *, more: str = "") -> Path:
    """Write mail.yaml for mail servers with all listeners and a firewall, whose users are those in staff.csv.

    `more` are further users, as lines of YAML.
    """
    ssh = f"{{user: root, identity_file: {how.identity_file}, known_hosts: {how.known_hosts}, port: %d}}"
    hosts = [f"  {m.name}: {{address: {m.address}, hostname: {m.hostname}, ssh: {ssh % m.port}}}" for m in members]
    file = folder / "mail.yaml"
    file.write_text(_DECLARED.format(hosts="\n".join(hosts), more=more), encoding="utf-8")
    if not (folder / "key.pem").exists():
        certify(folder)
    return file


def employ(folder: Path, users: int) -> None:
    """Write staff.csv with so many users."""
    (folder / "staff.csv").write_text(staff_list(users), encoding="utf-8")


def certify(folder: Path) -> None:
    """Make a key and a certificate for every host of the domain."""
    names = ("-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:*.{DOMAIN}")
    made = ("-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem", "-days", "300", "-nodes")
    words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *made, *names)
    subprocess.run(words, check=True, capture_output=True)


def environment(cache: Path) -> dict[str, str]:
    """The environment of a measured program; Python's byte-code is kept in `cache`, as an installation has it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(cache)}


def options(description: str | None, *, rounds: int) -> argparse.Namespace:
    """The options of a trial on one host."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--release", default="bookworm")
    return parser.parse_args()
