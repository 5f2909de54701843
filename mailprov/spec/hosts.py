"""Hosts: their YAML, laid over their group's and the top level's → HostSpec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mailprov.errors import Origin
from mailprov.model import Firewall, HostSpec, Secret, Tls
from mailprov.spec import addresses, layers, values
from mailprov.spec.desk import Desk, Wrong
from mailprov.spec.files import MAX_PEM
from mailprov.spec.groups import Groups, groups
from mailprov.spec.part import Part
from mailprov.spec.said import (
    ALLOW,
    BECOME,
    BECOME_PASSWORD,
    DEFAULT,
    DEFAULTS,
    HOST,
    MAIL_PORTS,
    MANAGE,
    MIN_VERSION,
    TOP,
    Key,
    Layer,
    Said,
    Source,
    laid,
)

if TYPE_CHECKING:
    from mailprov.spec.certificates import Examined

_ADDRESS: Final[Key] = ("address",)
_HOSTNAME: Final[Key] = ("hostname",)


@dataclass(frozen=True, slots=True)
class Host:
    """A host that can be understood, the merged layer it was made from, and what was made of it."""

    spec: HostSpec
    layer: Layer
    settled: Layer
    """the same layer with the values that the host got in the end: `mailprov explain` shows these"""


@dataclass(frozen=True, slots=True)
class Hosts:
    """What a declaration says about machines."""

    hosts: Mapping[str, Host]
    """those that can be understood"""
    names: frozenset[str]
    """of all hosts, those with faults included"""
    groups: Groups


def hosts(parts: Sequence[Part], now: datetime, desk: Desk, references: Desk) -> Hosts:
    """Every host and every group. What is wrong goes to the `desk`, names that nobody declared to `references`."""
    main = parts[0]
    defaults = laid(DEFAULTS, layers.layer(main, (), main.document.root, TOP, desk))
    nodes = _declared(parts, desk)
    grouped = groups(
        main,
        {name: part.origin("hosts", name, of_key=True) for name, (part, _) in nodes.items()},
        defaults,
        desk,
        references,
    )
    reader = _HostReader(_Certificates(now, desk), desk)
    found: dict[str, Host] = {}
    for name, (part, node) in nodes.items():
        if node is None or isinstance(node, Mapping):
            host = reader.host(part, name, node or {}, grouped.below(name))
            if host is not None:
                found[name] = host
    for each in (defaults, *grouped.layers.values()):
        reader.certificates.tls(each, ())  # what no host uses is looked at, too
    reader.tell_unused_passwords(grouped)
    return Hosts(found, frozenset(nodes), grouped)


def _declared(parts: Iterable[Part], desk: Desk) -> dict[str, tuple[Part, Any]]:
    """Every host's name with the file it stands in and what stands there."""
    found: dict[str, tuple[Part, Any]] = {}
    places: dict[str, tuple[str, Origin]] = {}
    for part in parts:
        for name, node in part.mapping("hosts").items():
            place = part.origin("hosts", name, of_key=True)
            try:
                addresses.key(name)
            except Wrong as wrong:
                desk.refuse(place, wrong)
                continue
            if (known := places.get(name.lower())) is not None:
                desk.complain(place, f"the host `{name}` is declared already at {known[1]}", "keep one of them")
                continue
            places[name.lower()] = name, place
            found[name] = part, node
    return found


