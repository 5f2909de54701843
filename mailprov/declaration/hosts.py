"""Hosts: their YAML, laid over their group's and the top level's → HostSpec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mailprov.declaration import addresses, filtering, layers, values
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.files import MAX_PEM, Unavailable, Unread
from mailprov.declaration.groups import Groups, groups
from mailprov.declaration.origins import HIDDEN
from mailprov.declaration.outgoing import Outgoings
from mailprov.declaration.settings import (
    ALLOW,
    BECOME,
    BECOME_PASSWORD,
    BEFORE,
    DEFAULT,
    DEFAULTS,
    HOST,
    IGNORE,
    MAIL_PORTS,
    MANAGE,
    MIN_VERSION,
    SIEVE,
    SUBMIT_USERS,
    SYSTEM_MAIL_TO,
    TOP,
    Key,
    Layer,
    LevelValue,
    Source,
    merged_layers,
)
from mailprov.declaration.source_file import SourceFile
from mailprov.declaration.weakness import warn_of_open
from mailprov.errors import Diagnostic, Origin
from mailprov.model import Firewall, HostSpec, Purpose, Secret, SystemMail, Tls

if TYPE_CHECKING:
    from mailprov.declaration.certificates import Examined

_NOT_READ: Final = object()
"""stands for a host in a file that may hold none, which is complained about: only its name is known"""
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


def hosts(parts: Sequence[SourceFile], now: datetime, diagnostics: Diagnostics, references: Diagnostics) -> Hosts:
    """Every host and every group. What is wrong goes to `diagnostics`, what nobody declared to `references`."""
    main = parts[0]
    defaults = merged_layers(DEFAULTS, layers.layer(main, (), main.document.root, TOP, diagnostics))
    nodes = _declared(parts, diagnostics)
    grouped = groups(
        main,
        {name: source_file.origin("hosts", name, of_key=True) for name, (source_file, _) in nodes.items()},
        defaults,
        diagnostics,
        references,
    )
    reader = _HostReader(_Certificates(now, diagnostics), diagnostics, references)
    found: dict[str, Host] = {}
    for name, (source_file, node) in nodes.items():
        if node is None or isinstance(node, Mapping):
            host = reader.host(source_file, name, node or {}, grouped.below(name))
            if host is not None:
                found[name] = host
    for each in (defaults, *grouped.layers.values()):
        reader.certificates.tls(each, ())  # what no host uses is looked at, too
        reader.outgoings.of(each)
    reader.tell_unused_passwords(grouped)
    return Hosts(found, frozenset(nodes), grouped)


def _declared(parts: Iterable[SourceFile], diagnostics: Diagnostics) -> dict[str, tuple[SourceFile, Any]]:
    """Every host's name with the file it stands in and what stands there."""
    found: dict[str, tuple[SourceFile, Any]] = {}
    places: dict[str, tuple[str, Origin]] = {}
    for source_file in parts:
        for name, node in source_file.mapping("hosts").items():
            place = source_file.origin("hosts", name, of_key=True)
            try:
                addresses.key(name)
            except InvalidValue as wrong:
                diagnostics.refuse(place, wrong)
                continue
            if (known := places.get(name.lower())) is not None:
                diagnostics.complain(place, f"the host `{name}` is declared already at {known[1]}", "keep one of them")
                continue
            places[name.lower()] = name, place
            found[name] = source_file, node if source_file.trusted else _NOT_READ
    return found


