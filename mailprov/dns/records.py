"""What DNS must say for mail to find the declared hosts, and for clients to set themselves up (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from types import MappingProxyType
from typing import Literal

from mailprov.model import Domain, HostSpec, KeyPair, Services, Spec
from mailprov.providers import Protocol, Provider, serving

Kind = Literal["MX", "TXT", "SRV", "CNAME", "A", "AAAA"]
AskedKind = Kind | Literal["PTR", "TLSA", "NS"]
"""types that a resolver is asked for, of which some are nothing that a declaration needs"""

Keys = Mapping[str, Sequence[KeyPair] | str]
"""by host: the keys that it has made, or why they are not known"""

PREFERENCE = 10
"""of every MX record: each host has mailboxes of its own, none is a backup of another"""
_NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)
_LABELS: tuple[tuple[str, Protocol, Literal["tls", "starttls"]], ...] = (
    ("_submissions", "submission", "tls"),
    ("_submission", "submission", "starttls"),
    ("_imaps", "imap", "tls"),
    ("_imap", "imap", "starttls"),
    ("_pop3s", "pop3", "tls"),
    ("_pop3", "pop3", "starttls"),
)
"""RFC 6186 §3.1 to §3.3; _submissions: RFC 8314 §5.1"""
_PRIORITY = {"imap": 0, "pop3": 10, "submission": 0}
"""a client that speaks both takes the lower one (RFC 6186 §3.4): IMAP leaves the mail where every device sees it"""

_MX = "where mail for this domain goes (RFC 5321 §5.1)"
_SPF = "who may send for this domain (SPF, RFC 7208)"
_DKIM = "by which others verify that mail is from this domain (DKIM, RFC 6376)"
_DMARC = "what others do with forged mail (DMARC, RFC 7489)"


@dataclass(frozen=True, slots=True)
class Spf:
    """What an SPF record must allow: of each group of terms one, or an `ip4:`/`ip6:` with the address among them."""

    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """The records of one name and type, each as a zone file has it; names are absolute, without the last dot.

    `why` is what they are for. An `optional` one may be missing; if it is there, it must be right. `spf` judges a TXT
    record by what it allows; `dkim`: it is a key. `provider`: MX hosts are judged by its patterns; `values` may be ()
    then. An A record without values stands for any address at all, of either kind: which one is not declared.
    """

    name: str
    kind: Kind
    values: tuple[str, ...]
    why: str
    optional: bool = False
    spf: Spf | None = None
    provider: Provider | None = None
    dkim: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """The values, or else what they look like."""
        return self.values or (self.provider.mx if self.provider else ())


@dataclass(frozen=True, slots=True)
class Zone:
    """What a domain needs; `elsewhere` are records of host names that are in nobody's declared domain."""

    name: str
    title: str
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    elsewhere: tuple[Record, ...] = ()


def zones(spec: Spec, web: str = "", keys: Keys = MappingProxyType({})) -> tuple[Zone, ...]:
    """What each declared domain needs, in name order.

    `web` is the name of a web server that serves the files for setting up clients (autoconfig, autodiscover); without
    one, no record leads there. `keys` are those that hosts have made to sign with.
    """
    owners = {host.name: _owner(host.hostname, spec.domains) for host in spec.hosts.values()}
    return tuple(_zone(spec, domain, web, keys, owners) for _, domain in sorted(spec.domains.items()))


def _zone(spec: Spec, domain: Domain, web: str, keys: Keys, owners: Mapping[str, str | None]) -> Zone:
    title, records, notes = _hosted(domain) if domain.hosted_by else _served(spec, domain, web)
    for name in domain.hosts:
        records += _dkim(domain, keys.get(name, ()))
        notes += _of_keys(domain, name, keys.get(name, "it was not asked"))
    here = [host for host in spec.hosts.values() if owners[host.name] == domain.name]
    elsewhere = [spec.hosts[name] for name in domain.hosts if owners[name] is None]
    unknown = [host.hostname for host in (*here, *elsewhere) if public_address(host) is None]
    notes += [f"{name} needs an A or AAAA record with its public address, which is not declared" for name in unknown]
    return Zone(domain.name, title, (*records, *_addresses(here)), tuple(notes), tuple(_addresses(elsewhere)))


