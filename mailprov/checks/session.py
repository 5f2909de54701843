"""What the protocols have in common: approach, TLS, capabilities, login, farewell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol as Interface

from mailprov.checks import tls
from mailprov.checks.cause import CAUGHT, Cause, ServerError
from mailprov.checks.check import Account, Endpoint, Trust
from mailprov.checks.imap import Imap
from mailprov.checks.managesieve import ManageSieve
from mailprov.checks.pop3 import Pop3
from mailprov.checks.smtp import Smtp
from mailprov.checks.wire import Wire, dial


class Session(Interface):
    """A conversation in one of the protocols.

    Every method raises ServerError for an answer that is no, and OSError or EOFError when the connection fails.
    Capabilities are in upper case and in one spelling for all protocols: STARTTLS, AUTH=PLAIN, …
    """

    wire: Wire

    def greet(self) -> str:
        """Reads the server's greeting; returns its text."""

    def capabilities(self) -> frozenset[str]:
        """Asks what the server offers; to be asked anew after TLS and after login."""

    def ask_tls(self) -> None:
        """Gives the protocol's command to upgrade; the handshake must follow."""

    def cleartext_login(self) -> str:
        """How the server would take a login on this connection, asked without sending any password; "" if it won't."""

    def missing(self, offered: frozenset[str]) -> tuple[str, ...]:
        """What a mail client needs after TLS and `offered` lacks."""

    def login(self, account: Account) -> None:
        """Logs in, once, by one mechanism. Only on TLS."""

    def enter(self) -> str:
        """Opens the mailbox of who has logged in; returns what is there in words, "" where there is none to open."""

    def quit(self) -> None:
        """Says farewell."""


def begin(wire: Wire, endpoint: Endpoint) -> Session:
    """The session of `endpoint`'s protocol on a connection; nothing is sent or read."""
    match endpoint.protocol:
        case "pop3":
            return Pop3(wire)
        case "imap":
            return Imap(wire)
        case "sieve":
            return ManageSieve(wire)
        case "submission" | "smtp":
            return Smtp(wire)


def approach(endpoint: Endpoint, timeout: float) -> Session:
    """Connects and walks to the edge of TLS: nothing in `tls` mode, greeting and upgrade command in `starttls` mode.

    Raises what these raise, with the connection closed.
    """
    session = begin(dial(endpoint.address, endpoint.port, timeout), endpoint)
    try:
        if endpoint.mode == "starttls":
            session.greet()
            upgrade(session)
    except BaseException:
        session.wire.close()
        raise
    return session


def upgrade(session: Session) -> None:
    """Asks for the upgrade to TLS where it is offered; raises ServerError (NO_STARTTLS) where it is not."""
    if "STARTTLS" not in session.capabilities():
        raise ServerError(Cause.NO_STARTTLS)
    session.ask_tls()


@contextmanager
def secured(endpoint: Endpoint, trust: Trust, timeout: float) -> Iterator[Session]:
    """A greeted session over TLS that `trust` accepts, so that a login may follow; says farewell at the end.

    Raises as `tls.trusted` and Session do.
    """
    session = approach(endpoint, timeout)
    try:
        session.wire.adopt(tls.trusted(session.wire.bare(), endpoint.server_name, trust)[0])
        if endpoint.mode == "tls":
            session.greet()
        yield session
    finally:
        leave(session)


def leave(session: Session) -> None:
    """Says farewell if the server still listens, and closes."""
    with suppress(ServerError, *CAUGHT):
        session.quit()
    session.wire.close()
