"""SASL PLAIN (RFC 4616), the one mechanism that takes any password, as UTF-8, in every mail protocol."""

from __future__ import annotations

import base64

from mailprov.checks.cause import ServerError, clean, login_cause
from mailprov.checks.check import Account
from mailprov.checks.wire import Wire


def plain(account: Account, wire: Wire) -> str:
    """The response to send, in base64.

    Raises RuntimeError on a connection without TLS: the password never travels in the clear. That TLS alone means a
    verified peer is the promise of `mailprov.checks.tls`.
    """
    if not wire.encrypted:
        raise RuntimeError("a login without TLS")
    message = f"\0{account.address}\0{account.password.reveal()}"
    return base64.b64encode(message.encode()).decode()


def refusal(reply: str | bytes, account: Account) -> ServerError:
    """The error for a refused login; the password does not show, even where the server echoes it."""
    password = account.password.reveal()
    message = f"\0{account.address}\0{password}"
    secrets = (password, base64.b64encode(message.encode()).decode())
    text = clean(reply, secrets)
    return ServerError(login_cause(text), text)
