"""Mail clients that others wrote, on another machine than the host, with the certificate verified."""

from __future__ import annotations

import mailbox
import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from mail_clients import arrives, curl, deliver, message, send, subjects
from mail_machine import ALICE, BOB, FRANK, HOSTNAME, LI, PASSWORDS, PORTS, Machine

pytestmark = pytest.mark.host


def run(argv: Sequence[str], status: int = 0, **environment: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "options"),
    [("smtps://{}:465", ()), ("smtp://{}:587", ("--ssl-reqd",))],
)
def test_curl_sends(mail: Machine, tmp_path: Path, url: str, options: tuple[str, ...]) -> None:
    subject = secrets.token_hex(8)
    letter = tmp_path / "letter"
    letter.write_bytes(message(ALICE, BOB, subject))
    addresses = ("--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", str(letter))
    sent = curl(mail, url.format(HOSTNAME), *options, *addresses, user=ALICE)
    assert sent.status == 0, sent.err
    assert arrives(mail, BOB, subject)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("pop3s://{}:995/1", ()),
        ("pop3://{}:110/1", ("--ssl-reqd",)),
        ("imaps://{}:993/INBOX;MAILINDEX=1", ()),
        ("imap://{}:143/INBOX;MAILINDEX=1", ("--ssl-reqd",)),
    ],
)
def test_curl_fetches(mail: Machine, url: str, options: tuple[str, ...]) -> None:
    assert arrives(mail, LI, deliver(mail, LI))
    fetched = curl(mail, url.format(HOSTNAME), *options, user=LI)
    assert fetched.status == 0, fetched.err
    assert f"Subject: {subjects(mail, LI)[0]}\n" in fetched.out


def test_curl_would_refuse_another_certificate(mail: Machine, tmp_path: Path) -> None:
    assert curl(mail, f"pop3s://{HOSTNAME}:995/", "--cacert", "/etc/ssl/certs/ca-certificates.crt").status == 60


@pytest.mark.parametrize("secure", [("--port", "587", "--tls"), ("--port", "465", "--tls-on-connect")])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_sends(mail: Machine, secure: tuple[str, ...], mechanism: str) -> None:
    subject = secrets.token_hex(8)
    envelope = ("--from", ALICE, "--to", FRANK, "--header", f"Subject: {subject}")
    login = ("--auth", mechanism, "--auth-user", ALICE, "--auth-password", PASSWORDS[ALICE])
    said = run(
        (
            "swaks",
            "--server",
            mail.address,
            *secure,
            "--tls-verify",
            "--tls-ca-path",
            str(mail.roots),
            *login,
            *envelope,
        )
    )
    assert "queued as" in said
    assert arrives(mail, FRANK, subject)


def test_mpop_fetches_once(mail: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "Maildir"
    box = mailbox.Maildir(folder)
    config = tmp_path / "mpoprc"
    config.touch(0o600)
    config.write_text(
        f"account default\nhost {mail.address}\nport {PORTS['pop3s']}\ntls on\ntls_starttls off\n"
        f"tls_trust_file {mail.roots}\ntls_host_override {HOSTNAME}\n"
        f"user {BOB}\npassword {PASSWORDS[BOB]}\nkeep on\nuidls_file {tmp_path}/uidls\ndelivery maildir {folder}\n"
    )
    first = send(mail, ALICE, BOB)
    assert arrives(mail, BOB, first)
    mpop = ("mpop", f"--file={config}")
    run(mpop)
    there = subjects(mail, BOB)
    assert sorted(letter["Subject"] for letter in box) == sorted(there)
    run(mpop)
    assert len(box) == len(there)
    assert arrives(mail, BOB, send(mail, ALICE, BOB))
    run(mpop)
    assert len(box) == len(there) + 1


@pytest.mark.parametrize(("protocol", "listener"), [("pop3", "pop3s"), ("imap", "imaps")])
def test_fetchmail_fetches(mail: Machine, tmp_path: Path, protocol: str, listener: str) -> None:
    got = tmp_path / "got"
    config = tmp_path / "fetchmailrc"
    config.touch(0o600)
    config.write_text(
        f"poll {HOSTNAME} via {mail.address} protocol {protocol} port {PORTS[listener]}\n"
        f'  user "{ALICE}" password "{PASSWORDS[ALICE]}" fetchall keep\n'
        f'  ssl sslcertck sslcertfile "{mail.roots}" sslcommonname "{HOSTNAME}" mda "cat >>{got}"\n'
    )
    subject = deliver(mail, ALICE)
    assert arrives(mail, ALICE, subject)
    # root's fetchmails share one lock, and the tests of several releases run side by side
    lock = ("--pidfile", str(tmp_path / "pid"))
    run(("fetchmail", "--fetchmailrc", str(config), "--nosyslog", *lock), FETCHMAILHOME=str(tmp_path))
    assert f"Subject: {subject}\n" in got.read_text()
