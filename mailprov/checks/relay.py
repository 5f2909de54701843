"""Is it an open relay? Asked as a spammer would, without a login, and without ever sending a message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Final

from mailprov.checks.cause import Cause
from mailprov.checks.check import Check, Endpoint, Log, Note, OnCheck, Stopped, Trust
from mailprov.checks.session import leave, secured
from mailprov.checks.smtp import Reply, Smtp
from mailprov.checks.wire import dial
from mailprov.model import Network

# example.net and example.org belong to nobody (RFC 2606 §3): no mail for them could ever be wanted.
FOREIGN: Final = "relay-test@example.net"
_STRANGER: Final = "relay-test@example.org"


def check_relay(
    endpoint: Endpoint, trust: Trust, *, timeout: float = 20.0, on_check: OnCheck | None = None
) -> tuple[Check, ...]:
    """Without a login, offers mail for a foreign domain, from nobody, a stranger and a local sender; RSET, never DATA.

    One check, "relay refused", for an `smtp` or `submission` endpoint: ok where each envelope is refused for good
    (5yz, RFC 5321 §4.2.1), a warning where it is put off (4yz). Port 25 is asked in cleartext, as other servers may
    come; submission is asked over TLS that `trust` accepts. (That AUTH is not offered before TLS is a step of
    `check_listener`.) `timeout` is seconds for each exchange. Raises nothing that network or server cause.
    """
    log = Log(endpoint, on_check)
    with suppress(Stopped), log.step("relay refused") as note, _session(endpoint, trust, timeout) as session:
        same_host = session.wire.same_host
        session.capabilities()
        replies = [session.recipient(sender, FOREIGN) for sender in ("", _STRANGER)]
        local = session.recipient(f"postmaster@{endpoint.server_name}", FOREIGN)
        if local.code // 100 == 2 and endpoint.networks:
            _allowed(note, local, session.wire.local_address, endpoint.networks)
        else:
            replies.append(local)
        _judge(note, replies, same_host)
    return log.checks


@contextmanager
def _session(endpoint: Endpoint, trust: Trust, timeout: float) -> Iterator[Smtp]:
    if endpoint.protocol == "submission":
        with secured(endpoint, trust, timeout) as session:
            yield Smtp(session.wire)
        return
    session = Smtp(dial(endpoint.address, endpoint.port, timeout))
    try:
        session.greet()
        yield session
    finally:
        leave(session)


def _allowed(note: Note, local: Reply, address: str, networks: tuple[Network, ...]) -> None:
    """A local sender is taken where networks may send: right for who is in them, as one behind NAT may be, too."""
    found = ip_address(address)
    found = getattr(found, "ipv4_mapped", None) or found
    if any(found in network for network in networks):
        return
    what = f"a declared sender is taken from outside of `outgoing.allow_from`: {local}"
    if found.is_global:
        note.fail(Cause.OPEN_RELAY, f"an open relay: {what}")
    else:
        note.fail(Cause.NOT_TESTED, f"{what}; this machine may be in it by another address", "warning")


def _judge(note: Note, replies: list[Reply], same_host: bool) -> None:
    worst = min(replies, key=lambda reply: reply.code)
    note.detail = f"for {FOREIGN}: {worst}"
    if worst.code // 100 == 4:
        note.fail(Cause.TEMPORARY, f"put off, not refused: {note.detail}", "warning")
    elif worst.code // 100 != 5 and same_host:
        # Postfix lets its own machine relay (mynetworks), so that local programs can send mail.
        note.fail(Cause.NOT_TESTED, f"accepted from the mail host itself: judge from another host; {worst}", "warning")
    elif worst.code // 100 != 5:
        note.fail(Cause.OPEN_RELAY, f"an open relay: {note.detail}")
