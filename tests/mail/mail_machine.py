"""A mail host in the lab with its declaration, managed by the real command line in a process of its own."""

from __future__ import annotations

import copy
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mail_certificates import Certificate, certificate
from warm import Warm

from mailprov.credentials.passwords import sha512_crypt
from mailprov.lab import Lab, LabHost
from mailprov.lab.layers import Layer
from mailprov.model import Secret

HOSTNAME = "mail.example.test"
CHINESE = "xn--fsqu00a.xn--55qx5d"  # 例子.公司
PORTS = {"pop3": 110, "pop3s": 995, "imap": 143, "imaps": 993, "submission": 587, "submissions": 465, "smtp": 25}

ALICE = "alice@example.test"
BOB = "bob@example.test"  # POP3 only, and owns the password
CAROL = "carol@other.test"  # may hold 300 KiB
DAVE = "dave@other.test"  # gets what nobody else does there
ERIN = "erin@example.test"  # may log in from elsewhere only
FRANK = "frank@example.test"  # may log in from the lab's networks
LI = f"li@{CHINESE}"
USERS = (ALICE, BOB, CAROL, DAVE, ERIN, FRANK, LI)
PASSWORDS = {address: f"secret of {address.partition('@')[0]}" for address in USERS}
HASHES = {address: sha512_crypt(Secret(password)).reveal() for address, password in PASSWORDS.items()}

DECLARATION: dict[str, Any] = {
    "mailprov": 1,
    "hosts": {"mail1": {"hostname": HOSTNAME}},
    "domains": ["example.test", {"name": "other.test", "catch_all": DAVE}, "例子.公司"],
    "users": [
        {"address": ALICE, "password": {"hash": HASHES[ALICE]}, "quota": "1GiB", "aliases": ["sales@example.test"]},
        {"address": BOB, "password": {"initial": {"env": "BOB_INITIAL"}}, "protocols": ["pop3"]},
        {"address": CAROL, "password": {"hash": HASHES[CAROL]}, "quota": "300KiB"},
        {"address": DAVE, "password": {"hash": HASHES[DAVE]}},
        {"address": ERIN, "password": {"hash": HASHES[ERIN]}, "allow_from": ["203.0.113.0/24"]},
        {"address": FRANK, "password": {"hash": HASHES[FRANK]}, "allow_from": ["203.0.113.0/24", "198.18.0.0/15"]},
        {"address": "li@例子.公司", "password": {"hash": HASHES[LI]}},
    ],
    "aliases": [
        {"address": "team@example.test", "to": [ALICE, "everyone@other.test"]},
        {"address": "everyone@other.test", "to": [DAVE]},
    ],
    "tls": {"certificate": {"file": "mail.pem"}, "key": {"file": "mail.key"}},
    "services": {
        "pop3": {"starttls": 110, "tls": 995},
        "imap": {"starttls": 143, "tls": 993},
        "submission": {"starttls": 587, "tls": 465},
        "smtp": {"port": 25},
    },
    "firewall": {"manage": True},
}


