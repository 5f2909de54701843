"""Whether SPF of a domain lets the servers send that its mail comes from (RFC 7208; pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from mailprov.deliverability import ways
from mailprov.deliverability.hosts import silent
from mailprov.deliverability.words import Address, Finding
from mailprov.dns.records import Kind, Record
from mailprov.dns.spf import Evaluation, Lookup, evaluate, with_term
from mailprov.dns.spf_syntax import is_spf
from mailprov.model import HostSpec, Relay
from mailprov.providers import catalogue

Wanted = Mapping[tuple[str, Kind], Record]
"""the records that the declaration needs, by name and type"""
_NOBODY: Final = ip_address("192.0.2.1")
"""an address that nobody has (RFC 5737): a record is read to its end for it"""


@dataclass(frozen=True, slots=True)
class Source:
    """An address that mail of the domain comes from, and the host that sends it: through `relay`, or itself."""

    address: Address
    hostname: str
    relay: Relay | None

    @property
    def term(self) -> str:
        """What lets it send."""
        return f"ip{self.address.version}:{self.address}"


def judge(domain: str, hosts: Sequence[HostSpec], wanted: Wanted, lookup: Lookup) -> Iterator[Finding]:
    """A finding for each address that mail comes from, or one where all of them are refused for the same reason."""
    every = _sources(domain, hosts, lookup)
    relays = _relays(domain, hosts)
    text = lookup(domain, "TXT")
    records = [each for each in text.values if is_spf(each)]
    if text.why:
        yield silent("spf", f"SPF of {domain}", text.why)
    elif len(records) != 1:
        yield _not_one(domain, records, every, relays, wanted)
    elif not every and not relays:
        yield Finding("spf", "untold", f"whether SPF of {domain} lets its hosts send: no address of theirs is known")
    else:
        known: dict[Relay | None, str] = {relay: include_of(relay) for relay in relays}
        yield from (_included(domain, each, known[each], records[0], lookup) for each in relays if known[each])
        yield from (_allowed(domain, source, wanted, lookup) for source in every if not known.get(source.relay))
        yield from (
            _nowhere(domain, each) for each in relays if not known[each] and all(s.relay != each for s in every)
        )


def text_of(wanted: Wanted, name: str, otherwise: str) -> str:
    """The text that the declaration needs at a name."""
    record = wanted.get((name, "TXT"))
    return record.values[0] if record is not None else otherwise


def include_of(relay: Relay) -> str:
    """What SPF must include for a relay, as its provider documents it; "" for one that is not known."""
    return next((each.spf for each in catalogue().values() if each.spf and relay.host.lower() in each.hosts), "")


def _relays(domain: str, hosts: Sequence[HostSpec]) -> list[Relay]:
    through = (relay for host in hosts for relay in ways.ways(host.outgoing, domain))
    return list(dict.fromkeys(relay for relay in through if relay is not None))


def _sources(domain: str, hosts: Sequence[HostSpec], lookup: Lookup) -> list[Source]:
    """Every address that mail of the domain is known to come from."""
    found: dict[Source, None] = {}
    for host in hosts:
        for relay in ways.ways(host.outgoing, domain):
            those = ways.sources(host, lookup) if relay is None else ways.relayed(relay, lookup)
            found |= dict.fromkeys(Source(address, host.hostname, relay) for address in those)
    return list(found)


def _not_one(
    domain: str, records: Sequence[str], every: Sequence[Source], relays: Sequence[Relay], wanted: Wanted
) -> Finding:
    if records:
        what = f"{domain} has {len(records)} SPF records, so that none counts (RFC 7208 §4.5)"
        return Finding("spf", "fail", what, "make one of them", f'{domain}. TXT "{_merged(records)}"')
    text = text_of(wanted, domain, "v=spf1 ~all")
    names = {relay: include_of(relay) for relay in relays}
    terms = [f"include:{name}" for name in names.values() if name]
    terms += [source.term for source in every if source.relay is not None and not names[source.relay]]
    for term in dict.fromkeys(terms):
        text = with_term(text, term)
    fix = "add it" if all(names.values()) else "add it, with the `include:` that the relay's provider says"
    return Finding("spf", "fail", f"{domain} has no SPF record", fix, f'{domain}. TXT "{text}"')


def _merged(records: Sequence[str]) -> str:
    words = dict.fromkeys(word for record in records for word in record.split()[1:])
    ends = [word for word in words if word.lower().lstrip("+-~?") == "all" or word.lower().startswith("redirect=")]
    return " ".join(["v=spf1", *(word for word in words if word not in ends), *(ends[:1] or ["~all"])])


# --- relays


def _included(domain: str, relay: Relay, name: str, record: str, lookup: Lookup) -> Finding:
    """A relay whose provider says what to include: it may send from more addresses than its name has."""
    found = evaluate(_NOBODY, domain, lookup)
    if found.result == "temperror":
        return silent("spf", f"whether SPF of {domain} lets {relay.host} send", found.why)
    if found.result == "permerror":
        return _in_error(domain, found, "")
    words = [word.lower().removeprefix("+") for word in record.split()]
    if f"include:{name}" in words or f"redirect={name}" in words:
        return Finding("spf", "pass", f"SPF of {domain} has what the provider of {relay.host} says: {name}")
    what = f"SPF of {domain} does not include {name}, from which mail through {relay.host} comes"
    return Finding("spf", "fail", what, "replace it", f'{domain}. TXT "{with_term(record, f"include:{name}")}"')


def _nowhere(domain: str, relay: Relay) -> Finding:
    what = f"whether SPF of {domain} lets {relay.host} send: no address of it that others can reach is known here"
    return Finding("spf", "untold", what, "ask its provider which `include:` SPF needs")


# --- addresses


def _allowed(domain: str, source: Source, wanted: Wanted, lookup: Lookup) -> Finding:
    found = evaluate(source.address, domain, lookup, helo=source.hostname)
    who = f"{source.address} ({source.relay.host if source.relay else source.hostname})"
    if found.result == "temperror":
        return silent("spf", f"whether SPF of {domain} lets {who} send", found.why)
    if found.by_sender:
        what = f"SPF of {domain} asks for the sender's mailbox: {found.result} for postmaster from {who}"
        return Finding("spf", "untold", f"{what}; others cannot be told from here", "do without %{s} and %{l}")
    if found.result == "pass" and found.matched.lower().removeprefix("+").split()[0] == "all":
        return _everybody(domain, found)
    if found.result == "pass":
        more = "; it may send from other addresses, too" if source.relay else ""
        return Finding("spf", "pass", f"SPF of {domain} lets {who} send ({found.matched}){more}")
    return _refused(domain, source, found, wanted, who)


def _everybody(domain: str, found: Evaluation) -> Finding:
    what = f"SPF of {domain} lets everybody send ({found.matched})"
    if found.matched not in found.record.split():
        return Finding("spf", "warning", what, "do without what it includes")
    words = ["~all" if word == found.matched else word for word in found.record.split()]
    return Finding("spf", "warning", what, "replace it", f'{domain}. TXT "{" ".join(words)}"')


def _refused(domain: str, source: Source, found: Evaluation, wanted: Wanted, who: str) -> Finding:
    if found.result == "permerror":
        wants = f'{domain}. TXT "{text_of(wanted, domain, "v=spf1 mx ~all")}"'
        return _in_error(domain, found, "" if source.relay else wants)
    record = f'{domain}. TXT "{with_term(found.record, source.term)}"'
    says = f"{found.result}{f' by {found.matched}' if found.matched else ''}"
    if source.relay and any(word in found.record.lower() for word in ("include:", "redirect=")):
        what = f"SPF of {domain} does not let {who} send ({says}); what it includes may be where that relay sends from"
        return Finding("spf", "untold", what, "ask its provider which `include:` it is")
    if source.relay:
        what = f"SPF of {domain} does not let the relay {who} send ({says})"
        return Finding("spf", "fail", what, "replace it, better with the `include:` that its provider says", record)
    return Finding("spf", "fail", f"SPF of {domain} does not let {who} send ({says})", "replace it", record)


def _in_error(domain: str, found: Evaluation, record: str) -> Finding:
    fix = "correct the record: an error counts as no SPF at all"
    fix += "; for the declared hosts alone it would be" if record else ""
    return Finding("spf", "fail", f"SPF of {domain} is in error: {found.why}", fix, record)