class _HostReader:
    def __init__(self, certificates: _Certificates, diagnostics: Diagnostics, references: Diagnostics) -> None:
        self.certificates = certificates
        self.diagnostics = diagnostics
        self.references = references
        self.outgoings = Outgoings(diagnostics)
        self.scripts = filtering.Scripts(diagnostics)
        self.passwords: dict[Origin, Secret | Diagnostic | None] = {}
        """place of each source that was asked → what it held, or why it could not be had; None: it was not read"""

    def host(self, source_file: SourceFile, name: str, node: Mapping[str, Any], below: Layer) -> Host | None:
        """The host `name`; None where it cannot be understood, which is complained about."""
        path = ("hosts", name)
        merged = merged_layers(below, layers.layer(source_file, path, node, HOST, self.diagnostics))
        node = source_file.sound(node, *path)
        hostname, address = self._hostname(source_file, name, node), self._address(source_file, name, node)
        tls = self.certificates.tls(merged, (hostname.value,) if hostname else ())
        password, note = self._become_password(merged)
        origin = source_file.origin(*path, of_key=True)
        if hostname is None or not merged.sound or not source_file.usable(*path):
            return None
        if tls is None:
            if merged.source is None and any(port for port, _ in merged.ports.values()):
                what = f"the host `{name}` serves mail, but no certificate is declared for it"
                self.references.complain(origin, what, "declare `tls`: certificate with key, self_signed, or on_host")
            if merged.source is not None or any(port for port, _ in merged.ports.values()):
                return None
            tls = Tls("self_signed", merged.value(*MIN_VERSION))
        services = layers.services(merged)
        opened = {port for _, _, port in services.ports()}
        # a default rule for a mail listener that this host does not have is for the other hosts
        rules = tuple(rule for rule, _ in merged.allow if rule.port in opened or rule.port not in MAIL_PORTS)
        used = merged.value(*BECOME) and merged.value(*BECOME_PASSWORD)
        shown = password if isinstance(password, Secret) or not used else HIDDEN
        settled = merged_layers(
            Layer(settings={_ADDRESS: (address,), _HOSTNAME: (hostname,)}),
            merged.settled(BECOME_PASSWORD, shown, note).settled(ALLOW, rules, _left_out(merged, rules)),
        )
        if settled.value(*BEFORE) is not None and not settled.value(*SIEVE):
            settled = settled.settled(BEFORE, None, "not used, since `sieve` is false")
        spec = HostSpec(
            name,
            address.value,
            hostname.value,
            layers.ssh(settled),
            settled.value(*BECOME),
            tls,
            services,
            Firewall(settled.value(*MANAGE), settled.value(*ALLOW)),
            SystemMail(settled.value(*SYSTEM_MAIL_TO) or "", settled.value(*SUBMIT_USERS)),
            password if isinstance(password, Secret) else None,
            origin,
            password if isinstance(password, Diagnostic) else None,
            settled.value(*IGNORE),
            self.outgoings.of(merged),
            self.scripts.of(merged),
            filtering.incoming(merged),
        )
        return Host(spec, merged, settled)

    def _hostname(self, source_file: SourceFile, name: str, node: Mapping[str, Any]) -> LevelValue | None:
        given = node.get("hostname")
        if given is None and not source_file.usable("hosts", name, "hostname"):
            return None
        place = (
            source_file.origin("hosts", name, "hostname")
            if given is not None
            else source_file.origin("hosts", name, of_key=True)
        )
        if given is None and "." not in name:
            what = f"the host `{name}` has no full name"
            self.diagnostics.complain(place, what, f"give it one: hostname: {name}.example.com")
            return None
        try:
            found = addresses.hostname(given if given is not None else name)
        except InvalidValue as wrong:
            self.diagnostics.refuse(place, wrong)
            return None
        return (
            LevelValue(found, HOST, place) if given is not None else LevelValue(found, DEFAULT, note="the host's name")
        )

    def _address(self, source_file: SourceFile, name: str, node: Mapping[str, Any]) -> LevelValue:
        place = source_file.origin("hosts", name, "address")
        try:
            if node.get("address") is not None:
                return LevelValue(addresses.endpoint(node["address"]), HOST, place)
        except InvalidValue as wrong:
            self.diagnostics.refuse(place, wrong)
        return LevelValue(_address(name), DEFAULT, note="the host's name")

    def _become_password(self, merged: Layer) -> tuple[Secret | Diagnostic | None, str]:
        """sudo's password, or why it is not here, and what there is to know about it."""
        said = merged.settings[BECOME_PASSWORD][-1]
        if said.value is None or said.origin is None:
            return None, ""
        if not merged.value(*BECOME):
            if said.level == HOST:
                what = "this password is not used, since `become` is false"
                self.diagnostics.warn(said.origin, what, "write `become: true`")
            return None, "not used, since `become` is false"
        if said.origin not in self.passwords:
            self.passwords[said.origin] = self._secret(said.value)
        return self.passwords[said.origin], said.note

    def _secret(self, source: Source) -> Secret | Diagnostic | None:
        near = source.source_file.surroundings
        warn_of_open(source.node, near, Purpose.SUDO, source.origin, self.diagnostics)
        try:
            return Secret(near.secret(source.node, Purpose.SUDO))
        except Unread:
            return None
        except Unavailable as wrong:
            return Diagnostic(source.origin, wrong.what, wrong.fix)
        except InvalidValue as wrong:
            self.diagnostics.refuse(source.origin, wrong)
            return None

    def tell_unused_passwords(self, grouped: Groups) -> None:
        """Warn of a group's password that none of its hosts uses."""
        for name, members in grouped.members.items():
            said = grouped.layers[name].settings[BECOME_PASSWORD][-1]
            if members and said.level == f"group {name}" and said.origin and said.origin not in self.passwords:
                self.diagnostics.warn(
                    said.origin, f"no host of the group `{name}` uses this password", "write `become: true`"
                )


