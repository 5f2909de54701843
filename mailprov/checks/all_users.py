"""Every account logs in once by each protocol that it may use: in parallel, and without looking like an attack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mailprov.checks.cause import Cause
from mailprov.checks.check import Account, Check, Endpoint, Log, Trust
from mailprov.checks.delivery import check_login
from mailprov.checks.listener import check_listener

AT_ONCE: Final = 8
REFUSALS: Final = 10
"""refused accounts after which no more are tried: Dovecot answers this address more slowly after each, up to 15 s"""


@dataclass(frozen=True, slots=True)
class Login:
    """How `address` got on at one endpoint."""

    address: str
    check: Check


def everybody(
    endpoints: Sequence[Endpoint],
    trust: Trust,
    accounts: Sequence[Account],
    *,
    now: datetime,
    timeout: float = 20.0,
    on_login: Callable[[Login], None] | None = None,
) -> tuple[Login, ...]:
    """One login of each account at one endpoint of each protocol that it may use, in the order of `accounts`.

    Of a protocol's endpoints the one that is TLS from the first byte is taken. Each is first looked at without an
    account: where that fails, nobody's password goes there. An account is logged in once at a time, and not again once
    its password was refused; after REFUSALS refused accounts nobody else is tried. `timeout` is seconds for each
    exchange. `on_login` is called from several threads, one at a time. Raises nothing that network or server cause.
    """
    chosen = _chosen(endpoints)
    broken = {end: why for end in chosen.values() if (why := _trouble(end, trust, now, timeout)) is not None}
    lock = threading.Lock()
    refused: list[str] = []

    def one(account: Account) -> tuple[Login, ...]:
        made: list[Login] = []
        for end in (chosen[name] for name in chosen if account.may(name)):
            mine = any(login.check.cause is Cause.LOGIN_REFUSED for login in made)
            why = "its password was refused" if mine else ""
            if len(refused) >= REFUSALS and not why:
                why = f"{REFUSALS} accounts were refused: trying more would look like an attack"
            check = broken.get(end) or (_skipped(end, why) if why else _login(end, trust, account, timeout))
            login = Login(account.address, check)
            made.append(login)
            with lock:
                if check.cause is Cause.LOGIN_REFUSED:
                    refused.append(account.address)
                if on_login is not None:
                    on_login(login)
        return tuple(made)

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="everybody") as pool:
        return tuple(login for part in pool.map(one, accounts) for login in part)


def _chosen(endpoints: Sequence[Endpoint]) -> Mapping[str, Endpoint]:
    """One endpoint of each protocol that takes logins."""
    usable = [end for end in endpoints if end.protocol != "smtp"]
    return {end.protocol: end for end in sorted(usable, key=lambda end: end.mode == "tls")}


def _trouble(end: Endpoint, trust: Trust, now: datetime, timeout: float) -> Check | None:
    """Why nobody can log in there; None where all is well."""
    return next((it for it in check_listener(end, trust, now=now, timeout=timeout, brief=True) if it.failed), None)


def _login(end: Endpoint, trust: Trust, account: Account, timeout: float) -> Check:
    return check_login(end, trust, account, timeout=timeout)[-1]


def _skipped(end: Endpoint, why: str) -> Check:
    log = Log(end)
    log.skip("login", why)
    return log.checks[-1]


def by_account(logins: Sequence[Login]) -> Iterator[tuple[str, tuple[Check, ...]]]:
    """Each account's checks, in order."""
    found: dict[str, list[Check]] = {}
    for login in logins:
        found.setdefault(login.address, []).append(login.check)
    yield from ((address, tuple(checks)) for address, checks in found.items())
