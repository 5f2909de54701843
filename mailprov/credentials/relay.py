"""Messages given to a relay (RFC 6409), over TLS that verifies."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from mailprov import local_files
from mailprov.errors import ConnectError, MailprovError
from mailprov.model import Relay

TIMEOUT_SECONDS: Final = 60.0


class Refused(MailprovError):
    """The relay does not take this message; it may take others."""


@contextmanager
def opened(relay: Relay, roots: Path | None = None, *, strict: bool = True) -> Iterator[smtplib.SMTP]:
    """A session with the relay, logged in where that is declared; `roots` is a PEM bundle beside the system's roots.

    Not `strict` takes any certificate, as mail servers do among each other (RFC 3207 §4): for what is no secret.
    Raises ConnectError where there is none.
    """
    where = f"{relay.host}:{relay.port}"
    if relay.user and relay.password is None:
        fix = f"provide {relay.source}" if relay.source else "declare handout.relay.password"
        raise ConnectError("the relay's password is not here", where=where, fix=fix)
    context = ssl.create_default_context()
    if not strict:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif roots is not None:
        context.load_verify_locations(cadata=local_files.certificates(roots))
    try:
        session = _connected(relay, context)
    except (OSError, smtplib.SMTPException) as error:
        raise _unreachable(error, where) from None
    try:
        yield session
    finally:
        with suppress(OSError, smtplib.SMTPException):
            session.quit()


def send(session: smtplib.SMTP, letter: EmailMessage) -> None:
    """Give one message to the relay. Raises Refused, or ConnectError where the session has come to its end."""
    to = str(letter["To"])
    try:
        session.send_message(letter, from_addr=str(letter["From"]), to_addrs=[to])
    except smtplib.SMTPRecipientsRefused as error:
        code, said = error.recipients.get(to, (0, b""))
        raise Refused("the relay refuses the recipient", where=to, why=_said(code, said)) from None
    except smtplib.SMTPResponseException as error:
        # RFC 5321 §3.8: with 421 the server takes its leave.
        if error.smtp_code != 421:
            raise Refused(
                "the relay refuses the message", where=to, why=_said(error.smtp_code, error.smtp_error)
            ) from None
        raise _unreachable(error, to) from None
    except (OSError, smtplib.SMTPException) as error:
        raise _unreachable(error, to) from None


def _connected(relay: Relay, context: ssl.SSLContext) -> smtplib.SMTP:
    name = socket.getfqdn()
    session = (
        smtplib.SMTP_SSL(relay.host, relay.port, name, timeout=TIMEOUT_SECONDS, context=context)
        if relay.tls == "tls"
        else smtplib.SMTP(relay.host, relay.port, name, timeout=TIMEOUT_SECONDS)
    )
    try:
        if relay.tls == "starttls":
            session.starttls(context=context)
        if relay.user and relay.password is not None:
            session.login(relay.user, relay.password.reveal())
    except BaseException:
        session.close()
        raise
    return session


def _unreachable(error: Exception, where: str) -> ConnectError:
    """What happened, without what was sent: a password may be in it."""
    fix = "check `handout.relay`, and run this again: what was sent is not sent twice"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        why = _said(error.smtp_code, error.smtp_error)
        return ConnectError("the relay refuses the login", where=where, why=why, fix=fix)
    if isinstance(error, smtplib.SMTPResponseException):
        why = _said(error.smtp_code, error.smtp_error)
    elif isinstance(error, ssl.SSLCertVerificationError):
        why, fix = error.verify_message, "declare the name that its certificate carries, or add --ca FILE"
    elif isinstance(error, OSError):
        why = error.strerror or str(error)
    else:
        why = type(error).__name__ if not isinstance(error, smtplib.SMTPNotSupportedError) else str(error)
    return ConnectError("no session with the relay", where=where, why=why, fix=fix)


def _said(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"it said: {code} {' '.join(words.split())[:200]}"
