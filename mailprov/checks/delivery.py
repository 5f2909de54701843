"""Using a mailbox as its owner would: log in, send a message, fetch it by every way there is, delete it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from itertools import chain, repeat
from typing import Final

from mailprov.checks.cause import CAUGHT, Cause, ServerError, explanation
from mailprov.checks.check import Account, Check, Endpoint, Log, OnCheck, Stopped, Trust
from mailprov.checks.imap import Imap
from mailprov.checks.pop3 import Pop3
from mailprov.checks.session import secured
from mailprov.checks.smtp import Smtp
from mailprov.model import domain_of

# Where the connection died after DATA the server may have the message all the same.
_UNSURE: Final = {Cause.SILENT, Cause.RESET, Cause.CLOSED, Cause.GARBLED}
_SUBJECT: Final = "mailprov verify"
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)


def check_login(
    endpoint: Endpoint, trust: Trust, account: Account, *, timeout: float = 20.0, on_check: OnCheck | None = None
) -> tuple[Check, ...]:
    """One real login, never repeated, over TLS that `trust` accepts; one check, "login".

    `timeout` is seconds for each exchange; Dovecot holds a refusal back for 2 s and, after several, up to 15 s, so
    keep it at 20 or more. Raises nothing that network or server cause.
    """
    log = Log(endpoint, on_check)
    with suppress(Stopped), log.step("login") as note, secured(endpoint, trust, timeout) as session:
        begun = time.monotonic()
        session.login(account)
        note.detail = f"{account.address} is in, {time.monotonic() - begun:.2f} s after the password was sent"
    return log.checks


def message(address: str, token: str, now: datetime) -> bytes:
    """The test message (RFC 5322) from and to `address`, with `token` in its Subject, its lines ending in CRLF.

    Auto-Submitted (RFC 3834 §5) keeps vacation replies away.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address
    mail["To"] = address
    mail["Subject"] = f"{_SUBJECT} {token}"
    mail["Date"] = now
    mail["Message-ID"] = f"<{token}@{domain_of(address)}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("mailprov sent this message to see that mail arrives, and deletes it at once.\n")
    return mail.as_bytes()


def check_delivery(
    endpoints: Sequence[Endpoint],
    trust: Trust,
    account: Account,
    *,
    now: datetime,
    timeout: float = 20.0,
    wait: float = 30.0,
    on_check: OnCheck | None = None,
) -> tuple[Check, ...]:
    """Sends a message by the first submission endpoint, fetches it by every POP3 and IMAP one, and deletes it.

    Steps: send, fetch (one per endpoint), clean up. `wait` is how many seconds delivery may take in all; the message
    is deleted, by IMAP if possible, even when a fetch failed, and a check says so if it was not. Nothing else in the
    mailbox changes. Returns () where no submission endpoint is declared. Raises nothing that network or server cause.
    """
    senders = [endpoint for endpoint in endpoints if endpoint.protocol == "submission"]
    boxes = [endpoint for endpoint in endpoints if endpoint.protocol in ("imap", "pop3")]
    if not senders:
        return ()
    token = secrets.token_hex(12)
    courier = _Courier(trust, account, token, timeout, on_check)
    sent = courier.send(senders[0], message(account.address, token, now))
    deadline = time.monotonic() + wait
    checks = [sent]
    if sent.ok:
        checks += [courier.fetch(endpoint, deadline) for endpoint in boxes]
    if boxes and (sent.ok or sent.cause in _UNSURE):
        checks.append(courier.clean_up(boxes))
    return tuple(checks)


class _Courier:
    """One message on its way; each method makes one check."""

    def __init__(self, trust: Trust, account: Account, token: str, timeout: float, on_check: OnCheck | None) -> None:
        self._trust = trust
        self._account = account
        self._token = token
        self._timeout = timeout
        self._on_check = on_check
        self._closed: set[Endpoint] = set()

    def send(self, endpoint: Endpoint, content: bytes) -> Check:
        log = Log(endpoint, self._on_check)
        with (
            suppress(Stopped),
            log.step("send") as note,
            secured(endpoint, self._trust, self._timeout) as session,
        ):
            session.login(self._account)
            note.detail = Smtp(session.wire).send(self._account.address, content)
        return log.checks[-1]

    def fetch(self, endpoint: Endpoint, deadline: float) -> Check:
        log = Log(endpoint, self._on_check)
        with suppress(Stopped), log.step("fetch") as note:
            size = self._poll(endpoint, deadline)
            note.detail = f"the message is there, {size} bytes"
            if size == 0:
                note.fail(Cause.NOT_DELIVERED, "the message was accepted, but did not arrive in time")
        if log.checks[-1].cause not in (Cause.NONE, Cause.NOT_DELIVERED):
            # A refused password is never sent twice.
            self._closed.add(endpoint)
        return log.checks[-1]

    def clean_up(self, boxes: Sequence[Endpoint]) -> Check:
        """Deletes the message by the first way that works."""
        ways = sorted(boxes, key=lambda endpoint: endpoint.protocol != "imap")
        log = Log(ways[0], self._on_check)
        with log.step("clean up") as note:
            why = ""
            for endpoint in ways:
                if endpoint in self._closed:
                    continue
                try:
                    count = self._remove(endpoint)
                except (ServerError, *CAUGHT) as error:
                    why = why or f"{endpoint}: {explanation(error)}"
                    continue
                if count:
                    note.detail = f"{count} message{'' if count == 1 else 's'} deleted by {endpoint}"
                    break
                why = why or "it has not arrived yet, and may still"
            else:
                why = why or "no way to log in"
                left = f'delete the message "{_SUBJECT} {self._token}" of {self._account.address} by hand: {why}'
                note.fail(Cause.LEFT_BEHIND, left, "warning")
        return log.checks[-1]

    def _poll(self, endpoint: Endpoint, deadline: float) -> int:
        """The size of the message in bytes once it is there, or 0 after `deadline`.

        Each look is a login of its own: a POP3 session shows the mailbox as it was when it began (RFC 1939 §3).
        """
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            with self._box(endpoint) as box:
                for found in box.find(self._token):
                    return len(box.read(found))
            left = deadline - time.monotonic()
            if left <= 0:
                return 0
            time.sleep(min(pause, left))
        return 0

    def _remove(self, endpoint: Endpoint) -> int:
        with self._box(endpoint) as box:
            found = box.find(self._token)
            if found:
                box.delete(found)
            return len(found)

    @contextmanager
    def _box(self, endpoint: Endpoint) -> Iterator[Imap | Pop3]:
        with secured(endpoint, self._trust, self._timeout) as session:
            session.login(self._account)
            yield Imap(session.wire) if endpoint.protocol == "imap" else Pop3(session.wire)