def _left_out(merged: Layer, rules: Sequence[Any]) -> str:
    known = frozenset(rules)
    left = [str(rule.port) for rule, _ in merged.allow if rule not in known]
    return f"without the rules for {', '.join(left)}: this host does not listen there" if left else ""


def _address(name: str) -> str:
    try:
        return addresses.endpoint(name)
    except InvalidValue:
        return name


class _Certificates:
    """Reads each declared certificate once, however many hosts share it."""

    def __init__(self, now: datetime, diagnostics: Diagnostics) -> None:
        self.now = now
        self.diagnostics = diagnostics
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
                place = source.source_file.origin(*source.path, "certificate")
                self.diagnostics.complain(
                    place, what, f"get one that names {hostname}, or change the host's `hostname`"
                )
        return replace(tls, min_version=merged.value(*MIN_VERSION))

    def _read(self, source: Source) -> tuple[Tls, tuple[str, ...]] | None:
        if "self_signed" in source.node:
            return Tls("self_signed", origin=source.origin), ()
        if "on_host" in source.node:
            return self._on_host(source)
        lacking: list[Diagnostic] = []
        examined = self._examined(source, lacking)
        if examined is None:
            return None
        key = Secret(examined.key) if examined.key is not None else None
        why = tuple(lacking)
        made = Tls("file", chain=examined.chain, key=key, origin=source.origin, until=examined.until, lacking=why)
        return made, examined.names

    def _on_host(self, source: Source) -> tuple[Tls, tuple[str, ...]] | None:
        paths: dict[str, str] = {}
        for key in ("certificate", "key"):
            try:
                paths[key] = values.host_path(source.node["on_host"][key])
            except InvalidValue as wrong:
                self.diagnostics.refuse(source.source_file.origin(*source.path, "on_host", key), wrong)
        if len(paths) < 2:
            return None
        certificate, key = paths["certificate"], paths["key"]
        return Tls("on_host", certificate_path=certificate, key_path=key, origin=source.origin), ()

    def _examined(self, source: Source, lacking: list[Diagnostic]) -> Examined | None:
        """What is known of a certificate and its key; None where one is wrong. What cannot be had is `lacking`."""
        texts: dict[str, str | None] = {}
        near = source.source_file.surroundings
        for key in ("certificate", "key"):
            place, node = source.source_file.origin(*source.path, key), source.node[key]
            try:
                texts[key] = near.secret(node, Purpose.KEY, MAX_PEM) if key == "key" else near.public(node, MAX_PEM)
            except Unread:
                texts[key] = None
            except Unavailable as wrong:
                texts[key] = None
                lacking.append(Diagnostic(place, wrong.what, wrong.fix))
            except InvalidValue as wrong:
                self.diagnostics.refuse(place, wrong)
        if len(texts) < 2:
            return None
        place = source.source_file.origin(*source.path, "key")
        warn_of_open(source.node["key"], near, Purpose.KEY, place, self.diagnostics)
        from mailprov.declaration.certificates import examine  # costly: it brings cryptography

        examined = examine(texts["certificate"], texts["key"], self.now)
        for fault in examined.faults:
            hand_in = self.diagnostics.warn if fault.warning else self.diagnostics.complain
            hand_in(source.source_file.origin(*source.path, fault.where), fault.what, fault.fix)
        return examined
