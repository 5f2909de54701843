"""How mail leaves: a transport of Postfix for each relay, who uses it, and networks that may send without a login."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from mailprov.encode import Encoded, EncodeError, address, login_row, word
from mailprov.errors import MailprovError
from mailprov.model import Facts, HostSpec, Item, Outgoing, Query, Relay
from mailprov.resources.files import text_file
from mailprov.resources.packages import Package

FOLDER: Final = "/etc/postfix/mailprov"
NETWORKS: Final = f"{FOLDER}/networks"
LOGINS: Final = f"{FOLDER}/relay-*"
"""where logins at relays are: secrets"""


def values(host: HostSpec) -> Mapping[str, object]:
    """What the templates of main.cf and master.cf are told."""
    sent = host.outgoing
    return {
        "way": _way(sent.relay) if sent.relay else "",
        "senders_ways": Encoded(", ".join(f"{{ {address(name)} = {_way(relay)} }}" for name, relay in sent.senders)),
        "networks": bool(sent.networks),
        "sent_tls": word("encrypt" if sent.tls == "required" else "may"),
        "days": sent.days if sent.days != Outgoing().days else 0,
        "message_size": sent.message_size,
    }


def transports(host: HostSpec) -> list[Mapping[str, object]]:
    """What master.cf has of each relay: its service's name, how TLS is begun, and where its login is.

    smtp(8) defers mail for a server that DNS does not know only where that is the relayhost; else it is returned.
    """
    return [
        {
            "name": word(relay.name),
            "nexthop": _nexthop(relay),
            "wrapped": relay.tls == "tls",
            "level": word("none" if relay.tls == "none" else "secure"),
            "login": word(_file(relay)) if relay.user else "",
        }
        for relay in host.outgoing.relays
    ]


def queries(host: HostSpec) -> tuple[Query, ...]:
    """The host's salt, where a login wants it."""
    return (Query("salt", "salt"),) if any(relay.user for relay in host.outgoing.relays) else ()


def items(host: HostSpec, facts: Facts) -> Iterator[Item]:
    """The logins at relays, each in a file that only root reads; and the networks. smtp(8) opens the former as root.

    A person has chosen such a password: without the host's salt beside it, it could be guessed from the file's digest,
    which stands in kept plans.
    """
    sent = host.outgoing
    if any(relay.user for relay in sent.relays):
        yield Package("libsasl2-modules")
    for relay in sent.relays:
        if relay.user:
            if relay.password is None:
                what = f"the password for the relay {relay.host} was not read"
                raise MailprovError(what, where=host.name, fix=f"provide it: {relay.source}")
            row = login_row(_nexthop(relay), relay.user, relay.password.reveal())
            salt = facts.salt.reveal() if facts.salt else ""
            yield text_file(_file(relay), f"# {salt}\n{row}\n", mode="600", secret=True, services=("postfix",))
    if sent.networks:
        rows = "".join(f"{network} from_networks\n" for network in sent.networks)
        yield text_file(NETWORKS, rows, services=("postfix",))


def _way(relay: Relay | None) -> Encoded:
    """A transport and where it leads (transport(5)); the receiver's own server where there is no relay."""
    return Encoded(f"{word(relay.name)}:{_nexthop(relay)}" if relay else "smtp:")


def _nexthop(relay: Relay) -> Encoded:
    """Without a search for MX records (postconf(5), relayhost)."""
    try:
        host = str(ip_address(relay.host))
    except ValueError:
        host = word(relay.host)
    if "%" in host:
        raise EncodeError("an address with a zone cannot stand in Postfix's tables", where=ascii(host[:80]))
    return Encoded(f"[{host}]:{int(relay.port)}")


def _file(relay: Relay) -> str:
    return f"{FOLDER}/{relay.name}"
