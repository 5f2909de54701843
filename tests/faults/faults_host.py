"""A lab host that an apply is tried on: where its journal stops, what state it is in, and what it serves."""

from __future__ import annotations

import hashlib
import io
import json
import os
import poplib
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from faults_runner import patch
from faults_scenarios import ALICE, BOB, HOSTNAME, PASSWORDS, Declared
from mail_certificates import Certificate

from mailprov import cli, probe, spec, survey
from mailprov.lab import LabHost
from mailprov.model import Spec
from mailprov.plan import live
from mailprov.resources.maps import Map

RUNNER = Path(__file__).with_name("faults_runner.py")
PATIENCE = 180.0
"""seconds after which something that should have happened counts as never happening"""

# What no item of ours tells: who listens, what failed, which units are linked or masked, and what was left behind.
_MORE = r"""
ss -Hltnp | awk '/"(dovecot|master)"/ { print "listens", $4 }' | sort -u
systemctl --failed --plain --no-legend | awk '{ print "failed", $1 }'
find /etc/systemd/system /run/systemd/system -printf 'unit %P %l\n' | grep mailprov
find /etc/systemd/system /run/systemd/system \( -name 'dovecot*' -o -name 'postfix*' \) -printf 'unit %P %l\n' | sort
find /etc -name '.*.mailprov' -printf 'left behind %p\n'
find /var/lib/mailprov/txn -mindepth 2 -maxdepth 2 -name new -printf 'left behind %p\n' 2>/dev/null
nft list tables | sort
:
"""


@dataclass(frozen=True)
class Certificates:
    """The certificates that are declared, and who signed them."""

    ca: Certificate
    a: Certificate
    b: Certificate

    def write(self, folder: Path) -> None:
        """Put them where the declarations look for them."""
        (folder / "ca.pem").write_text(self.ca.pem)
        for name, shown in (("a", self.a), ("b", self.b)):
            (folder / f"{name}.pem").write_text(shown.pem)
            (folder / f"{name}.key").touch(0o600)
            (folder / f"{name}.key").write_text(shown.key_pem)

    def declared(self, declared: Declared) -> Certificate:
        """The one that a declaration names."""
        return self.a if declared["tls"]["certificate"]["file"] == "a.pem" else self.b


@dataclass(frozen=True)
class State:
    """A host's state, item by item. Packages, system users and the mail store stay: they are not compared."""

    items: Mapping[str, str]
    more: frozenset[str]

    def unlike(self, other: State) -> list[str]:
        """What differs."""
        names = {*self.items, *other.items}
        found = [name for name in sorted(names) if self.items.get(name) != other.items.get(name)]
        return (
            found
            + [f"+ {line}" for line in sorted(self.more - other.more)]
            + [f"- {line}" for line in sorted(other.more - self.more)]
        )