class Ran(NamedTuple):
    """A command line that has ended."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


class Machine:
    """A lab host, what is declared of it (`declared`, written out before each command), and its CA."""

    def __init__(self, host: LabHost, folder: Path, ca: Certificate, shown: Certificate) -> None:
        self.host = host
        self.address = host.address
        self.folder = folder
        self.ca = ca
        folder.mkdir()
        self.roots = folder / "ca.pem"
        self.roots.write_text(ca.pem)
        self.declared = copy.deepcopy(DECLARATION)
        ssh = {"user": "root", "identity_file": str(host.identity_file), "known_hosts": str(host.known_hosts)}
        self.declared["hosts"]["mail1"] |= {"address": host.address, "ssh": ssh}
        self.environment = {"BOB_INITIAL": PASSWORDS[BOB]}
        self.prelude = ""
        self._numbers = itertools.cycle(range(100, 254))
        self.show(shown)

    # --- the declaration

    def show(self, shown: Certificate) -> None:
        """Declare another certificate."""
        self.shown = shown
        (self.folder / "mail.pem").write_text(shown.pem)
        (self.folder / "mail.key").touch(0o600)
        (self.folder / "mail.key").write_text(shown.key_pem)

    def renew(self) -> None:
        """Declare a new certificate with a new key."""
        self.show(certificate(HOSTNAME, self.ca))

    def user(self, address: str) -> dict[str, Any]:
        """A declared user, to be changed."""
        found: dict[str, Any] = next(user for user in self.declared["users"] if user["address"] == address)
        return found

    # --- the command line

    def start(self, *arguments: str, by: type[subprocess.Popen[str]] = subprocess.Popen) -> subprocess.Popen[str]:
        """Start `mailprov ARGUMENTS` on the declaration."""
        (self.folder / "mail.yaml").write_text(yaml.safe_dump(self.declared, allow_unicode=True))
        return by(
            [sys.executable, "-c", f"{self.prelude}\nfrom mailprov.commands import main; main()", *arguments],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def mailprov(self, *arguments: str, timeout: float = 240) -> Ran:
        """Run `mailprov ARGUMENTS` on the declaration to its end."""
        return ended(self.start(*arguments, by=Warm), timeout)

    def plan(self, *more: str) -> Ran:
        return self.mailprov("plan", "--detailed-exitcode", *more)

    def apply(self, *more: str) -> Ran:
        return self.mailprov("apply", "--yes", *more)

    # --- the host, out of band

    def sh(self, script: str, *words: str, check: bool = True) -> str:
        """Run a shell script on the host, not over the network."""
        return self.host.run(("sh", "-c", script, "sh", *words), check=check).stdout.decode("utf-8", "replace")

    def daemons(self) -> str:
        """Which processes Dovecot's and Postfix's masters are, and when systemd began to call them active."""
        shown = f"systemctl show -p ActiveState -p ActiveEnterTimestampMonotonic dovecot {self.postfix}"
        return self.sh(f"{shown}; cat /run/dovecot/master.pid /var/spool/postfix/pid/master.pid")

    @property
    def postfix(self) -> str:
        """The unit that really runs Postfix."""
        return "postfix" if self.host.release == "trixie" else "postfix@-"

    def reloads(self) -> int:
        """How often systemd has reloaded a service."""
        return int(self.sh("journalctl -q -o cat _PID=1 JOB_TYPE=reload | grep -c '^Reloaded' || :"))

    def mark(self) -> str:
        """A place in the journal, for `journal`."""
        return self.sh("journalctl -q -n 0 --show-cursor").split("cursor: ")[1].strip()

    def journal(self, since: str) -> str:
        """The journal since a mark."""
        return self.sh('journalctl -q -o cat --after-cursor "$1"', since)

    def files(self) -> dict[str, str]:
        """What each file is: inode, times of change, size, mode, owner. Left out are logs, what the daemons keep for
        themselves, and /run, where a login leaves its traces."""
        own = "/var/log /var/spool/postfix /var/lib/postfix /run"
        prune = " -o ".join(f"-path {folder}" for folder in own.split())
        shown = "-printf '%p\\t%i %T@ %C@ %s %m %U:%G\\n'"
        find = f"find / /tmp /dev/shm /run/lock -xdev \\( {prune} \\) -prune -o {shown}"
        return dict(line.rsplit("\t", 1) for line in self.sh(find).splitlines() if "\t" in line)

    def client_address(self) -> str:
        """Another address from which this machine reaches the host.

        Dovecot answers an address more and more slowly after failed logins: who may fail takes one of these."""
        network = self.host.place.gateway.rpartition(".")[0]
        address = f"{network}.{next(self._numbers)}"
        argv = ("ip", "address", "replace", f"{address}/32", "dev", self.host.place.name)
        subprocess.run(argv, check=True, capture_output=True)
        return address


def ended(process: subprocess.Popen[str], timeout: float = 240) -> Ran:
    """Wait for a command line; it never takes a traceback with it."""
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    ran = Ran(process.returncode, out, err)
    assert "Traceback" not in ran.said and "has a mistake" not in ran.said, ran.said
    return ran


def eventually(check: Callable[[], object], seconds: float = 10) -> bool:
    """Whether `check` comes true in time."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@dataclass(frozen=True)
class Converged:
    """A host after its first apply: how that went, what the journal says of it, and a layer to boot others from."""

    mail: Machine
    lab: Lab
    first: Ran
    journal: str
    layer: Layer
