"""`tls`, `services` and `firewall`: the top level's defaults, a host's overrides, and the two laid together.

Mappings merge deeply, lists replace, and a certificate source replaces the whole source below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mailprov.errors import Origin
from mailprov.model import Allow, Listener, Network, Services
from mailprov.spec import addresses
from mailprov.spec.desk import Desk, Wrong
from mailprov.spec.part import Part
from mailprov.spec.places import Seq

STANDARD: Final[dict[tuple[str, str], int]] = {
    ("pop3", "starttls"): 110,
    ("pop3", "tls"): 995,
    ("imap", "starttls"): 143,
    ("imap", "tls"): 993,
    ("submission", "starttls"): 587,
    ("submission", "tls"): 465,
    ("smtp", "port"): 25,
}
"""RFC 8314 §3 and §7, RFC 6409 §3.1, RFC 5321 §4.5.4.2"""

MAIL_PORTS: Final = {port: protocol for (protocol, _), port in STANDARD.items()}
"""standard port → protocol"""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a certificate comes from: the `tls` mapping that says so, and the file and place where it stands."""

    part: Part
    path: Path
    node: Mapping[str, Any]

    @property
    def origin(self) -> Origin:
        """Where the source stands."""
        return self.part.origin(*self.path)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one level says; what it leaves out is None, or not in the mapping."""

    sound: bool = True
    """false where its shape was complained about: then silence means nothing"""
    source: Source | None = None
    min_version: Literal["TLSv1.2", "TLSv1.3"] | None = None
    ports: Mapping[tuple[str, str], tuple[int | None, Origin]] = field(default_factory=dict)
    """(protocol, kind) → port, None where it is closed on purpose, and where that stands"""
    manage: bool | None = None
    allow: tuple[tuple[Allow, Origin], ...] | None = None


def layer(part: Part, path: Path, node: Mapping[str, Any], desk: Desk) -> Layer:
    """What the mapping `node` at `path` says about tls, services and firewall."""
    known = {key: node[key] for key in ("tls", "services") if key in node and part.usable(*path, key)}
    sound = all(part.usable(*path, key) for key in ("tls", "services", "firewall"))
    tls = known.get("tls", {})
    source = Source(part, (*path, "tls"), tls) if tls.keys() & {"certificate", "self_signed", "on_host"} else None
    firewall = node.get("firewall", {})
    if not isinstance(firewall, Mapping):
        firewall = {}
    allow = None
    if isinstance(firewall.get("allow"), Seq):
        allow = _allowed(part, (*path, "firewall", "allow"), firewall["allow"], desk)
    ports = _ports(part, (*path, "services"), known.get("services", {}))
    return Layer(sound, source, tls.get("min_version"), ports, firewall.get("manage"), allow)


def laid(below: Layer, above: Layer) -> Layer:
    """`above` over `below`."""
    return Layer(
        below.sound and above.sound,
        above.source or below.source,
        above.min_version or below.min_version,
        {**below.ports, **above.ports},
        below.manage if above.manage is None else above.manage,
        below.allow if above.allow is None else above.allow,
    )


def _ports(part: Part, path: Path, node: Mapping[str, Any]) -> dict[tuple[str, str], tuple[int | None, Origin]]:
    found: dict[tuple[str, str], tuple[int | None, Origin]] = {}
    for protocol, kind in STANDARD:
        if protocol not in node:
            continue
        value = node[protocol]
        if isinstance(value, bool):
            port = STANDARD[protocol, kind] if value else None
            found[protocol, kind] = port, part.origin(*path, protocol)
        elif kind in value:
            port = None if value[kind] is False else int(value[kind])
            found[protocol, kind] = port, part.origin(*path, protocol, kind)
    return found


def _allowed(part: Part, path: Path, nodes: list[Any], desk: Desk) -> tuple[tuple[Allow, Origin], ...]:
    found: dict[int, tuple[Allow, Origin]] = {}
    for number, node in enumerate(nodes):
        if not part.usable(*path, number):
            continue
        place = part.origin(*path, number, "port")
        port = int(node["port"])
        sources: list[Network] = []
        for index, text in enumerate(node.get("from", ())):
            try:
                sources.append(addresses.network(text))
            except Wrong as wrong:
                desk.refuse(part.origin(*path, number, "from", index), wrong)
        if port in found:
            what = f"port {port} has a rule already, at {found[port][1]}"
            desk.complain(place, what, "list all its networks in one rule")
            continue
        found[port] = Allow(port, addresses.merged(sources)), place
    return tuple(found.values())


def services(merged: Layer) -> Services:
    """The listeners of a merged layer."""

    def port(protocol: str, kind: str) -> int | None:
        return merged.ports.get((protocol, kind), (None, None))[0]

    def listener(protocol: str) -> Listener:
        return Listener(port(protocol, "starttls"), port(protocol, "tls"))

    return Services(listener("pop3"), listener("imap"), listener("submission"), port("smtp", "port"))
