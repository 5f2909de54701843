"""Mail clients of Python's library that reach a lab host by its address and verify its certificate by its name."""

from __future__ import annotations

import imaplib
import poplib
import secrets
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Any

from mail_machine import HOSTNAME, PASSWORDS, PORTS, Machine, Ran, eventually

TIMEOUT = 30


class _Named(ssl.SSLContext):
    """Verifies the host by its declared name, whatever address it was reached by."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **more: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *args, **{**more, "server_hostname": HOSTNAME})


def trusting(mail: Machine) -> ssl.SSLContext:
    """Trusts the test CA only."""
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(mail.roots)
    return context


@contextmanager
def pop3(mail: Machine, user: str, password: str | None = None, *, starttls: bool = False) -> Iterator[poplib.POP3]:
    """A POP3 session, logged in."""
    client: poplib.POP3
    if starttls:
        client = poplib.POP3(mail.address, PORTS["pop3"], timeout=TIMEOUT)
        client.stls(trusting(mail))
    else:
        client = poplib.POP3_SSL(mail.address, PORTS["pop3s"], timeout=TIMEOUT, context=trusting(mail))
    try:
        client.user(user)
        client.pass_(PASSWORDS[user] if password is None else password)
        yield client
    finally:
        with suppress(OSError, poplib.error_proto):
            client.quit()


@contextmanager
def imap(mail: Machine, user: str, password: str | None = None) -> Iterator[imaplib.IMAP4]:
    """An IMAP session, logged in, with INBOX selected."""
    client = imaplib.IMAP4_SSL(mail.address, PORTS["imaps"], ssl_context=trusting(mail), timeout=TIMEOUT)
    try:
        client.login(user, PASSWORDS[user] if password is None else password)
        client.select()
        yield client
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            client.logout()


class Idle:
    """An IMAP session in IDLE (RFC 2177)."""

    def __init__(self, client: imaplib.IMAP4) -> None:
        self._client = client
        client.send(b"idle1 IDLE\r\n")
        assert client.readline().startswith(b"+")

    def done(self) -> bytes:
        """End the IDLE; what the server said in it, its completion included."""
        self._client.send(b"DONE\r\n")
        said = b""
        while not said.splitlines()[-1:] or not said.splitlines()[-1].startswith(b"idle1"):
            line = self._client.readline()
            assert line, "the connection was closed"
            said += line
        return said


def message(sender: str, recipient: str, subject: str, size: int = 0) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, recipient, subject
    mail["Message-ID"] = f"<{secrets.token_hex(8)}@client.test>"
    mail.set_content("A message.\n" + ("x" * 70 + "\n") * (size // 71))
    return mail.as_bytes()


@contextmanager
def submission(mail: Machine, user: str, password: str | None = None) -> Iterator[smtplib.SMTP]:
    """A submission session over TLS, logged in."""
    with smtplib.SMTP_SSL(mail.address, PORTS["submissions"], timeout=TIMEOUT, context=trusting(mail)) as client:
        client.login(user, PASSWORDS[user] if password is None else password)
        yield client


def send(mail: Machine, user: str, recipient: str, *, sender: str | None = None) -> str:
    """Submit a message as `user`; its subject."""
    subject = secrets.token_hex(8)
    with submission(mail, user) as client:
        client.sendmail(sender or user, [recipient], message(sender or user, recipient, subject))
    return subject


@contextmanager
def outsider(mail: Machine) -> Iterator[smtplib.SMTP]:
    """Another mail server at port 25."""
    with smtplib.SMTP(mail.address, PORTS["smtp"], local_hostname="mx.elsewhere.test", timeout=TIMEOUT) as client:
        yield client


def bring(mail: Machine, sender: str, recipient: str, subject: str, **headers: str) -> str:
    """A message from another server."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message["Message-ID"] = f"<{secrets.token_hex(8)}@elsewhere.test>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("A message.\n")
    with outsider(mail) as client:
        client.sendmail(sender, [recipient], message.as_bytes())
    return subject


def deliver(mail: Machine, recipient: str, *, size: int = 0) -> str:
    """Bring a message from elsewhere; its subject."""
    subject = secrets.token_hex(8)
    with outsider(mail) as client:
        client.sendmail("someone@elsewhere.test", [recipient], message("a@elsewhere.test", recipient, subject, size))
    return subject


