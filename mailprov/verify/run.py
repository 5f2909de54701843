"""Everything at once: every listener, every way in, one message through."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from mailprov.verify.check import Account, Check, Endpoint, Log, OnCheck, Step, Trust
from mailprov.verify.delivery import check_delivery, check_login
from mailprov.verify.listener import check_listener
from mailprov.verify.relay import check_relay

_AT_ONCE = 8


def verify(
    endpoints: Sequence[Endpoint],
    trust: Trust,
    account: Account | None = None,
    *,
    now: datetime,
    timeout: float = 20.0,
    wait: float = 30.0,
    on_check: OnCheck | None = None,
) -> tuple[Check, ...]:
    """Every check at every endpoint, as a client elsewhere sees the host.

    First, at up to 8 endpoints at a time: `check_listener`, `check_relay` (smtp, submission), and with an `account`
    `check_login`, on the protocols that it may use. Where an endpoint's TLS is not trusted, no login is tried. Then
    `check_delivery`. The result is in the order of `endpoints`, with delivery last, whatever finished first.

    `now` is aware; `timeout` is seconds for each exchange, `wait` seconds for a message to arrive. `on_check` gets
    each check as it is made: from several threads, but one at a time. Raises nothing that network or server cause.
    """
    lock = threading.Lock()

    def report(check: Check) -> None:
        if on_check is not None:
            with lock:
                on_check(check)

    def look(endpoint: Endpoint) -> tuple[Check, ...]:
        return _endpoint(endpoint, trust, account, now, timeout, report)

    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="verify") as pool:
        found = list(pool.map(look, endpoints))
    checks = tuple(check for part in found for check in part)
    if account is None:
        return checks
    # Where a login has failed the password is not sent again.
    open_to = {check.endpoint for check in checks if check.step == "login" and check.ok}
    usable = [endpoint for endpoint in endpoints if endpoint in open_to]
    sent = check_delivery(usable, trust, account, now=now, timeout=timeout, wait=wait, on_check=report)
    return checks + (sent or _not_sent(endpoints, account, report))


def _endpoint(
    endpoint: Endpoint, trust: Trust, account: Account | None, now: datetime, timeout: float, report: OnCheck
) -> tuple[Check, ...]:
    checks = check_listener(endpoint, trust, now=now, timeout=timeout, on_check=report)
    why = _untrusted(checks, trust)
    unreachable = any(check.failed and check.step in ("connect", "greeting") for check in checks)
    if (endpoint.protocol == "smtp" and not unreachable) or (endpoint.protocol == "submission" and not why):
        checks += check_relay(endpoint, trust, timeout=timeout, on_check=report)
    if account is None or endpoint.protocol not in account.protocols:
        return checks
    if not why:
        return checks + check_login(endpoint, trust, account, timeout=timeout, on_check=report)
    log = Log(endpoint, report)
    log.skip("login", why)
    return checks + log.checks


def _untrusted(checks: Sequence[Check], trust: Trust) -> str:
    """Why no password may go to where `checks` were made; "" where it may."""
    judged: Step = "declared certificate" if trust.pins else "chain"
    for check in checks:
        if check.step == judged:
            return "" if check.ok else "the certificate is not trusted"
    return "there is no TLS connection"


def _not_sent(endpoints: Sequence[Endpoint], account: Account, report: OnCheck) -> tuple[Check, ...]:
    for endpoint in endpoints:
        if endpoint.protocol == "submission" and "submission" in account.protocols:
            log = Log(endpoint, report)
            log.skip("send", "no login for sending")
            return log.checks
    return ()