class _HostReader:
    def __init__(self, certificates: _Certificates, desk: Desk) -> None:
        self.certificates = certificates
        self.desk = desk
        self.passwords: dict[Origin, Secret | None] = {}
        """place of each source that was asked → what it held"""

    def host(self, part: Part, name: str, node: Mapping[str, Any], below: Layer) -> Host | None:
        """The host `name`; None where it cannot be understood, which is complained about."""
        path = ("hosts", name)
        merged = laid(below, layers.layer(part, path, node, HOST, self.desk))
        node = part.sound(node, *path)
        hostname, address = self._hostname(part, name, node), self._address(part, name, node)
        tls = self.certificates.tls(merged, (hostname.value,) if hostname else ())
        password, note = self._become_password(merged)
        origin = part.origin(*path, of_key=True)
        if hostname is None or not merged.sound or not part.usable(*path):
            return None
        if tls is None:
            if merged.source is None and any(port for port, _ in merged.ports.values()):
                what = f"the host `{name}` serves mail, but no certificate is declared for it"
                self.desk.complain(origin, what, "declare `tls`: certificate with key, self_signed, or on_host")
            if merged.source is not None or any(port for port, _ in merged.ports.values()):
                return None
            tls = Tls("self_signed", merged.value(*MIN_VERSION))
        services = layers.services(merged)
        opened = {port for _, _, port in services.ports()}
        # a default rule for a mail listener that this host does not have is for the other hosts
        rules = tuple(rule for rule, _ in merged.allow if rule.port in opened or rule.port not in MAIL_PORTS)
        settled = laid(
            Layer(settings={_ADDRESS: (address,), _HOSTNAME: (hostname,)}),
            merged.settled(BECOME_PASSWORD, password, note).settled(ALLOW, rules, _left_out(merged, rules)),
        )
        spec = HostSpec(
            name,
            address.value,
            hostname.value,
            layers.ssh(settled),
            settled.value(*BECOME),
            tls,
            services,
            Firewall(settled.value(*MANAGE), settled.value(*ALLOW)),
            settled.value(*BECOME_PASSWORD),
            origin,
        )
        return Host(spec, merged, settled)

    def _hostname(self, part: Part, name: str, node: Mapping[str, Any]) -> Said | None:
        given = node.get("hostname")
        if given is None and not part.usable("hosts", name, "hostname"):
            return None
        place = part.origin("hosts", name, "hostname") if given is not None else part.origin("hosts", name, of_key=True)
        if given is None and "." not in name:
            what = f"the host `{name}` has no full name"
            self.desk.complain(place, what, f"give it one: hostname: {name}.example.com")
            return None
        try:
            found = addresses.hostname(given if given is not None else name)
        except Wrong as wrong:
            self.desk.refuse(place, wrong)
            return None
        return Said(found, HOST, place) if given is not None else Said(found, DEFAULT, note="the host's name")

    def _address(self, part: Part, name: str, node: Mapping[str, Any]) -> Said:
        place = part.origin("hosts", name, "address")
        try:
            if node.get("address") is not None:
                return Said(addresses.endpoint(node["address"]), HOST, place)
        except Wrong as wrong:
            self.desk.refuse(place, wrong)
        return Said(_address(name), DEFAULT, note="the host's name")

    def _become_password(self, merged: Layer) -> tuple[Secret | None, str]:
        """sudo's password, and what there is to know about it."""
        said = merged.settings[BECOME_PASSWORD][-1]
        if said.value is None or said.origin is None:
            return None, ""
        if not merged.value(*BECOME):
            if said.level == HOST:
                what = "this password is not used, since `become` is false"
                self.desk.warn(said.origin, what, "write `become: true`")
            return None, "not used, since `become` is false"
        if said.origin not in self.passwords:
            self.passwords[said.origin] = self._secret(said.value)
        return self.passwords[said.origin], said.note

    def _secret(self, source: Source) -> Secret | None:
        try:
            return Secret(source.part.surroundings.line(source.node))
        except Wrong as wrong:
            self.desk.refuse(source.origin, wrong)
            return None

    def tell_unused_passwords(self, grouped: Groups) -> None:
        """Warn of a group's password that none of its hosts uses."""
        for name, members in grouped.members.items():
            said = grouped.layers[name].settings[BECOME_PASSWORD][-1]
            if members and said.level == f"group {name}" and said.origin and said.origin not in self.passwords:
                self.desk.warn(said.origin, f"no host of the group `{name}` uses this password", "write `become: true`")


def _left_out(merged: Layer, rules: Sequence[Any]) -> str:
    left = [str(rule.port) for rule, _ in merged.allow if rule not in rules]
    return f"without the rules for {', '.join(left)}: this host does not listen there" if left else ""


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
        return replace(tls, min_version=merged.value(*MIN_VERSION))

    def _read(self, source: Source) -> tuple[Tls, tuple[str, ...]] | None:
        if "self_signed" in source.node:
            return Tls("self_signed", origin=source.origin), ()
        if "on_host" in source.node:
            return self._on_host(source)
        examined = self._examined(source)
        if examined is None:
            return None
        key = Secret(examined.key)
        return Tls("file", chain=examined.chain, key=key, origin=source.origin, until=examined.until), examined.names

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