def _served(spec: Spec, domain: Domain, web: str) -> tuple[str, list[Record], list[str]]:
    """What a domain needs that declared hosts serve: in words who does, the records, what else there is to know."""
    hosts = [spec.hosts[name] for name in domain.hosts]
    records = [*_mx(domain, hosts), *_spf(domain, hosts), _dmarc(spec, domain)]
    records += [record for label in _LABELS for record in _srv(domain, hosts, *label)]
    records += _sieve(domain, hosts)
    records += _web(domain.name, web) if web else ()
    notes = []
    taking = [host.name for host in hosts if host.services.smtp]
    if len(taking) > 1:
        notes.append(f"mail is spread over {', '.join(taking)}, each with mailboxes of its own")
    if not taking:
        notes.append("no host takes mail from other servers (services: smtp), so no MX record is wanted")
    if not web:
        notes.append("autoconfig and autodiscover: --web NAME adds the records, once a web server has the files")
    return f"served by {', '.join(host.name for host in hosts)}", records, notes


def _sieve(domain: Domain, hosts: Sequence[HostSpec]) -> Iterator[Record]:
    values = tuple(sorted(f"0 1 {host.services.sieve} {host.hostname}." for host in hosts if host.services.sieve))
    if values:
        why = "how clients find ManageSieve (RFC 5804 §1.8)"
        yield Record(f"_sieve._tcp.{domain.name}", "SRV", values, why, optional=True)


def _mx(domain: Domain, hosts: Sequence[HostSpec]) -> Iterator[Record]:
    values = tuple(sorted(f"{PREFERENCE} {host.hostname}." for host in hosts if host.services.smtp))
    if values:
        yield Record(domain.name, "MX", values, _MX)


def _spf(domain: Domain, hosts: Sequence[HostSpec]) -> Iterator[Record]:
    """Outgoing mail goes straight from the hosts, so they are all that may send (RFC 7208)."""
    groups: list[tuple[str, ...]] = []
    terms: list[str] = []
    for host in hosts:
        if not sends(host):
            continue
        mine = ["mx"] if host.services.smtp else []
        mine += [f"a:{host.hostname}", *(["a"] if host.hostname == domain.name else ())]
        terms.append(mine[0])
        address = public_address(host)
        groups.append((*mine, *([f"ip{address.version}:{address}"] if address else ())))
    if terms:
        text = f"v=spf1 {' '.join(dict.fromkeys(terms))} ~all"
        yield Record(
            domain.name, "TXT", (text,), "who may send for this domain (SPF, RFC 7208)", spf=Spf(tuple(groups))
        )


def _dmarc(spec: Spec, domain: Domain) -> Record:
    """`p=none` is where to begin (RFC 7489 §6.3): reports are asked for only where somebody reads postmaster's mail."""
    postmaster = f"postmaster@{domain.name}"
    read = domain.catch_all is not None or any(alias.address == postmaster for alias in spec.aliases)
    read = read or any(user.address == postmaster or postmaster in user.aliases for user in spec.users)
    text = f"v=DMARC1; p=none{f'; rua=mailto:{postmaster}' if read else ''}"
    return Record(f"_dmarc.{domain.name}", "TXT", (text,), _DMARC)


def dkim_records(pair: KeyPair) -> tuple[Record, ...]:
    """The two records of a pair of keys."""
    return tuple(Record(name, "TXT", (text,), _DKIM, dkim=True) for name, text in pair.records)


def _dkim(domain: Domain, pairs: Sequence[KeyPair] | str) -> Iterator[Record]:
    """Of the keys that sign, that wait to, and that have signed what may be under way."""
    for pair in pairs if not isinstance(pairs, str) else ():
        if pair.domain == domain.name and pair.use != "retired":
            yield from dkim_records(pair)


def _of_keys(domain: Domain, host: str, pairs: Sequence[KeyPair] | str) -> Iterator[str]:
    if isinstance(pairs, str):
        if domain.sign:
            yield f"DKIM: the keys of {host} are not known here: {pairs}"
        return
    own = [pair for pair in pairs if pair.domain == domain.name]
    if domain.sign and not any(pair.use != "retired" for pair in own):
        yield f"DKIM: {host} has no keys yet; an apply makes them"
    if waiting := [pair.name for pair in own if pair.use == "waits"]:
        yield f"DKIM: {host} signs with {', '.join(waiting)} once the records are there, from the next apply on"
    if gone := [pair for pair in own if pair.use == "retired"]:
        names = ", ".join(name for pair in gone[-1:] for name, _ in pair.records)
        yield f"DKIM: {host} needs the records {names} no more: they can go"


