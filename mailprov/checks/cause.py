"""What a failure means: from an exception or a server's reply to a Cause, without looking at message texts.

Everything here is pure. `ServerError` never leaves `mailprov.checks`: each failure becomes a Check.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    """Why a step went wrong; the value is stable and may be matched on in JSON output."""

    NONE = ""
    DNS = "dns"
    RESOLVER = "resolver"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect-timeout"
    SILENT = "silent"
    TLS_EXPECTED = "tls-expected"
    NOT_TLS = "not-tls"
    RESET = "reset"
    CLOSED = "closed"
    TLS_VERSION = "tls-version"
    SERVER_TLS_OLD = "server-tls-old"
    CLIENT_TLS_OLD = "client-tls-old"
    NO_SHARED_CIPHER = "no-shared-cipher"
    CLIENT_CERTIFICATE = "client-certificate"
    TLS = "tls"
    SELF_SIGNED = "self-signed"
    UNKNOWN_CA = "unknown-ca"
    MISSING_INTERMEDIATE = "missing-intermediate"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRES_SOON = "expires-soon"
    WRONG_NAME = "wrong-name"
    CERTIFICATE = "certificate"
    PIN_MISMATCH = "pin-mismatch"
    OLD_TLS = "old-tls"
    NO_STARTTLS = "no-starttls"
    INJECTION = "injection"
    CLEARTEXT_LOGIN = "cleartext-login"
    LOGIN_NEEDS_TLS = "login-needs-tls"
    NO_MECHANISM = "no-mechanism"
    LOGIN_REFUSED = "login-refused"
    IN_USE = "in-use"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    GARBLED = "garbled"
    OPEN_RELAY = "open-relay"
    NOT_DELIVERED = "not-delivered"
    LEFT_BEHIND = "left-behind"
    NOT_TESTED = "not-tested"
    OTHER = "other"


EXPLANATIONS: Final = {
    Cause.DNS: "the name has no address in DNS",
    Cause.RESOLVER: "no DNS resolver answers this machine",
    Cause.REFUSED: "nothing listens on this port",
    Cause.UNREACHABLE: "no route to the address",
    Cause.CONNECT_TIMEOUT: "no answer to the connection attempt: a firewall drops it, or the host is down",
    Cause.SILENT: "the server accepted the connection and then sent nothing in time",
    Cause.TLS_EXPECTED: "the port speaks TLS from the first byte, not STARTTLS",
    Cause.NOT_TLS: "the port answers in cleartext where TLS from the first byte was expected",
    Cause.RESET: "the server reset the connection",
    Cause.CLOSED: "the server closed the connection",
    Cause.TLS_VERSION: "server and client share no TLS version",
    Cause.SERVER_TLS_OLD: "the server speaks no TLS version that is still allowed",
    Cause.CLIENT_TLS_OLD: "this machine speaks no TLS version that the server still allows",
    Cause.NO_SHARED_CIPHER: "server and client share no cipher, or the server has no usable certificate",
    Cause.CLIENT_CERTIFICATE: "the server demands a client certificate",
    Cause.TLS: "the TLS handshake failed",
    Cause.SELF_SIGNED: "the certificate is self-signed",
    Cause.UNKNOWN_CA: "no trusted CA signed the certificate, or the server leaves out an intermediate",
    Cause.MISSING_INTERMEDIATE: "the server leaves out an intermediate certificate",
    Cause.EXPIRED: "the certificate has expired",
    Cause.NOT_YET_VALID: "the certificate is not valid yet (or the clock is wrong)",
    Cause.WRONG_NAME: "the certificate is for another name",
    Cause.CERTIFICATE: "the certificate was not accepted",
    Cause.PIN_MISMATCH: "the server does not serve the declared certificate",
    Cause.NO_STARTTLS: "the server does not offer STARTTLS",
    Cause.INJECTION: "the server sent data before TLS that would have counted as sent inside TLS",
    Cause.LOGIN_NEEDS_TLS: "the server takes no login without TLS",
    Cause.NO_MECHANISM: "the server offers no login mechanism that mailprov speaks",
    Cause.LOGIN_REFUSED: "the login was refused: wrong password, unknown user, or an address that is not allowed",
    Cause.IN_USE: "the mailbox is in use, or has too many connections",
    Cause.TEMPORARY: "the server has a temporary problem",
    Cause.PERMANENT: "the server refused",
    Cause.GARBLED: "the answer is not in the protocol",
}

_REASONS: Final = {
    "WRONG_VERSION_NUMBER": Cause.NOT_TLS,
    "UNKNOWN_PROTOCOL": Cause.NOT_TLS,
    "HTTP_REQUEST": Cause.NOT_TLS,
    "RECORD_LAYER_FAILURE": Cause.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": Cause.NOT_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": Cause.TLS_VERSION,
    "UNSUPPORTED_PROTOCOL": Cause.TLS_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": Cause.NO_SHARED_CIPHER,
    "NO_SHARED_CIPHER": Cause.NO_SHARED_CIPHER,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": Cause.CLIENT_CERTIFICATE,
    "UNEXPECTED_EOF_WHILE_READING": Cause.CLOSED,
}

# X509_V_ERR_* of OpenSSL, as in SSLCertVerificationError.verify_code.
_VERIFY_CODES: Final = {
    9: Cause.NOT_YET_VALID,
    10: Cause.EXPIRED,
    18: Cause.SELF_SIGNED,
    19: Cause.UNKNOWN_CA,
    20: Cause.UNKNOWN_CA,
    21: Cause.UNKNOWN_CA,
    62: Cause.WRONG_NAME,
    64: Cause.WRONG_NAME,
}

_UNREACHABLE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}

# Response codes: RFC 3206 §4 and RFC 2449 §8 (POP3), RFC 5530 §3 (IMAP).
_CODES: Final = {
    "AUTH": Cause.LOGIN_REFUSED,
    "AUTHENTICATIONFAILED": Cause.LOGIN_REFUSED,
    "AUTHORIZATIONFAILED": Cause.LOGIN_REFUSED,
    "EXPIRED": Cause.LOGIN_REFUSED,
    "PRIVACYREQUIRED": Cause.LOGIN_REFUSED,
    "IN-USE": Cause.IN_USE,
    "INUSE": Cause.IN_USE,
    "LIMIT": Cause.IN_USE,
    "LOGIN-DELAY": Cause.TEMPORARY,
    "SYS/TEMP": Cause.TEMPORARY,
    "UNAVAILABLE": Cause.TEMPORARY,
    "SYS/PERM": Cause.PERMANENT,
    "CONTACTADMIN": Cause.PERMANENT,
    "SERVERBUG": Cause.PERMANENT,
}

CAUGHT: Final = (OSError, EOFError, UnicodeError)
"""What a network conversation may raise besides ServerError."""


class ServerError(Exception):
    """The server did not do what a step needs; `reply` is its text, already clean."""

    def __init__(self, cause: Cause, reply: str = "") -> None:
        super().__init__(cause.value, reply)
        self.cause = cause
        self.reply = reply


def cause_of(error: BaseException, connecting: bool = False) -> Cause:
    """The cause behind an exception of a conversation; `connecting` tells a TCP time-out from a silent server."""
    match error:
        case ServerError():
            return error.cause
        case socket.gaierror() if error.errno == socket.EAI_AGAIN:
            return Cause.RESOLVER
        case socket.gaierror() | UnicodeError():
            return Cause.DNS
        case TimeoutError():
            return Cause.CONNECT_TIMEOUT if connecting else Cause.SILENT
        case ssl.SSLCertVerificationError():
            return _VERIFY_CODES.get(error.verify_code, Cause.CERTIFICATE)
        case EOFError() | ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Cause.CLOSED
        case ssl.SSLError():
            return _REASONS.get(_reason(error), Cause.TLS)
        case ConnectionRefusedError():
            return Cause.REFUSED
        case ConnectionError():
            return Cause.RESET
        case OSError() if error.errno in _UNREACHABLE:
            return Cause.UNREACHABLE
    return Cause.OTHER


def explanation(error: BaseException, connecting: bool = False) -> str:
    """One clean line for a Check: the cause in words, and the evidence in brackets."""
    match error:
        case ServerError():
            evidence = error.reply
        case ssl.SSLCertVerificationError():
            evidence = f"{error.verify_message}, OpenSSL code {error.verify_code}"
        case ssl.SSLError() if _reason(error):
            evidence = _reason(error)
        case OSError():
            evidence = error.strerror or str(error)
        case _:
            evidence = ""
    words = EXPLANATIONS.get(cause_of(error, connecting), type(error).__name__)
    return clean(f"{words} ({evidence})" if evidence else words)


def _reason(error: ssl.SSLError) -> str:
    # Only what OpenSSL raised has a reason; what the ssl module raises by itself lacks the attribute.
    return getattr(error, "reason", None) or ""


def login_cause(reply: str) -> Cause:
    """What a refused login means, from the response code alone.

    POP3 and IMAP put it in brackets (RFC 3206, RFC 5530), SMTP uses 535 or 4yz (RFC 4954 §6). A bare -ERR or NO
    counts as a refused login, because Dovecot and others send one for a wrong password.
    """
    bracket = re.match(r"(?:-ERR|NO|BAD)?\s*\[([A-Z/-]+)", reply, re.IGNORECASE)
    if bracket:
        return _CODES.get(bracket[1].upper(), Cause.LOGIN_REFUSED)
    if re.match(r"4\d\d\b", reply):
        return Cause.TEMPORARY
    if re.match(r"(?!535)5\d\d\b", reply):
        return Cause.PERMANENT
    return Cause.LOGIN_REFUSED


def clean(text: str | bytes, secrets: Iterable[str] = (), limit: int = 200) -> str:
    """`text` fit for a terminal: one line, no control or format characters, no secret, at most `limit` characters."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    # A secret goes first: cut or stripped text could hold a part of it that no longer compares equal.
    for secret in secrets:
        if secret:
            text = text.replace(secret, "<secret>")
    text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
