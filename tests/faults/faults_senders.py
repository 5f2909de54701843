"""Who sends mail all the time, and what becomes of it: a session that is put off or dropped is a failed one."""

from __future__ import annotations

import imaplib
import itertools
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from faults_scenarios import ALICE, PASSWORDS

TIMEOUT = 30
_PAUSE = 0.3
_NUMBERS = itertools.count(1)


class Senders:
    """Another mail server, and a user's mail program: each sends one message after the other.

    `sent`: so many were taken; `failed`: what became of the others (a milter that does not answer has each put off).
    """

    def __init__(self, address: str, ca: str) -> None:
        self.address = address
        self.sent = 0
        self.failed: list[str] = []
        self._context = trusting(ca)
        self._over = threading.Event()

    @contextmanager
    def sending(self) -> Iterator[Senders]:
        """Inside the block they do; each ends its session in order when it is left."""
        threads = [threading.Thread(target=self._send, args=(port,), daemon=True) for port in (25, 465)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join(2 * TIMEOUT)

    def _send(self, port: int) -> None:
        while not self._over.wait(_PAUSE):
            begun = time.time()
            try:
                send(self.address, port, self._context)
                self.sent += 1
            except (OSError, smtplib.SMTPException) as error:
                at = time.strftime("%H:%M:%S", time.gmtime(begun))
                self.failed.append(f"{at}, {time.time() - begun:.1f} s, port {port}: {error!r}")


def trusting(ca: str) -> ssl.SSLContext:
    """Trusts this CA, for whatever address: the host is reached by a number."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    return context


def send(address: str, port: int, context: ssl.SSLContext) -> str:
    """Send a message to a user, as another mail server or at a login's port; its subject."""
    subject = f"number {next(_NUMBERS)} of {time.time_ns()}"
    sender = "someone@elsewhere.test" if port == 25 else ALICE
    text = f"From: <{sender}>\r\nTo: <{ALICE}>\r\nSubject: {subject}\r\n\r\nA message.\r\n"
    client = (
        smtplib.SMTP(address, port, "mx.elsewhere.test", TIMEOUT)
        if port == 25
        else smtplib.SMTP_SSL(address, port, "localhost", timeout=TIMEOUT, context=context)
    )
    with client:
        if isinstance(client, smtplib.SMTP_SSL):
            client.login(ALICE, PASSWORDS[ALICE])
        client.sendmail(sender, [ALICE], text)
    return subject


def header(address: str, context: ssl.SSLContext, subject: str) -> str:
    """The header of a message that has been sent, once it has arrived."""
    deadline = time.monotonic() + 2 * TIMEOUT
    while time.monotonic() < deadline:
        with imaplib.IMAP4_SSL(address, 993, ssl_context=context, timeout=TIMEOUT) as client:
            client.login(ALICE, PASSWORDS[ALICE])
            client.select()
            found = client.search(None, "HEADER", "Subject", f'"{subject}"')[1][0].split()
            if found:
                part = client.fetch(found[-1].decode(), "(BODY.PEEK[HEADER])")[1][0]
                assert isinstance(part, tuple)
                return bytes(part[1]).decode("utf-8", "replace")
        time.sleep(0.2)
    raise OSError(f"what was sent does not arrive: {subject}")


def handled(address: str, context: ssl.SSLContext) -> tuple[list[str], bool]:
    """By which selectors mail is signed now that a user sends, and whether what comes in is checked."""
    own = header(address, context, send(address, 465, context))
    selectors = [
        found[1]
        for each in re.findall(r"^DKIM-Signature:(?:.*\r\n[ \t])*.*", own, re.M)
        if (found := re.search(r"\bs=([a-z0-9-]+)", each))
    ]
    others = header(address, context, send(address, 25, context))
    return sorted(selectors), "Authentication-Results: " in others


@cache
def nobody_knows() -> str:
    """A resolver that knows no name at all, and says so at once; its address and port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            asked, who = server.recvfrom(2000)
            # NXDOMAIN, with the question of one name as it came, and nothing beside it (RFC 1035 §4.1).
            end = asked.index(0, 12) + 5
            server.sendto(asked[:2] + b"\x81\x83\x00\x01" + bytes(6) + asked[12:end], who)

    threading.Thread(target=answer, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"