class Patient:
    """The host under test, with its declarations in `folder`."""

    def __init__(self, host: LabHost, folder: Path, certificates: Certificates) -> None:
        self.host = host
        self.folder = folder
        self.certificates = certificates
        folder.mkdir(parents=True)
        certificates.write(folder)

    # --- the declaration and the command line

    def declare(self, declared: Declared) -> Path:
        """Write a declaration for this host; its path."""
        ssh = {"user": "root", "identity_file": str(self.host.identity_file), "known_hosts": str(self.host.known_hosts)}
        declared["hosts"]["mail1"] |= {"address": self.host.address, "ssh": {**ssh, "connect_timeout": 5}}
        path = self.folder / "mail.yaml"
        path.write_text(yaml.safe_dump(declared))
        return path

    def spec(self, declared: Declared) -> Spec:
        """A declaration, read."""
        return spec.load(self.declare(declared), environ=_ENVIRONMENT, now=datetime.now(UTC))

    def start(self, declared: Declared, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start `mailprov ARGUMENTS` on a declaration, changed as `options` say."""
        self.declare(declared)
        return subprocess.Popen(
            [sys.executable, str(RUNNER), *arguments],
            cwd=self.folder,
            env={**os.environ, **_ENVIRONMENT, "HOME": str(self.folder), "MAILPROV_TEST": json.dumps(options)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def mailprov(self, declared: Declared, *arguments: str, **options: Any) -> tuple[int, str]:
        """Run `mailprov ARGUMENTS` to its end: its exit code, and what it said."""
        return ended(self.start(declared, *arguments, **options))

    def here(self, declared: Declared, *arguments: str, **options: Any) -> tuple[int, str]:
        """As `mailprov`, in this very process: many times faster to start."""
        path, said = self.declare(declared), io.StringIO()
        with redirect_stdout(said), redirect_stderr(said), pytest.MonkeyPatch.context() as patched:
            for name, value in _ENVIRONMENT.items():
                patched.setenv(name, value)
            patch(options, patched.setattr)
            status = cli.run([arguments[0], "-f", str(path), *arguments[1:]])
        return status, _end_of(said.getvalue())

    # --- where the journal stops

    def stop_at(self, event: str) -> None:
        """Make the next transaction's journal wait at this event."""
        self.sh('rm -rf /run/fault; mkdir -m 700 /run/fault; printf %s "$1" >/run/fault/event', event)

    def stopped(self, controller: subprocess.Popen[str]) -> tuple[int, str] | None:
        """The process that waits and its transaction, once it does; None when the controller ended before."""
        deadline = time.monotonic() + PATIENCE
        wait = "timeout 2 sh -c 'until [ -e /run/fault/at ]; do sleep 0.02; done'; cat /run/fault/at 2>/dev/null || :"
        while time.monotonic() < deadline:
            over = controller.poll() is not None
            found = self.sh(wait).split()
            if found:
                return int(found[0]), found[1]
            if over:
                return None
        raise AssertionError("the journal never came to the event")

    def go_on(self) -> None:
        """Let it go on."""
        self.sh("touch /run/fault/go")

    # --- what it is now

    def sh(self, script: str, *words: str, check: bool = True) -> str:
        """Run a shell script on the host, not over the network."""
        return self.host.run(("sh", "-c", script, "sh", *words), check=check).stdout.decode("utf-8", "replace")

    def state(self, *declared: Declared) -> State:
        """What the host is, in all that these declarations ask about."""
        items: dict[str, str] = {}
        for each in declared:
            read = self.spec(each)
            asked = survey.script(read, read.hosts["mail1"])
            answer = probe.parse(self.host.run(("sh", "-s"), stdin=asked).stdout)
            for key, item in live(answer.sections).items():
                if isinstance(item, Map):  # no two runs of postmap give the same bytes
                    item = replace(item, database="there" if item.database else "")
                if key.kind not in ("package", "user") and key.name != "/var/vmail":
                    items[str(key)] = item.fingerprint
        return State(items, frozenset(self.sh(_MORE).splitlines()))

    def rests(self, seconds: float = PATIENCE) -> str:
        """Wait until nothing is open, locked or at work; what still is, if something is."""
        look = r"""
            [ ! -e /var/lib/mailprov/open ] || echo "open: $(cat /var/lib/mailprov/open)"
            [ ! -e /var/lib/mailprov/lock ] || flock -n /var/lib/mailprov/lock true || echo "locked"
            systemctl list-units --all --plain --no-legend 'mailprov-2*' | cut -d ' ' -f 1
            systemctl list-jobs --plain --no-legend
            pgrep -f 'UNIT=mailprov[-]' | sed 's/^/taken in by /'
        """
        deadline = time.monotonic() + seconds
        while found := self.sh(look).strip():
            if time.monotonic() > deadline:
                return found.replace("\n", ", ")
            time.sleep(0.1)
        return ""

    def journals(self) -> str:
        """Every transaction's journal, for a failure's report."""
        return self.sh("cd /var/lib/mailprov/txn && tail -n 60 */journal || :", check=False)

    # --- what it serves

    def serves(self, declared: Declared) -> list[str]:
        """What is wrong with POP3, SMTP and each TLS listener, seen from outside."""
        wrong: list[str] = []
        want = self.certificates.declared(declared).fingerprint
        services = declared["services"]
        for name, listener in services.items():
            if port := listener.get("tls"):
                _try(wrong, f"{name} on {port}", lambda port=port: _same(self._shown(port), want))
        _try(wrong, "POP3", self._pop3)
        _try(wrong, "SMTP", self._smtp)
        return wrong

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.check_hostname = False
        return context

    def _shown(self, port: int) -> str:
        with (
            socket.create_connection((self.host.address, port), timeout=20) as connection,
            self._context().wrap_socket(connection, server_hostname=HOSTNAME) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
        return hashlib.sha256(der or b"").hexdigest()

    def _pop3(self) -> None:
        client = poplib.POP3_SSL(self.host.address, 995, timeout=20, context=self._context())
        client.user(BOB)
        client.pass_(PASSWORDS[BOB])
        client.stat()
        client.quit()

    def _smtp(self) -> None:
        with smtplib.SMTP(self.host.address, 25, local_hostname="mx.elsewhere.test", timeout=20) as client:
            client.starttls(context=self._context())
            client.ehlo()
            client.mail("")
            code, said = client.rcpt(ALICE)
            if code != 250:
                raise OSError(f"RCPT: {code} {said!r}")


_ENVIRONMENT = {"BOB_INITIAL": PASSWORDS[BOB]}


def _same(shown: str, wanted: str) -> None:
    if shown != wanted:
        raise OSError("another certificate is served")


def _try(wrong: list[str], what: str, act: Callable[[], None]) -> None:
    try:
        act()
    except (OSError, poplib.error_proto, smtplib.SMTPException) as error:
        wrong.append(f"{what}: {error!r}")


def ended(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[int, str]:
    """Wait for a controller; its exit code, and the end of what it says, which is never a traceback."""
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        raise AssertionError(f"the controller does not end: {out}") from None
    return process.returncode, _end_of(out)


def _end_of(said: str) -> str:
    assert "Traceback" not in said and "has a mistake" not in said, said
    return "\n".join(said.splitlines()[-12:])
