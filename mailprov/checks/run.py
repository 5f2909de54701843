"""Everything at once: every listener, every way in, one message through."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from mailprov.checks.cause import Cause
from mailprov.checks.check import Account, Check, Endpoint, Log, OnCheck, Step, Trust
from mailprov.checks.delivery import check_delivery, check_login
from mailprov.checks.listener import check_listener
from mailprov.checks.relay import check_relay

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

    First, at up to 8 endpoints at a time, `check_listener` and (smtp, submission) `check_relay`. Then, with an
    `account`, `check_login` at one endpoint after the other, on the protocols that it may use and only where TLS is
    trusted: the first refused password is the last one sent, because several look like an attack to the host. Then
    `check_delivery`, between the endpoints that let the account in. The result is in this order, and within it in the
    order of `endpoints`, whatever finished first.

    `now` is aware; `timeout` is seconds for each exchange, `wait` seconds for a message to arrive. `on_check` gets
    each check as it is made: from several threads, but one at a time. Raises nothing that network or server cause.
    """
    lock = threading.Lock()

    def report(check: Check) -> None:
        if on_check is not None:
            with lock:
                on_check(check)

    def look(endpoint: Endpoint) -> tuple[Check, ...]:
        checks = check_listener(endpoint, trust, now=now, timeout=timeout, on_check=report)
        if _relay_can_be_asked(endpoint, checks, trust):
            checks += check_relay(endpoint, trust, timeout=timeout, on_check=report)
        return checks

    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="verify") as pool:
        looked = dict(zip(endpoints, pool.map(look, endpoints), strict=True))
    checks = tuple(check for part in looked.values() for check in part)
    if account is None:
        return checks
    mine = [endpoint for endpoint in endpoints if account.may(endpoint.protocol)]
    own = {endpoint: untrusted(looked[endpoint], trust) for endpoint in mine}
    logins = _logins(own, trust, account, timeout, report)
    usable = [check.endpoint for check in logins if check.ok]
    sent = check_delivery(usable, trust, account, now=now, timeout=timeout, wait=wait, on_check=report)
    return checks + logins + (sent or _not_sent(own, report))


def _logins(
    endpoints: Mapping[Endpoint, str], trust: Trust, account: Account, timeout: float, report: OnCheck
) -> tuple[Check, ...]:
    """One check for each of `endpoints`; the values say why no login may be tried, "" where it may."""
    checks: list[Check] = []
    refused = ""
    for endpoint, why in endpoints.items():
        if why or refused:
            checks += _skipped(endpoint, "login", why or refused, report)
            continue
        checks += check_login(endpoint, trust, account, timeout=timeout, on_check=report)
        if checks[-1].cause is Cause.LOGIN_REFUSED:
            refused = f"the password was refused by {endpoint}, and is not sent again"
    return tuple(checks)


def _relay_can_be_asked(endpoint: Endpoint, checks: Sequence[Check], trust: Trust) -> bool:
    if endpoint.protocol == "submission":
        return not untrusted(checks, trust)
    silent = any(check.failed and check.step in ("connect", "greeting") for check in checks)
    return endpoint.protocol == "smtp" and not silent


def untrusted(checks: Sequence[Check], trust: Trust) -> str:
    """Why no password may go to where `checks` were made; "" where it may."""
    judged: Step = "declared certificate" if trust.pins else "chain"
    for check in checks:
        if check.step == judged:
            return "" if check.ok else "the certificate is not trusted"
    return "there is no TLS connection"


def _not_sent(endpoints: Iterable[Endpoint], report: OnCheck) -> tuple[Check, ...]:
    for endpoint in endpoints:
        if endpoint.protocol == "submission":
            return _skipped(endpoint, "send", "no login for sending", report)
    return ()


def _skipped(endpoint: Endpoint, step: Step, why: str, report: OnCheck) -> tuple[Check, ...]:
    log = Log(endpoint, report)
    log.skip(step, why)
    return log.checks
