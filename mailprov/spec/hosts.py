"""Hosts: their YAML, laid over the top level's defaults → HostSpec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mailprov.errors import Origin
from mailprov.model import Firewall, HostSpec, Secret, Ssh, Tls
from mailprov.spec import addresses, layers, values
from mailprov.spec.desk import Desk, Wrong
from mailprov.spec.files import MAX_PEM
from mailprov.spec.layers import MAIL_PORTS, Layer, Source
from mailprov.spec.part import Part

if TYPE_CHECKING:
    from mailprov.spec.certificates import Examined

_DEFAULT_SSH: Final = Ssh()


@dataclass(frozen=True, slots=True)
class Host:
    """A host that can be understood, and the merged layer it was made from."""

    spec: HostSpec
    layer: Layer


def hosts(parts: Iterable[Part], now: datetime, desk: Desk) -> tuple[dict[str, Host], frozenset[str]]:
    """Every host that can be understood, and the names of all hosts, those with faults included."""
    every = list(parts)
    defaults = layers.layer(every[0], (), every[0].document.root, desk)
    reader = _HostReader(defaults, _Certificates(now, desk), desk)
    found: dict[str, Host] = {}
    places: dict[str, tuple[str, Origin]] = {}
    for part in every:
        for name, node in part.mapping("hosts").items():
            place = part.origin("hosts", name, of_key=True)
            try:
                addresses.host_key(name)
            except Wrong as wrong:
                desk.refuse(place, wrong)
                continue
            if (known := places.get(name.lower())) is not None:
                desk.complain(place, f"the host `{name}` is declared already at {known[1]}", "keep one of them")
                continue
            places[name.lower()] = name, place
            if node is None or isinstance(node, Mapping):
                host = reader.host(part, name, node or {})
                if host is not None:
                    found[name] = host
    if defaults.source is not None and not any(host.layer.source is defaults.source for host in found.values()):
        reader.certificates.tls(defaults, ())
    return found, frozenset(name for name, _ in places.values())


class _HostReader:
    def __init__(self, defaults: Layer, certificates: _Certificates, desk: Desk) -> None:
        self.defaults = defaults
        self.certificates = certificates
        self.desk = desk

    def host(self, part: Part, name: str, node: Mapping[str, Any]) -> Host | None:
        """The host `name`; None where it cannot be understood, which is complained about."""
        path = ("hosts", name)
        merged = layers.laid(self.defaults, layers.layer(part, path, node, self.desk))
        node = part.sound(node, *path)
        hostname = self._hostname(part, name, node)
        tls = self.certificates.tls(merged, (hostname,) if hostname else ())
        address = self._text(part, node, (*path, "address"), addresses.endpoint) or _address(name)
        ssh = self._ssh(part, (*path, "ssh"), node.get("ssh", {}))
        password = self._become_password(part, path, node)
        origin = part.origin(*path, of_key=True)
        if hostname is None or not merged.sound or not part.usable(*path):
            return None
        if tls is None:
            if merged.source is None and any(port for port, _ in merged.ports.values()):
                what = f"the host `{name}` serves mail, but no certificate is declared for it"
                self.desk.complain(origin, what, "declare `tls`: certificate with key, self_signed, or on_host")
            if merged.source is not None or any(port for port, _ in merged.ports.values()):
                return None
            tls = Tls("self_signed", merged.min_version or "TLSv1.2")
        become, services = bool(node.get("become", False)), layers.services(merged)
        opened = {port for _, _, port in services.ports()}
        # a default rule for a mail listener that this host does not have is for the other hosts
        rules = tuple(rule for rule, _ in merged.allow or () if rule.port in opened or rule.port not in MAIL_PORTS)
        firewall = Firewall(bool(merged.manage), rules)
        return Host(HostSpec(name, address, hostname, ssh, become, tls, services, firewall, password, origin), merged)

    def _hostname(self, part: Part, name: str, node: Mapping[str, Any]) -> str | None:
        given = node.get("hostname")
        if given is None and not part.usable("hosts", name, "hostname"):
            return None
        place = part.origin("hosts", name, "hostname") if given is not None else part.origin("hosts", name, of_key=True)
        if given is None and "." not in name:
            what = f"the host `{name}` has no full name"
            self.desk.complain(place, what, f"give it one: hostname: {name}.example.com")
            return None
        try:
            return addresses.hostname(given if given is not None else name)
        except Wrong as wrong:
            self.desk.refuse(place, wrong)
            return None

    def _text(self, part: Part, node: Mapping[str, Any], path: layers.Path, reader: Any) -> Any:
        """What `reader` makes of the text at `path`, whose last step is its key in `node`; None where there is none."""
        text = node.get(str(path[-1]))
        if text is None:
            return None
        try:
            return reader(text)
        except Wrong as wrong:
            self.desk.refuse(part.origin(*path), wrong)
            return None

    def _ssh(self, part: Part, path: layers.Path, node: Mapping[str, Any]) -> Ssh:
        def text(key: str, reader: Any) -> Any:
            return self._text(part, node, (*path, key), reader)

        def file(text: str) -> Path:
            return part.surroundings.path(text)

        return Ssh(
            text("user", addresses.login),
            int(node["port"]) if "port" in node else None,
            text("identity_file", file),
            text("known_hosts", file),
            text("jump", addresses.jump),
            float(node.get("connect_timeout", _DEFAULT_SSH.connect_timeout)),
        )

    def _become_password(self, part: Part, path: layers.Path, node: Mapping[str, Any]) -> Secret | None:
        if "become_password" not in node:
            return None
        place = part.origin(*path, "become_password")
        if not node.get("become", False):
            self.desk.warn(place, "this password is not used, since `become` is false", "write `become: true`")
            return None
        try:
            return Secret(part.surroundings.line(node["become_password"]))
        except Wrong as wrong:
            self.desk.refuse(place, wrong)
            return None


def _address(name: str) -> str:
    try:
        return addresses.endpoint(name)
    except Wrong:
        return name


class _Certificates:
    """Reads each declared certificate once, however many hosts share it."""

    def __init__(self, now: datetime, desk: Desk) -> None:
        self.now = now
        self.desk = desk
        self.known: dict[Origin, tuple[Tls, tuple[str, ...]] | None] = {}
        """place of the source → the Tls with the default version, and the names its certificate is for"""

    def tls(self, merged: Layer, hostnames: Iterable[str]) -> Tls | None:
        """The Tls of a merged layer, checked against its hosts' names; None where it has no source, or a wrong one."""
        source = merged.source
        if source is None:
            return None
        origin = source.origin
        if origin not in self.known:
            self.known[origin] = self._read(source)
        known = self.known[origin]
        if known is None:
            return None
        tls, names = known
        for hostname in hostnames if tls.chain else ():
            if not addresses.covers(names, hostname):
                named = ", ".join(names[:5]) or "no host at all"
                what = f"this certificate is for {named}, not for {hostname}"
                place = source.part.origin(*source.path, "certificate")
                self.desk.complain(place, what, f"get one that names {hostname}, or change the host's `hostname`")
        return replace(tls, min_version=merged.min_version or "TLSv1.2")

    def _read(self, source: Source) -> tuple[Tls, tuple[str, ...]] | None:
        if "self_signed" in source.node:
            return Tls("self_signed", origin=source.origin), ()
        if "on_host" in source.node:
            return self._on_host(source)
        examined = self._examined(source)
        if examined is None:
            return None
        return Tls("file", chain=examined.chain, key=Secret(examined.key), origin=source.origin), examined.names

    def _on_host(self, source: Source) -> tuple[Tls, tuple[str, ...]] | None:
        paths: dict[str, str] = {}
        for key in ("certificate", "key"):
            try:
                paths[key] = values.host_path(source.node["on_host"][key])
            except Wrong as wrong:
                self.desk.refuse(source.part.origin(*source.path, "on_host", key), wrong)
        if len(paths) < 2:
            return None
        certificate, key = paths["certificate"], paths["key"]
        return Tls("on_host", certificate_path=certificate, key_path=key, origin=source.origin), ()

    def _examined(self, source: Source) -> Examined | None:
        texts: dict[str, str] = {}
        for key in ("certificate", "key"):
            try:
                texts[key] = source.part.surroundings.text(source.node[key], MAX_PEM)
            except Wrong as wrong:
                self.desk.refuse(source.part.origin(*source.path, key), wrong)
        if len(texts) < 2:
            return None
        from mailprov.spec.certificates import examine  # costly: it brings cryptography

        examined = examine(texts["certificate"], texts["key"], self.now)
        for fault in examined.faults:
            hand_in = self.desk.warn if fault.warning else self.desk.complain
            hand_in(source.part.origin(*source.path, fault.where), fault.what, fault.cure)
        return examined
