"""A host as its clients see it: which endpoints, and which certificate they should be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mailprov.checks import Account, Check, Endpoint, Trust, check_listener, check_login, endpoints, pin
from mailprov.checks import verify as look
from mailprov.connection import Host
from mailprov.errors import HostError
from mailprov.model import Allow, HostSpec
from mailprov.roles.tls import paths
from mailprov.workflows.session import session


def reached(declared: HostSpec) -> tuple[Endpoint, ...]:
    """Every declared listener, where it is reached from here."""
    address = "127.0.0.1" if declared.address == "local" else declared.address
    return endpoints(declared.services, address, declared.hostname, declared.outgoing.networks)


def narrowed(declared: HostSpec) -> tuple[Allow, ...]:
    """Firewall rules that may keep this machine out of a declared listener."""
    return tuple(
        rule for rule in declared.firewall.allow if declared.firewall.manage and rule.sources and rule.protocol == "tcp"
    )


def trust(declared: HostSpec, leaf: str, roots: Path | None = None) -> Trust:
    """What a client should be shown: the declared certificate, or the one that the host keeps, known by its `leaf`.

    Without a leaf ("") a certificate that only the host knows is judged by the roots alone.
    """
    known = pin(declared.tls.chain) if declared.tls.chain else leaf
    return Trust(frozenset({known} if known else ()), roots, declared.tls.min_version)


def asked_trust(declared: HostSpec, roots: Path | None = None) -> Trust:
    """As `trust`; a host that keeps its certificate itself is asked for it. Raises ConnectError or HostError."""
    if declared.tls.source == "file":
        return trust(declared, "", roots)
    with session(declared) as host:
        return trust(declared, kept_leaf(declared, host), roots)


def kept_leaf(declared: HostSpec, host: Host) -> str:
    """The fingerprint of the certificate that a host keeps; "" where it is declared. Raises HostError for none."""
    if declared.tls.source == "file":
        return ""
    path = str(paths(declared).certificate)
    completed = host.run(("openssl", "x509", "-in", path))
    if completed.status != 0:
        raise HostError(f"{path} cannot be read", where=declared.name, fix="run `mailprov apply` first")
    return pin(completed.stdout.decode("ascii", "replace"))


def listeners(declared: HostSpec, trusted: Trust, account: Account | None) -> tuple[Check, ...]:
    """Each listener from outside, and a real login through one of each protocol where there is an account for it.

    Listeners that the declaration narrows to others are left out.
    """
    here = open_here(declared)
    checks = look(here, trusted, now=datetime.now(UTC))
    if account is None or any(check.failed for check in checks):
        return checks
    return checks + _logins(here, trusted, account)


def glance(declared: HostSpec, trusted: Trust, accounts: Sequence[Account]) -> tuple[Check, ...]:
    """One listener of each protocol, briefly, and a login for each of `accounts`: for a change of accounts only."""
    here = open_here(declared)
    by_protocol = {endpoint.protocol: endpoint for endpoint in here}
    checks = [check_listener(end, trusted, now=datetime.now(UTC), brief=True) for end in by_protocol.values()]
    logins = [_logins(here, trusted, account, 1) for account in accounts]
    return tuple(check for part in (*checks, *logins) for check in part)


def _logins(here: Sequence[Endpoint], trusted: Trust, account: Account, most: int = 3) -> tuple[Check, ...]:
    """A login through one listener of each protocol that the account may use, `most` in all; none after a failure."""
    usable = {endpoint.protocol: endpoint for endpoint in here if account.may(endpoint.protocol)}
    found: list[Check] = []
    for endpoint in list(usable.values())[:most]:
        if not any(check.failed for check in found):
            found += check_login(endpoint, trusted, account)
    return tuple(found)


def open_here(declared: HostSpec) -> list[Endpoint]:
    """Every declared listener that is not narrowed to others."""
    closed = {rule.port for rule in narrowed(declared)}
    return [endpoint for endpoint in reached(declared) if endpoint.port not in closed]


def everything(declared: HostSpec, trusted: Trust, account: Account | None) -> Sequence[Check]:
    """Each listener, each login, and one message through. A listener narrowed to others may refuse us: a warning."""
    closed = {rule.port for rule in narrowed(declared)}
    checks = look(reached(declared), trusted, account, now=datetime.now(UTC))
    return [
        replace(check, severity="warning") if check.step == "connect" and check.endpoint.port in closed else check
        for check in checks
    ]
