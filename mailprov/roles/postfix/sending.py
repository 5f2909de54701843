"""How mail leaves: a transport of Postfix for each relay, who uses it, and networks that may send without a login."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mailprov.encode import Encoded, address, login_row, word
from mailprov.errors import MailprovError
from mailprov.model import HostSpec, Item, Outgoing, Relay
from mailprov.resources.files import text_file
from mailprov.resources.packages import Package

FOLDER: Final = "/etc/postfix/mailprov"
NETWORKS: Final = f"{FOLDER}/networks"
_LOGINS: Final = f"{FOLDER}/relay{{}}"
_MOST: Final = 100
"""relays of a host, each a transport and a file of its own"""
FILES: Final = tuple(_LOGINS.format(number) for number in range(1, _MOST + 1))
"""where logins at relays may be: secrets"""


def values(host: HostSpec) -> Mapping[str, object]:
    """What the templates of main.cf and master.cf are told."""
    sent = host.outgoing
    return {
        "way": _way(sent, sent.relay) if sent.relay else "",
        "senders_ways": Encoded(
            ", ".join(f"{{ {address(name)} = {_way(sent, relay)} }}" for name, relay in sent.senders)
        ),
        "networks": bool(sent.networks),
        "sent_tls": word("encrypt" if sent.tls == "required" else "may"),
        "days": sent.days if sent.days != Outgoing().days else 0,
        "message_size": sent.message_size,
    }


def transports(host: HostSpec) -> list[Mapping[str, object]]:
    """What master.cf has of each relay: its service's name, how TLS is begun, and where its login is."""
    return [
        {
            "name": word(_name(host.outgoing, relay)),
            "wrapped": relay.tls == "tls",
            "level": word("none" if relay.tls == "none" else "secure"),
            "login": word(_file(host.outgoing, relay)) if relay.user else "",
        }
        for relay in host.outgoing.relays
    ]


def items(host: HostSpec) -> Iterator[Item]:
    """The logins at relays, each in a file that only root reads; and the networks. smtp(8) opens the former as root."""
    sent = host.outgoing
    if len(sent.relays) > _MOST:
        raise MailprovError(f"more than {_MOST} relays", where=host.name, fix="name fewer in `outgoing`")
    if any(relay.user for relay in sent.relays):
        yield Package("libsasl2-modules")
    for relay in sent.relays:
        if relay.user:
            if relay.password is None:
                what = f"the password for the relay {relay.host} was not read"
                raise MailprovError(what, where=host.name, fix=f"provide it: {relay.source}")
            row = login_row(_nexthop(relay), relay.user, relay.password.reveal())
            yield text_file(_file(sent, relay), f"{row}\n", mode="600", secret=True, services=("postfix",))
    if sent.networks:
        rows = "".join(f"{word(str(network))} from_networks\n" for network in sent.networks)
        yield text_file(NETWORKS, rows, services=("postfix",))


def _way(sent: Outgoing, relay: Relay | None) -> Encoded:
    """A transport and where it leads (transport(5)); the receiver's own server where there is no relay."""
    return Encoded(f"{_name(sent, relay)}:{_nexthop(relay)}" if relay else "smtp:")


def _nexthop(relay: Relay) -> Encoded:
    """Without a search for MX records (postconf(5), relayhost)."""
    return Encoded(f"[{word(relay.host)}]:{int(relay.port)}")


def _name(sent: Outgoing, relay: Relay) -> str:
    return f"relay{sent.relays.index(relay) + 1}"


def _file(sent: Outgoing, relay: Relay) -> str:
    return _LOGINS.format(sent.relays.index(relay) + 1)
