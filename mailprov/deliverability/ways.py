"""Which way mail of a domain leaves, and from which addresses (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from mailprov.deliverability.words import Address
from mailprov.dns.records import is_public, public_address, sends
from mailprov.dns.spf import Lookup
from mailprov.model import Domain, HostSpec, Outgoing, Relay, Spec

_MOST = 16
"""addresses of one name that are looked at"""


def sending(spec: Spec, chosen: tuple[HostSpec, ...]) -> list[tuple[HostSpec, tuple[Domain, ...]]]:
    """The hosts that send for a domain, each with these domains."""
    found = [(host, spec.domains_of(host.name)) for host in chosen if sends(host)]
    return [(host, domains) for host, domains in found if domains]


def ways(outgoing: Outgoing, domain: str) -> tuple[Relay | None, ...]:
    """Through which servers mail of a domain leaves, that of most of its senders first; None is directly."""
    whole = dict(outgoing.senders).get(f"@{domain}", outgoing.relay)
    some = (relay for name, relay in outgoing.senders if name.endswith(f"@{domain}") and not name.startswith("@"))
    return tuple(dict.fromkeys((whole, *some)))


def every_way(host: HostSpec, domains: tuple[Domain, ...]) -> tuple[Relay | None, ...]:
    """Through which servers any of the domains' mail leaves."""
    return tuple(dict.fromkeys(way for domain in domains for way in ways(host.outgoing, domain.name)))


def addresses(name: str, lookup: Lookup) -> tuple[tuple[Address, ...], str]:
    """The addresses that DNS has for a name (or that it is), and why it does not say; "" where it does."""
    if not is_name(name):
        return (ip_address(name),), ""
    answers = [lookup(name, "A"), lookup(name, "AAAA")]
    found = tuple(dict.fromkeys(address for answer in answers for address in _read(answer.values[:_MOST])))
    return found, next((answer.why for answer in answers if answer.why), "")


def is_name(text: str) -> bool:
    """Whether it is no IP address."""
    try:
        ip_address(text)
    except ValueError:
        return True
    return False


def _read(values: tuple[str, ...]) -> Iterator[Address]:
    for text in values:
        try:
            yield ip_address(text)
        except ValueError:
            continue


def sources(host: HostSpec, lookup: Lookup) -> tuple[Address, ...]:
    """Where mail of a host comes from: its declared address and those of the other family that DNS has for its name,
    or all that DNS has where none is declared; only those that others can reach."""
    known, _ = addresses(host.hostname, lookup)
    declared = public_address(host)
    if declared is not None:
        known = (declared, *(each for each in known if each.version != declared.version))
    return tuple(each for each in known if is_public(each))


def relayed(relay: Relay, lookup: Lookup) -> tuple[Address, ...]:
    """The addresses of a relay that others can reach: it may send from others."""
    return tuple(each for each in addresses(relay.host, lookup)[0] if is_public(each))
