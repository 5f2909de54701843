"""Whether mail that the declared hosts send is accepted by others, as far as DNS and their keys tell (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MappingProxyType

from mailprov.deliverability import domains, hosts, signatures, ways
from mailprov.deliverability.receivers import RECEIVERS, rulings
from mailprov.deliverability.words import DomainJudged, Finding, HostJudged, Outcome, Receiver, Rule, Ruling, Standing
from mailprov.dns.judge import Query
from mailprov.dns.records import Keys, zones
from mailprov.dns.spf import Lookup
from mailprov.model import Domain, HostSpec, Spec

__all__ = [
    "RECEIVERS",
    "DomainJudged",
    "Finding",
    "HostJudged",
    "Outcome",
    "Receiver",
    "Rule",
    "Ruling",
    "Standing",
    "judge",
    "questions",
    "signers",
]


def judge(
    spec: Spec,
    chosen: tuple[HostSpec, ...],
    lookup: Lookup,
    *,
    each: Callable[..., Iterable[DomainJudged]] = map,
    patient: Callable[[], Lookup] | None = None,
    keys: Keys = MappingProxyType({}),
) -> tuple[list[HostJudged], list[DomainJudged]]:
    """How the chosen hosts that send stand, and their domains.

    `lookup` is asked; for a domain what `patient` gives, if it is there. `each` may judge several domains at once.
    `keys` are those that the hosts have made to sign with.
    """
    senders = ways.sending(spec, chosen)
    seen = [_host(host, served, patient() if patient else lookup) for host, served in senders]
    findings = {judged.host: judged.findings for judged in seen}
    wanted = {(record.name, record.kind): record for zone in zones(spec) for record in zone.records}
    serving: dict[str, list[HostSpec]] = {}
    for host, served in senders:
        for domain in served:
            serving.setdefault(domain.name, []).append(host)

    def one(name: str) -> DomainJudged:
        by = serving[name]
        found = domains.judge(spec.domains[name], by, wanted, patient() if patient else lookup, keys)
        around = [finding for host in by for finding in _meant(host, name, findings[host.name])]
        return DomainJudged(name, tuple(host.name for host in by), tuple(found), tuple(rulings([*found, *around])))

    return seen, list(each(one, sorted(serving)))


def _names(senders: Sequence[tuple[HostSpec, tuple[Domain, ...]]]) -> list[str]:
    return sorted({domain.name for _, served in senders for domain in served})


def _host(host: HostSpec, served: tuple[Domain, ...], lookup: Lookup) -> HostJudged:
    through = ways.every_way(host, served)
    addresses = tuple(map(str, ways.sources(host, lookup))) if None in through else ()
    relays = tuple(relay.host for relay in through if relay is not None)
    names = tuple(domain.name for domain in served)
    return HostJudged(host.name, host.hostname, names, addresses, relays, tuple(hosts.judge(host, served, lookup)))


def _meant(host: HostSpec, domain: str, found: Sequence[Finding]) -> Iterator[Finding]:
    """What of a host's findings counts for a domain: of the way that its mail takes."""
    through = ways.ways(host.outgoing, domain)
    yield from (each for each in found if each.about == "reverse" and None in through)
    if any(through):
        yield Finding("reverse", "untold", "whether the relay's address has a name that leads back to it")


# --- what to ask


def signers(spec: Spec, chosen: tuple[HostSpec, ...]) -> list[HostSpec]:
    """Those of the chosen hosts that send for a domain which is signed: their keys are needed."""
    return [host for host, served in ways.sending(spec, chosen) if any(domain.sign for domain in served)]


def questions(
    spec: Spec, chosen: tuple[HostSpec, ...], lookup: Lookup, keys: Keys = MappingProxyType({})
) -> Iterator[list[Query]]:
    """What must be asked, in three rounds, each of which follows from the answers to the one before. SPF asks more."""
    senders = ways.sending(spec, chosen)
    names = _names(senders)
    yield [*_first(senders, names), *signatures.questions([spec.domains[name] for name in names], keys)]
    yield list(_second(senders, names, lookup))
    yield list(_third(senders, lookup))


def _first(senders: Sequence[tuple[HostSpec, tuple[Domain, ...]]], names: Sequence[str]) -> Iterator[Query]:
    for host, served in senders:
        through = ways.every_way(host, served)
        for name in [*([host.hostname] if None in through else ()), *(relay.host for relay in through if relay)]:
            if ways.is_name(name):
                yield from ((name, "A"), (name, "AAAA"))
        if None in through:
            yield host.hostname, "TXT"
    for name in names:
        yield from ((name, "TXT"), (name, "MX"))
        yield from ((f"_dmarc.{place}", "TXT") for place in domains.dmarc_places(name))
        yield from ((f"_mta-sts.{name}", "TXT"), (f"_smtp._tls.{name}", "TXT"))


def _second(
    senders: Sequence[tuple[HostSpec, tuple[Domain, ...]]], names: Sequence[str], lookup: Lookup
) -> Iterator[Query]:
    for host, served in senders:
        if None in ways.every_way(host, served):
            yield from ((address.reverse_pointer, "PTR") for address in ways.sources(host, lookup))
    for name in names:
        answer = lookup(name, "MX")
        for exchanger in domains.exchanger_names(answer.values) or ([name] if not answer.why else []):
            yield from ((exchanger, "A"), (exchanger, "AAAA"))
        yield from ((f"_25._tcp.{exchanger}", "TLSA") for exchanger in domains.exchanger_names(answer.values))


def _third(senders: Sequence[tuple[HostSpec, tuple[Domain, ...]]], lookup: Lookup) -> Iterator[Query]:
    for host, served in senders:
        for address in ways.sources(host, lookup) if None in ways.every_way(host, served) else ():
            for text in lookup(address.reverse_pointer, "PTR").values[: hosts.NAMES]:
                name = text.rstrip(".").lower()
                if hosts.askable(name):
                    yield from ((name, "A"), (name, "AAAA"))