def refusal(mail: Machine, sender: str, recipient: str) -> int:
    """What another mail server is told at RCPT: 250, or the code of the refusal."""
    with outsider(mail) as client:
        client.ehlo()
        client.mail(sender)
        return client.rcpt(recipient)[0]


def subjects(mail: Machine, user: str, password: str | None = None) -> list[str]:
    """The subjects in a mailbox, fetched by POP3."""
    with pop3(mail, user, password) as client:
        count = client.stat()[0]
        lines = [line for number in range(1, count + 1) for line in client.top(number, 0)[1]]
    return [line.partition(b": ")[2].decode() for line in lines if line.lower().startswith(b"subject: ")]


def arrives(mail: Machine, user: str, subject: str, password: str | None = None) -> bool:
    """Whether a message comes into the mailbox in time."""
    return eventually(lambda: subject in subjects(mail, user, password), 15)


def fetched(mail: Machine, user: str, subject: str) -> bytes:
    """The message with this subject, whole, once it has come."""
    assert arrives(mail, user, subject), subject
    with pop3(mail, user) as client:
        for number in range(len(client.list()[1]), 0, -1):
            found = b"\r\n".join(client.retr(number)[1]) + b"\r\n"
            if f"Subject: {subject}\r\n".encode() in found:
                return found
    raise AssertionError(subject)


def curl(mail: Machine, url: str, *options: str, user: str = "", password: str | None = None) -> Ran:
    """Run curl on a listener, `url` naming scheme and port, with the certificate verified."""
    port = url.split(":")[2].partition("/")[0]
    argv = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", str(mail.roots)]
    argv += ["--resolve", f"{HOSTNAME}:{port}:{mail.address}", *options, url]
    if user:
        argv += ["--user", f"{user}:{PASSWORDS[user] if password is None else password}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return Ran(done.returncode, done.stdout, done.stderr)


WAYS_IN = ("pop3s", "imaps", "submissions")
LOGIN_DENIED = 67
"""curl's exit status for a login that the server refuses"""


def login(mail: Machine, protocol: str, user: str, password: str | None = None, address: str = "") -> int:
    """Try a login by `protocol` (pop3s, imaps, submissions) from another address; curl's exit status."""
    scheme = {"submissions": "smtps"}.get(protocol, protocol)
    url = f"{scheme}://{HOSTNAME}:{PORTS[protocol]}/"
    source = ("--interface", address or mail.client_address())
    # Without a command that needs a login, curl's SMTP would end after EHLO.
    command = ("--request", "NOOP") if scheme == "smtps" else ()
    return curl(mail, url, *source, *command, user=user, password=password).status


def logins(mail: Machine, user: str, password: str | None = None) -> list[bool]:
    """Whether a user gets in by POP3, IMAP and submission, all tried at once from other addresses."""
    sources = [mail.client_address() for _ in WAYS_IN]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda way, source: login(mail, way, user, password, source), WAYS_IN, sources))
    assert set(found) <= {0, LOGIN_DENIED}, found
    return [status == 0 for status in found]


def served(mail: Machine, ports: Sequence[str] = tuple(PORTS)) -> dict[str, str]:
    """The SHA-256 fingerprint of the certificate that each listener shows, by the listener's name."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(ports, pool.map(lambda name: _fingerprint(mail, name), ports), strict=True))


STARTTLS = {"pop3": "pop3", "imap": "imap", "submission": "smtp", "smtp": "smtp"}


def handshake(mail: Machine, listener: str, *options: str) -> Ran:
    """OpenSSL's s_client at a listener."""
    argv = ["openssl", "s_client", "-connect", f"{mail.address}:{PORTS[listener]}", "-servername", HOSTNAME]
    argv += ["-starttls", STARTTLS[listener]] if listener in STARTTLS else []
    done = subprocess.run([*argv, *options], input="", capture_output=True, text=True, timeout=TIMEOUT)
    return Ran(done.returncode, done.stdout, done.stderr)


def _fingerprint(mail: Machine, listener: str) -> str:
    shown = handshake(mail, listener).out
    argv = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    done = subprocess.run(argv, input=shown, capture_output=True, text=True)
    return done.stdout.partition("=")[2].strip().replace(":", "").lower()
