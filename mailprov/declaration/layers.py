"""What one level of a declaration says: the top level, a group or a host; each the same keys, read the same way.

Mappings merge deeply, lists replace, and a certificate source replaces the whole source below it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from mailprov.declaration import addresses, filtering, outgoing, values
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.files import described
from mailprov.declaration.positions import Map, Seq
from mailprov.declaration.settings import (
    ALLOW,
    BECOME,
    BECOME_PASSWORD,
    CERTIFICATE,
    DMARC,
    IGNORE,
    MANAGE,
    MIN_VERSION,
    SOURCES,
    STANDARD,
    SUBMIT_USERS,
    SYSTEM_MAIL_TO,
    TOP,
    Key,
    Layer,
    LevelValue,
    Path,
    Source,
)
from mailprov.declaration.source_file import SourceFile
from mailprov.errors import Origin
from mailprov.model import ASPECTS, GONE, Allow, Ignore, Listener, Network, Services, Ssh

_SERVED: Final = ("tls", "services", "firewall", "system_mail", "outgoing", "incoming", "sieve", "drift")
_REACHED: Final = ("ssh", "become", "become_password")


def layer(source_file: SourceFile, path: Path, node: Mapping[str, Any], level: str, diagnostics: Diagnostics) -> Layer:
    """What the mapping `node` at `path` says: about serving mail and, below the top level, about reaching the host."""
    reader = _LevelReader(source_file, path, level, diagnostics)
    keys = _SERVED if level == TOP else (*_SERVED, *_REACHED)
    known = {key: node[key] for key in keys if key in node and source_file.usable(*path, key)}
    reader.tls(known.get("tls", {}))
    reader.services(known.get("services", {}))
    firewall = node.get("firewall")
    reader.firewall(firewall if isinstance(firewall, Map) else Map())
    reader.system_mail(known.get("system_mail", {}))
    for key, value in outgoing.said(source_file, path, known.get("outgoing", {}), diagnostics):
        reader.say(key, value)
    if "dmarc" in known.get("incoming", {}):
        reader.say(DMARC, known["incoming"]["dmarc"])
    for key, value in filtering.said(source_file, path, known.get("sieve"), diagnostics):
        reader.say(key, value)
    drift = node.get("drift")
    reader.drift(drift if isinstance(drift, Map) else Map())
    reader.connection(known)
    return Layer(all(_sound(source_file, *path, key) for key in keys), reader.found)


def _sound(source_file: SourceFile, *path: str | int) -> bool:
    """Whether all is known that other complaints may depend on: a rule or an exception that is left out hides none."""
    lists = {"drift": "ignore", "firewall": "allow"}.get(str(path[-1]))
    if source_file.usable(*path) or lists is None:
        return source_file.usable(*path)
    below = {wrong[len(path)] for wrong in source_file.unusable if wrong[: len(path)] == path and wrong != path}
    return below == {lists}


class _LevelReader:
    def __init__(self, source_file: SourceFile, path: Path, level: str, diagnostics: Diagnostics) -> None:
        self.source_file = source_file
        self.path = path
        self.level = level
        self.diagnostics = diagnostics
        self.found: dict[Key, tuple[LevelValue, ...]] = {}

    def say(self, key: Key, value: Any, *place: str | int, note: str = "") -> None:
        self.found[key] = (LevelValue(value, self.level, self.source_file.origin(*self.path, *(place or key)), note),)

    def tls(self, node: Mapping[str, Any]) -> None:
        if node.keys() & {*SOURCES}:
            self.say(CERTIFICATE, Source(self.source_file, (*self.path, "tls"), node), "tls")
        if "min_version" in node:
            self.say(MIN_VERSION, node["min_version"])

    def services(self, node: Mapping[str, Any]) -> None:
        for (protocol, kind), standard in STANDARD.items():
            if protocol not in node:
                continue
            value, key = node[protocol], ("services", protocol, kind)
            if isinstance(value, bool):
                self.say(key, standard if value else None, "services", protocol)
            elif kind in value:
                self.say(key, None if value[kind] is False else int(value[kind]))

    def firewall(self, node: Mapping[str, Any]) -> None:
        if "manage" in node and self.source_file.usable(*self.path, "firewall", "manage"):
            self.say(MANAGE, node["manage"])
        if isinstance(node.get("allow"), Seq):
            self.say(ALLOW, self._allowed((*self.path, "firewall", "allow"), node["allow"]))

    def _allowed(self, path: Path, nodes: list[Any]) -> tuple[tuple[Allow, Origin], ...]:
        found: dict[tuple[str, int], tuple[Allow, Origin]] = {}
        for number, node in enumerate(nodes):
            if not self.source_file.usable(*path, number):
                continue
            place = self.source_file.origin(*path, number, "port")
            port, protocol = int(node["port"]), node.get("protocol", "tcp")
            sources: list[Network] = []
            for index, text in enumerate(node.get("from", ())):
                try:
                    sources.append(addresses.network(text))
                except InvalidValue as wrong:
                    self.diagnostics.refuse(self.source_file.origin(*path, number, "from", index), wrong)
            if (protocol, port) in found:
                name = f"port {port}" if protocol == "tcp" else f"UDP port {port}"
                what = f"{name} has a rule already, at {found[protocol, port][1]}"
                self.diagnostics.complain(place, what, "list all its networks in one rule")
                continue
            found[protocol, port] = Allow(port, addresses.merged(sources), protocol), place
        return tuple(found.values())

    def system_mail(self, node: Mapping[str, Any]) -> None:
        if "to" in node:
            self._read(SYSTEM_MAIL_TO, node["to"], lambda text: addresses.target(text, ()))
        if "submit_users" in node:
            self._read(SUBMIT_USERS, node["submit_users"], lambda names: tuple(map(addresses.local_user, names)))

    def drift(self, node: Mapping[str, Any]) -> None:
        if isinstance(node.get("ignore"), Seq):
            path = (*self.path, *IGNORE)
            usable = [number for number in range(len(node["ignore"])) if self.source_file.usable(*path, number)]
            found = [self._ignored((*path, number), node["ignore"][number]) for number in usable]
            self.say(IGNORE, tuple(each for each in found if each is not None))

    def _ignored(self, path: Path, node: Mapping[str, Any]) -> Ignore | None:
        kind, only = node["kind"], tuple(node.get("only", ()))
        known = (*ASPECTS[kind], GONE)
        for number, aspect in enumerate(only):
            if aspect not in known:
                what, fix = f"of a `{kind}` there is no `{aspect}`", f"choose from {', '.join(known)}"
                self.diagnostics.complain(self.source_file.origin(*path, "only", number), what, fix)
        try:
            reason = values.display_name(node.get("reason", ""))
        except InvalidValue as wrong:
            self.diagnostics.refuse(self.source_file.origin(*path, "reason"), wrong)
            return None
        return Ignore(kind, node["name"], only, reason, self.source_file.origin(*path))

    def connection(self, known: Mapping[str, Any]) -> None:
        ssh = known.get("ssh", {})
        file = self.source_file.surroundings.ssh_file
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
            self.say(BECOME, known["become"])
        if "become_password" in known:
            node, path = known["become_password"], (*self.path, *BECOME_PASSWORD)
            self.say(BECOME_PASSWORD, Source(self.source_file, path, node), note=described(node))

    def _read(self, key: Key, given: Any, read: Callable[[Any], FilePath | str | float | tuple[str, ...]]) -> None:
        try:
            self.say(key, read(given))
        except InvalidValue as wrong:
            self.diagnostics.refuse(self.source_file.origin(*self.path, *key), wrong)


def services(merged: Layer) -> Services:
    """The listeners of a merged layer."""

    def listener(protocol: str) -> Listener:
        return Listener(merged.value("services", protocol, "starttls"), merged.value("services", protocol, "tls"))

    smtp, sieve = merged.value("services", "smtp", "port"), merged.value("services", "sieve", "starttls")
    return Services(listener("pop3"), listener("imap"), listener("submission"), smtp, sieve)


def ssh(merged: Layer) -> Ssh:
    """How to reach the host of a merged layer."""
    return Ssh(**{key: merged.value("ssh", key) for key in Ssh.__slots__})
