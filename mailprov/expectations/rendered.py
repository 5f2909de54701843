"""What one host would have if the declaration was applied, as far as expectations are about it (pure).

It is taken from the very tables and rules that the host's programs would read, so that it is not what somebody thinks
that a declaration means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from mailprov.expectations.networks import EVERYWHERE, Sources, sources
from mailprov.model import PROTOCOLS, HostSpec, Key, Protocol_, State
from mailprov.resources import accounts, files, maps
from mailprov.resources.accounts import Accounts, row
from mailprov.resources.files import File
from mailprov.resources.firewall.rules import Rules, rules
from mailprov.resources.maps import Map
from mailprov.roles import dovecot, firewall, postfix

Means = tuple[tuple[str, ...], frozenset[Protocol_]]
"""by what somebody may log in: the networks ("": any), and the protocols"""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One host.

    `listeners` are its mail ports, each with the protocol and "tls", "starttls" or "smtp"; `rules` what its firewall
    lets in, None where mailprov does not manage it. `rows` are the accounts' rows by address, `denied` the protocols
    that are kept from some. `domains` and `mailboxes` are those that mail is taken for, `aliases` where it goes on to.
    """

    name: str
    hostname: str
    listeners: Mapping[int, tuple[str, str]]
    rules: Rules | None
    ssh: frozenset[int]
    rows: Mapping[str, str] = field(repr=False)
    denied: Mapping[str, frozenset[str]] = field(repr=False)
    domains: frozenset[str]
    mailboxes: frozenset[str] = field(repr=False)
    aliases: Mapping[str, tuple[str, ...]] = field(repr=False)

    def admitted(self, port: int) -> Sources:
        """Who reaches a TCP port, whoever listens there."""
        return EVERYWHERE if self.rules is None else sources(self.rules.admits(("tcp", port)))

    def reach(self, protocol: Protocol_) -> Sources:
        """Who reaches one of a protocol's listeners."""
        found = Sources()
        for port, (name, _) in self.listeners.items():
            found |= self.admitted(port) if name == protocol else Sources()
        return found

    def means(self, address: str) -> Means:
        """By what an account may log in."""
        denied = self.denied.get(address, frozenset())
        return row.networks(self.rows[address]), frozenset(name for name in PROTOCOLS if name not in denied)

    def quota(self, address: str) -> int | None:
        """What an account's mailbox may hold, in bytes; None: there is no limit."""
        return row.quota(self.rows[address])


def allowed(networks: tuple[str, ...]) -> Sources:
    """Who may log in where an account's row says these networks."""
    return sources(map(ip_network, networks)) if networks else EVERYWHERE


def rendered(host: HostSpec, desired: State, ssh: frozenset[int]) -> Rendered:
    """What `desired` is for this host, whose SSH is reached on these ports."""
    table = desired[Key(accounts.KIND, dovecot.ACCOUNTS)]
    rows = table.rows.reveal() if isinstance(table, Accounts) and table.rows else {}
    by_service = {service: name for name, service in dovecot.AUTH_SERVICE.items()}
    denied: dict[str, frozenset[str]] = {}
    for line in _text(desired, dovecot.DENIED).splitlines():
        address, _, service = line.rpartition("/")
        if service in by_service:
            denied[address] = denied.get(address, frozenset()) | {by_service[service]}
    managed = Key(files.KIND, firewall.PATH) in desired
    return Rendered(
        host.name,
        host.hostname,
        {port: (name, mode) for name, mode, port in host.services.ports()},
        rules(_text(desired, firewall.PATH)) if managed else None,
        ssh,
        rows,
        denied,
        frozenset(_rows(desired, "domains")),
        frozenset(_rows(desired, "mailboxes")),
        {key: tuple(said.split(", ")) for key, said in _rows(desired, "aliases").items()},
    )


def _text(desired: State, path: str) -> str:
    item = desired.get(Key(files.KIND, path))
    return (item.content or b"").decode() if isinstance(item, File) else ""


def _rows(desired: State, name: str) -> Mapping[str, str]:
    """What a table of Postfix's says, by key."""
    item = desired.get(Key(maps.KIND, f"{postfix.FOLDER}/{name}"))
    rows = item.rows.reveal() if isinstance(item, Map) and item.rows else {}
    return {key: line.partition(" ")[2] for key, line in rows.items()}
