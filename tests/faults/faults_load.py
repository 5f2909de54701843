"""Mail clients that never stop: they send numbered messages, and hold POP3 and IMAP sessions open."""

from __future__ import annotations

import imaplib
import itertools
import poplib
import re
import smtplib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from faults_scenarios import ALICE, BOB, HOSTNAME, PASSWORDS
from faults_senders import trusting

TIMEOUT = 30
HELD = 12.0
"""seconds that a POP3 or IMAP session is held open: longer than an apply takes"""


class Load:
    """Clients of the host at `address`; what they did, and what went wrong, by kind."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self.address = address
        self.context = context
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.accepted: set[str] = set()
        self.uncertain: set[str] = set()
        self._identities: dict[str, dict[str, str]] = {}
        self._validity: set[bytes] = set()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The clients at work inside the block; each ends its session in order when it is left."""
        clients: list[Callable[[], None]] = [
            *([self._mail_server] * 2),
            *([self._submitter] * 2),
            *([self._pop3] * 3),
            *([self._imap] * 2),
            self._idle,
            self._knocker,
        ]
        threads = [threading.Thread(target=self._repeat, args=(client,), daemon=True) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(3 * TIMEOUT)

    def _repeat(self, client: Callable[[], None]) -> None:
        name = client.__name__.strip("_")
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                client()
            except (OSError, EOFError, poplib.error_proto, imaplib.IMAP4.error, smtplib.SMTPException) as error:
                with self._lock:
                    self.wrong.append(f"{name}, {time.monotonic() - begun:.1f} s after it began: {error!r}")
            else:
                with self._lock:
                    self.done[name] += 1

    def _hold(self) -> Iterator[None]:
        """Once in a while, as long as a session is to be held."""
        end = time.monotonic() + HELD
        while time.monotonic() < end and not self._over.is_set():
            yield
            self._over.wait(0.5)

    # --- senders

    def _mail_server(self) -> None:
        """Another mail server: one connection, some messages."""
        with smtplib.SMTP(self.address, 25, local_hostname="mx.elsewhere.test", timeout=TIMEOUT) as client:
            client.starttls(context=self.context)
            for recipient in (ALICE, BOB):
                self._send(client, "someone@elsewhere.test", recipient)
                self._over.wait(0.3)

    def _submitter(self) -> None:
        """A user's mail program."""
        with smtplib.SMTP_SSL(self.address, 465, timeout=TIMEOUT, context=self.context) as client:
            client.login(ALICE, PASSWORDS[ALICE])
            self._send(client, ALICE, BOB)
            self._over.wait(1.0)
            self._send(client, ALICE, ALICE)

    def _send(self, client: smtplib.SMTP, sender: str, recipient: str) -> None:
        number = f"load-{next(self._numbers)}-{recipient.partition('@')[0]}"
        with self._lock:
            self.uncertain.add(number)
        client.sendmail(sender, [recipient], f"From: <{sender}>\r\nSubject: {number}\r\n\r\nA message.\r\n")
        with self._lock:
            self.uncertain.discard(number)
            self.accepted.add(number)
            self.done["messages"] += 1

    # --- readers

    def _login(self) -> poplib.POP3_SSL:
        client = poplib.POP3_SSL(self.address, 995, timeout=TIMEOUT, context=self.context)
        client.user(BOB)
        client.pass_(PASSWORDS[BOB])
        return client

    def _pop3(self) -> None:
        client = self._login()
        lines = client.uidl()[1]
        self._same("UIDL", {line.split()[0].decode(): line.split()[1].decode() for line in lines})
        for _ in self._hold():
            client.noop()
        client.quit()

    def _imap_login(self) -> imaplib.IMAP4_SSL:
        client = imaplib.IMAP4_SSL(self.address, 993, ssl_context=self.context, timeout=TIMEOUT)
        client.login(ALICE, PASSWORDS[ALICE])
        client.select()
        validity = client.response("UIDVALIDITY")[1][0]
        assert isinstance(validity, bytes)
        with self._lock:
            self._validity.add(validity)
            if len(self._validity) > 1:
                self.wrong.append(f"UIDVALIDITY changed: {self._validity}")
        return client

    def _imap(self) -> None:
        client = self._imap_login()
        for _ in self._hold():
            client.noop()
        found = client.fetch("1:*", "(UID)")[1]
        pairs = (re.match(rb"(\d+) \(UID (\d+)\)", line) for line in found if isinstance(line, bytes))
        self._same("UID", {pair[1].decode(): pair[2].decode() for pair in pairs if pair})
        client.logout()

    def _idle(self) -> None:
        """One session for the whole time, in IDLE, told of each message."""
        client = self._imap_login()
        told = 0
        while not self._over.is_set():
            client.send(b"i IDLE\r\n")
            while not client.readline().startswith(b"+"):
                pass
            self._over.wait(HELD)
            client.send(b"DONE\r\n")
            while not (line := client.readline()).startswith(b"i "):
                if not line:
                    raise OSError("the connection was closed")
                told += b"EXISTS" in line
        client.logout()
        if not told:
            raise OSError("an IDLE was never told of a message")

    def _knocker(self) -> None:
        """Connects to each port in turn: is somebody there?"""
        import socket

        for port in (25, 110, 465, 587, 993, 995):
            socket.create_connection((self.address, port), timeout=TIMEOUT).close()
            with self._lock:
                self.done["connections"] += 1
            self._over.wait(0.1)

    def _same(self, kind: str, found: dict[str, str]) -> None:
        """Message numbers keep their identities."""
        with self._lock:
            known = self._identities.setdefault(kind, {})
            if any(found.get(number, identity) != identity for number, identity in known.items()):
                self.wrong.append(f"{kind} changed")
            known.update(found)

    # --- the end

    def arrived(self) -> Counter[str]:
        """Which messages are in the mailboxes, and how often."""
        found: Counter[str] = Counter()
        for user in (ALICE, BOB):
            client = imaplib.IMAP4_SSL(self.address, 993, ssl_context=self.context, timeout=TIMEOUT)
            client.login(user, PASSWORDS[user])
            client.select()
            for part in client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]:
                if isinstance(part, tuple) and (subject := re.search(rb"load-\S+", part[1])):
                    found[subject[0].decode()] += 1
            client.logout()
        return found


__all__ = ["HOSTNAME", "Load", "trusting"]
