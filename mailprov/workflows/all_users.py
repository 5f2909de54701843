"""Everybody on a host whose password is known here, logged in by all that they may use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mailprov.checks import Account
from mailprov.checks.all_users import everybody
from mailprov.credentials.entries import Entry
from mailprov.model import HostSpec, Spec, User
from mailprov.observer import Observer
from mailprov.report.logins import LoginReport
from mailprov.workflows import client_view
from mailprov.workflows.generated_passwords import known


def all_users(
    spec: Spec, declared: HostSpec, entries: Sequence[Entry], roots: Path | None, observer: Observer
) -> LoginReport:
    """How everybody on one host gets on. Raises ConnectError or HostError."""
    trusted = client_view.asked_trust(declared, roots)
    # Where another host has the password, an older account here may have another one.
    here = {
        it.address: it.password for it in entries if declared.name in (*it.hosts, *(() if it.reset else it.pending))
    }
    accounts, without = _accounts(known(spec, here).users_of(declared.name))
    with observer.during(f"logging in {len(accounts):,} accounts of {declared.name}"):
        found = everybody(client_view.open_here(declared), trusted, accounts, now=datetime.now(UTC))
    tried = {login.address for login in found}
    without |= {it.address: "nothing that it may use is open to us" for it in accounts if it.address not in tried}
    return LoginReport(declared.name, found, without)


def _accounts(users: Sequence[User]) -> tuple[list[Account], dict[str, str]]:
    """Who can be tried, and who cannot, with the reason."""
    accounts: list[Account] = []
    without: dict[str, str] = {}
    for user in users:
        password = user.password.plaintext
        if not user.protocols:
            without[user.address] = "may not log in"
        elif user.allow_from:
            without[user.address] = f"may log in from {', '.join(map(str, user.allow_from[:3]))} only"
        elif password is None:
            without[user.address] = "its password is not known here"
        else:
            accounts.append(Account(user.address, password, user.protocols))
    return accounts, without
