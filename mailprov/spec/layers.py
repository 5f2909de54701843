"""What one level of a declaration says: the top level, a group or a host; each the same keys, read the same way.

Mappings merge deeply, lists replace, and a certificate source replaces the whole source below it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from mailprov.errors import Origin
from mailprov.model import Allow, Listener, Network, Services, Ssh
from mailprov.spec import addresses
from mailprov.spec.desk import Desk, Wrong
from mailprov.spec.files import described
from mailprov.spec.part import Part
from mailprov.spec.places import Map, Seq
from mailprov.spec.said import (
    ALLOW,
    BECOME,
    BECOME_PASSWORD,
    CERTIFICATE,
    MANAGE,
    MIN_VERSION,
    SOURCES,
    STANDARD,
    TOP,
    Key,
    Layer,
    Path,
    Said,
    Source,
)

_SERVED: Final = ("tls", "services", "firewall")
_REACHED: Final = ("ssh", "become", "become_password")


def layer(part: Part, path: Path, node: Mapping[str, Any], level: str, desk: Desk) -> Layer:
    """What the mapping `node` at `path` says: about serving mail and, below the top level, about reaching the host."""
    reader = _LevelReader(part, path, level, desk)
    keys = _SERVED if level == TOP else (*_SERVED, *_REACHED)
    known = {key: node[key] for key in keys if key in node and part.usable(*path, key)}
    reader.tls(known.get("tls", {}))
    reader.services(known.get("services", {}))
    firewall = node.get("firewall")
    reader.firewall(firewall if isinstance(firewall, Map) else Map())
    reader.connection(known)
    return Layer(all(part.usable(*path, key) for key in keys), reader.found)


class _LevelReader:
    def __init__(self, part: Part, path: Path, level: str, desk: Desk) -> None:
        self.part = part
        self.path = path
        self.level = level
        self.desk = desk
        self.found: dict[Key, tuple[Said, ...]] = {}

    def _say(self, key: Key, value: Any, *place: str | int, note: str = "") -> None:
        self.found[key] = (Said(value, self.level, self.part.origin(*self.path, *(place or key)), note),)

    def tls(self, node: Mapping[str, Any]) -> None:
        if node.keys() & {*SOURCES}:
            self._say(CERTIFICATE, Source(self.part, (*self.path, "tls"), node), "tls")
        if "min_version" in node:
            self._say(MIN_VERSION, node["min_version"])

    def services(self, node: Mapping[str, Any]) -> None:
        for (protocol, kind), standard in STANDARD.items():
            if protocol not in node:
                continue
            value, key = node[protocol], ("services", protocol, kind)
            if isinstance(value, bool):
                self._say(key, standard if value else None, "services", protocol)
            elif kind in value:
                self._say(key, None if value[kind] is False else int(value[kind]))

    def firewall(self, node: Mapping[str, Any]) -> None:
        if "manage" in node and self.part.usable(*self.path, "firewall", "manage"):
            self._say(MANAGE, node["manage"])
        if isinstance(node.get("allow"), Seq):
            self._say(ALLOW, self._allowed((*self.path, "firewall", "allow"), node["allow"]))

    def _allowed(self, path: Path, nodes: list[Any]) -> tuple[tuple[Allow, Origin], ...]:
        found: dict[int, tuple[Allow, Origin]] = {}
        for number, node in enumerate(nodes):
            if not self.part.usable(*path, number):
                continue
            place = self.part.origin(*path, number, "port")
            port = int(node["port"])
            sources: list[Network] = []
            for index, text in enumerate(node.get("from", ())):
                try:
                    sources.append(addresses.network(text))
                except Wrong as wrong:
                    self.desk.refuse(self.part.origin(*path, number, "from", index), wrong)
            if port in found:
                what = f"port {port} has a rule already, at {found[port][1]}"
                self.desk.complain(place, what, "list all its networks in one rule")
                continue
            found[port] = Allow(port, addresses.merged(sources)), place
        return tuple(found.values())

    def connection(self, known: Mapping[str, Any]) -> None:
        ssh = known.get("ssh", {})
        file = self.part.surroundings.path
        readers: dict[str, Callable[[Any], Any]] = {
            "user": addresses.login,
            "port": int,
            "identity_file": file,
            "known_hosts": file,
            "jump": addresses.jump,
            "connect_timeout": float,
        }
        for key, read in readers.items():
            if key in ssh:
                self._read(("ssh", key), ssh[key], read)
        if "become" in known:
            self._say(BECOME, known["become"])
        if "become_password" in known:
            node, path = known["become_password"], (*self.path, *BECOME_PASSWORD)
            self._say(BECOME_PASSWORD, Source(self.part, path, node), note=described(node))

    def _read(self, key: Key, given: Any, read: Callable[[Any], FilePath | str | float]) -> None:
        try:
            self._say(key, read(given))
        except Wrong as wrong:
            self.desk.refuse(self.part.origin(*self.path, *key), wrong)


def services(merged: Layer) -> Services:
    """The listeners of a merged layer."""

    def listener(protocol: str) -> Listener:
        return Listener(merged.value("services", protocol, "starttls"), merged.value("services", protocol, "tls"))

    return Services(
        listener("pop3"), listener("imap"), listener("submission"), merged.value("services", "smtp", "port")
    )


def ssh(merged: Layer) -> Ssh:
    """How to reach the host of a merged layer."""
    return Ssh(**{key: merged.value("ssh", key) for key in Ssh.__slots__})
