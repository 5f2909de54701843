"""One way in, walked as a mail program walks it: from the server's name to the open mailbox, each step timed."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from mailprov.checks.cause import CAUGHT, Cause, ServerError, cause_of, explanation, login_cause
from mailprov.checks.check import Account, Check, Endpoint, Log, Stopped, Trust
from mailprov.checks.listener import check_listener, look_in_cleartext
from mailprov.checks.run import untrusted
from mailprov.checks.session import secured

_AT_ONCE = 8
AUTH_TIMEOUT = 30.0
"""seconds for an answer to a login: Dovecot holds a refusal back, up to 15 s after several"""


@dataclass(frozen=True, slots=True)
class ConnectionTrace:
    """What was met at one endpoint. `endpoint.address` is where the walk went: what DNS gave, else what was declared.

    `resolved` is all that DNS gave for the server's name, `source` this machine's address on that way ("" where there
    is no way).
    """

    endpoint: Endpoint
    checks: tuple[Check, ...]
    resolved: tuple[str, ...] = ()
    source: str = ""


def traced(
    endpoints: Sequence[Endpoint],
    trust: Trust,
    account: Account | None = None,
    *,
    now: datetime,
    encrypted: bool = True,
    timeout: float = 20.0,
) -> tuple[ConnectionTrace, ...]:
    """A Walk for each of `endpoints`, up to 8 at a time; then logins, one after the other, where TLS can be trusted.

    The first refused login is the last one: several look like an attack to the host. `encrypted=False` goes as a
    client does that is set to use no TLS, and never logs in. `now` is aware, `timeout` is seconds for each connection
    attempt and exchange. Raises nothing that network or server cause.
    """

    def one(endpoint: Endpoint) -> ConnectionTrace:
        return _traced(endpoint, trust, now, timeout, encrypted)

    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="walk") as pool:
        walks = list(pool.map(one, endpoints))
    refused = ""
    for place, made in enumerate(walks):
        if account is None or made.endpoint.protocol == "smtp" or not encrypted:
            continue
        log = Log(made.endpoint)
        why = refused or untrusted(made.checks, trust)
        if why:
            log.skip("login", why)
        else:
            _enter(log, trust, account)
            if not all(check.ok for check in log.checks):
                refused = f"{made.endpoint} refused a login, and a second one could look like an attack"
        walks[place] = replace(made, checks=made.checks + log.checks)
    return tuple(walks)


def _traced(endpoint: Endpoint, trust: Trust, now: datetime, timeout: float, encrypted: bool) -> ConnectionTrace:
    log = Log(endpoint)
    resolved: tuple[str, ...] = ()
    with suppress(Stopped), log.step("dns") as note:
        resolved = addresses(endpoint.server_name)
        note.detail = f"{endpoint.server_name} is {', '.join(resolved)}"
    if not resolved and endpoint.address == endpoint.server_name:
        return ConnectionTrace(endpoint, log.checks)
    try:
        with log.step("route") as note:
            address, source = _way(resolved or addresses(endpoint.address), endpoint.port)
            note.detail = f"to {address} from {source}"
    except Stopped:
        return ConnectionTrace(endpoint, log.checks, resolved)
    reached = replace(endpoint, address=address)
    if encrypted:
        checks = check_listener(reached, trust, now=now, timeout=timeout)
    else:
        checks = look_in_cleartext(reached, timeout=timeout)
    before = tuple(replace(check, endpoint=reached) for check in log.checks)
    return ConnectionTrace(reached, before + checks, resolved, source)


def addresses(name: str) -> tuple[str, ...]:
    """Every IP address of a name, in the resolver's order (RFC 6724); a name that is an address is that.

    Raises OSError (socket.gaierror) and UnicodeError as getaddrinfo does.
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _way(addresses: Sequence[str], port: int) -> tuple[str, str]:
    """The first address that the system has a route to, and its own address on that way; nothing is sent.

    Raises the OSError of the last one where there is none.
    """
    error: OSError = OSError("no address")
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, port))
                return address, str(probe.getsockname()[0]).partition("%")[0]
        except OSError as caught:
            error = caught
    raise error


def _enter(log: Log, trust: Trust, account: Account) -> None:
    """One login, and a look into the mailbox."""
    with suppress(Stopped):
        with log.step("login") as login, secured(log.endpoint, trust, AUTH_TIMEOUT) as session:
            session.login(account)
            login.detail = f"{account.address} is in"
            begun = time.monotonic()
            try:
                found, cause = session.enter(), Cause.NONE
            except (ServerError, *CAUGHT) as error:
                found, cause = explanation(error), _cause(error)
            seconds = time.monotonic() - begun
        if found:
            log.add(Check(log.endpoint, "mailbox", cause is Cause.NONE, seconds, found, "error", cause))


def _cause(error: BaseException) -> Cause:
    if isinstance(error, ServerError) and error.cause is Cause.PERMANENT:
        # A mailbox is refused with the same response codes as a login (RFC 2449 §8, RFC 5530).
        coded = login_cause(error.reply)
        return error.cause if coded is Cause.LOGIN_REFUSED else coded
    return cause_of(error)
