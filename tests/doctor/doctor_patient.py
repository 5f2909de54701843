"""A mail host that can be made ill in one way at a time, and is well again afterwards."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from mail_certificates import Certificate
from mail_machine import HOSTNAME, Machine, Ran, ended

from mailprov.lab import LabHost

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
OTHER_PORT = 8995
PEM = "/etc/mailprov/tls/default.pem"

RESTART = "systemctl reset-failed dovecot; systemctl restart dovecot"
"""restarts come faster here than systemd takes for well (5 in 10 s): it counts anew"""


class Patient(Machine):
    """A host whose name resolves as `hosts` and `resolver` say, for the doctor that looks at it and for nobody else.

    The doctor runs in a mount namespace of its own, where /etc/hosts and /etc/resolv.conf are ours.
    """

    def __init__(self, host: LabHost, folder: Path, ca: Certificate, shown: Certificate) -> None:
        super().__init__(host, folder, ca, shown)
        self.hosts = f"127.0.0.1 localhost\n{host.address} {HOSTNAME}\n"
        self.resolver = "nameserver 127.0.0.99\n"  # nobody is there
        self.unshared = "--mount"

    def start(self, *arguments: str, by: type[subprocess.Popen[str]] = subprocess.Popen) -> subprocess.Popen[str]:
        for name, text in (("hosts", self.hosts), ("resolv.conf", self.resolver)):
            (self.folder / name).write_text(text)
        (self.folder / "mail.yaml").write_text(yaml.safe_dump(self.declared, allow_unicode=True))
        mount = (
            'mount --bind hosts /etc/hosts && mount --bind resolv.conf "$(readlink -f /etc/resolv.conf)" && exec "$@"'
        )
        program = (sys.executable, "-c", "from mailprov.commands import main; main()", *arguments)
        return subprocess.Popen(
            ("unshare", *self.unshared.split(), "sh", "-c", mount, "sh", *program),
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def doctor(self, *options: str, user: str = "", password: str = "", ca: str = "ca.pem") -> Found:
        """What the doctor finds."""
        words = ["doctor", "--format", "json", "--since", "1", "--ca", ca, *options]
        words += ["--user", user] if user else []
        if password:
            self.environment["PASSWORD"] = password
            words += ["--password-env", "PASSWORD"]
        ran = ended(self.start(*words), 200)
        assert not password or password not in ran.said
        return Found(ran)

    def forget(self) -> None:
        """Let the daemons forget failed logins (Dovecot answers slower after each), and the log what it has said."""
        self.sh(f"{RESTART}; journalctl -q --rotate; journalctl -q --vacuum-time=1s >/dev/null 2>&1")

    @contextmanager
    def done(self, act: str, undo: str) -> Iterator[None]:
        """Something is done on the host, and undone."""
        try:
            self.sh(act)
            yield
        finally:
            self.sh(undo)

    @contextmanager
    def configured(self, sed: str, more: str = "") -> Iterator[None]:
        """Dovecot's configuration is edited by hand."""
        conf = "/etc/dovecot/dovecot.conf"
        edit = f"cp -p {conf} /root/kept && sed -i {shlex.quote(sed)} {conf} && printf %s {shlex.quote(more)} >>{conf}"
        with self.done(f"{edit} && {{ {RESTART}; }}", f"mv /root/kept {conf}; {RESTART}"):
            yield

    @contextmanager
    def wearing(self, pem: str) -> Iterator[None]:
        """Somebody has put another key and certificate where the daemons find them."""
        kept = self.host.read(PEM)
        try:
            self.host.write(PEM, pem.encode(), 0o600)
            self.sh("systemctl reload dovecot postfix; sleep 1")
            yield
        finally:
            self.host.write(PEM, kept, 0o600)
            self.sh("systemctl reload dovecot postfix; sleep 1")

    @contextmanager
    def other_server(self, *options: str) -> Iterator[None]:
        """OpenSSL's own server stands on another port, which is open."""
        serve = f"openssl s_server -accept {OTHER_PORT} -cert {PEM} -key {PEM} -quiet {' '.join(options)}"
        act = f"systemd-run -q --unit=other -p StandardInput=null sh -c {shlex.quote(f'sleep 600 | {serve}')}; sleep 1"
        opened = f"nft add rule inet mailprov input tcp dport {OTHER_PORT} accept"
        with self.done(f"{opened}; {act}", "systemctl stop other; systemctl restart mailprov-firewall"):
            yield


class Found:
    """A doctor's report."""

    def __init__(self, ran: Ran) -> None:
        self.ran = ran
        assert ran.status in (0, 1, 9) and ran.out, ran.said
        self.document: dict[str, Any] = json.loads(ran.out)
        (self.host,) = self.document["hosts"]

    @property
    def causes(self) -> list[str]:
        """In order, the first one first; the exit code agrees."""
        found = [cause["cause"] for cause in self.host["causes"]]
        assert (self.ran.status == 9) is bool(found), self.ran.said
        return found

    def evidence(self, name: str) -> str:
        (found,) = (cause for cause in self.host["causes"] if cause["cause"] == name)
        return "\n".join(found["evidence"])

    def steps(self) -> set[str]:
        return {check["step"] for check in self.host["checks"] if check["result"] == "ok"}


def key_and_certificate(
    issuer: Certificate | None = None,
    *,
    name: str = HOSTNAME,
    start: datetime = NOW - DAY,
    end: datetime = NOW + 300 * DAY,
    ca: bool = False,
    published: bool = False,
) -> Certificate:
    """A certificate as somebody might make it; `published` names the place where its issuer is to be had."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    if published:
        where = x509.UniformResourceIdentifier("http://ca.example.test/issuer.der")
        about = x509.AuthorityInformationAccess(
            [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)]
        )
        builder = builder.add_extension(about, critical=False)
    return Certificate(builder.sign(signer, hashes.SHA256()), key)


def pem(leaf: Certificate, *chain: Certificate) -> str:
    """A key, its certificate, and what follows it, as the daemons read them."""
    key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return key + "".join(each.pem for each in (leaf, *chain))


def soon(seconds: float = 1.5) -> None:
    """Time for a log line to be written."""
    time.sleep(seconds)