def _srv(
    domain: Domain, hosts: Sequence[HostSpec], label: str, protocol: Protocol, mode: Literal["tls", "starttls"]
) -> Iterator[Record]:
    found = [(_port(host.services, protocol, mode), host.hostname) for host in hosts]
    values = [f"{_PRIORITY[protocol]} 1 {port} {name}." for port, name in found if port]
    yield _service(domain.name, label, tuple(sorted(values)), optional=False)


def _service(domain: str, label: str, values: tuple[str, ...], *, optional: bool) -> Record:
    """A service, or that there is none: the target `.` (RFC 2782, RFC 6186 §3.4), which may be left unsaid."""
    what = label[1:].upper()
    why = f"how clients find {what} (RFC 6186)" if values else f"that {what} is not offered (RFC 6186 §3.4)"
    return Record(f"{label}._tcp.{domain}", "SRV", values or ("0 0 0 .",), why, optional or not values)


def _port(services: Services, protocol: Protocol, mode: Literal["tls", "starttls"]) -> int | None:
    listener = {"pop3": services.pop3, "imap": services.imap, "submission": services.submission}[protocol]
    return listener.tls if mode == "tls" else listener.starttls


def _web(domain: str, web: str) -> Iterator[Record]:
    for label, what in (("autoconfig", "Thunderbird and others"), ("autodiscover", "Outlook")):
        if f"{label}.{domain}" != web:
            yield Record(f"{label}.{domain}", "CNAME", (f"{web}.",), f"where {what} look for settings")
    why = "where Outlook looks for settings next"
    yield Record(f"_autodiscover._tcp.{domain}", "SRV", (f"0 1 443 {web}.",), why)


def _hosted(domain: Domain) -> tuple[str, list[Record], list[str]]:
    """What a provider's documents want of a customer's domain."""
    provider = serving(domain.hosted_by, domain.servers)
    records: list[Record] = []
    notes: list[str] = []
    if provider.mx:
        values = tuple(f"{record.preference} {record.host}." for record in provider.mx_records)
        if not values:
            notes.append(f"MX: the provider tells the exact names; they look like {', '.join(provider.mx)}")
        records.append(Record(domain.name, "MX", values, _MX, provider=provider))
    if provider.spf:
        terms = (f"include:{provider.spf}", f"redirect={provider.spf}")
        records.append(Record(domain.name, "TXT", (f"v=spf1 {terms[0]} ~all",), _SPF, spf=Spf((terms,))))
    records.append(Record(f"_dmarc.{domain.name}", "TXT", ("v=DMARC1; p=none",), _DMARC, optional=True))
    for label, protocol, mode in _LABELS if not provider.cluster else ():
        servers = provider.servers(protocol)
        if servers is not None and (domain.servers or protocol not in provider.unverified):
            found = [f"{_PRIORITY[protocol]} 1 {s.port} {s.host}." for s in servers if s.mode == mode]
            if found or not servers:
                records.append(_service(domain.name, label, tuple(found), optional=True))
    if {"mx", "spf"} & provider.unverified:
        notes.append(f"MX and SPF are from third-party pages: see `mailprov providers {provider.id}`")
    return f"hosted by {provider.name.en}", records, notes


def _owner(hostname: str, domains: Mapping[str, Domain]) -> str | None:
    """The declared domain that a host name is in, the longest one; None where it is in none."""
    labels = hostname.split(".")
    above = (".".join(labels[at:]) for at in range(len(labels)))
    return next((name for name in above if name in domains), None)


def sends(host: HostSpec) -> bool:
    """Whether mail leaves from this host: somebody hands it mail for others."""
    services = host.services
    return bool(services.smtp or services.submission.tls or services.submission.starttls)


def public_address(host: HostSpec) -> IPv4Address | IPv6Address | None:
    """The address of a host, where the declaration says one that others can reach."""
    try:
        address = ip_address(host.address)
    except ValueError:
        return None
    return address if is_public(address) else None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether others can reach it."""
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)


def _addresses(hosts: Iterable[HostSpec]) -> Iterator[Record]:
    """The address records of these hosts' names."""
    found: dict[tuple[str, Kind], list[str]] = {}
    for host in hosts:
        address = public_address(host)
        known = found.setdefault((host.hostname, "AAAA" if address and address.version == 6 else "A"), [])
        known += [str(address)] if address else []
    for (name, kind), values in found.items():
        yield Record(name, kind, tuple(dict.fromkeys(values)), "where the mail host is")
