"""How a domain that is sent from stands in DNS: SPF, DKIM, DMARC, where answers go (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mailprov.deliverability import authorized, policies, signatures, ways
from mailprov.deliverability.authorized import Wanted, text_of
from mailprov.deliverability.hosts import silent
from mailprov.deliverability.words import About, Finding, Outcome, worst
from mailprov.dns import Keys
from mailprov.dns.spf import Lookup
from mailprov.model import Domain, HostSpec, Relay

EXCHANGERS = 10
"""MX records of one domain that are looked at"""


def judge(domain: Domain, hosts: Sequence[HostSpec], wanted: Wanted, lookup: Lookup, keys: Keys) -> list[Finding]:
    """How the domain stands; `hosts` are those that send for it, `keys` what they sign with."""
    name = domain.name
    relays = [relay for host in hosts for relay in ways.ways(host.outgoing, name) if relay is not None]
    spf = list(authorized.judge(name, hosts, wanted, lookup))
    dkim = list(signatures.judge(domain, hosts, keys, lookup))
    passes, signed = (worst(finding.outcome for finding in each) for each in (spf, dkim))
    return [
        *spf,
        *dkim,
        dmarc(name, wanted, lookup, unsigned=signed == "fail"),
        _alignment(name, passes, signed, relays),
        *exchangers(name, wanted, lookup),
        *_shown(name, lookup),
    ]


# --- DMARC


def dmarc(domain: str, wanted: Wanted, lookup: Lookup, *, unsigned: bool) -> Finding:
    """The policy that receivers apply to the domain: its own, or that of a domain above it (RFC 9989 §4.10)."""
    record = f'_dmarc.{domain}. TXT "{text_of(wanted, f"_dmarc.{domain}", "v=DMARC1; p=none")}"'
    found: list[tuple[str, policies.Dmarc]] = []
    for name in dmarc_places(domain):
        answer = lookup(f"_dmarc.{name}", "TXT")
        if answer.why:
            return silent("dmarc", f"DMARC of {name}", answer.why)
        texts = [text for text in answer.values if policies.is_dmarc(text)]
        if len(texts) > 1 and name == domain:
            what = f"_dmarc.{name} has {len(texts)} DMARC records, so that none counts"
            return Finding("dmarc", "warning", what, "leave one of them", record, meets="fail")
        found += [(name, policies.dmarc(texts[0]))] if len(texts) == 1 else []
        if found and (found[-1][0] == domain or found[-1][1].psd in ("y", "n")):
            break
    if not found:
        return Finding("dmarc", "warning", f"{domain} has no DMARC record", "add it", record, meets="fail")
    return _policy(domain, *found[-1], record, unsigned)


def dmarc_places(domain: str) -> Iterator[str]:
    """The domains whose record may apply, at most eight: the domain itself, then those above it that have two labels
    or more (RFC 9989 §4.10)."""
    labels = domain.split(".")
    yield domain
    for count in range(min(len(labels) - 1, 7), 1, -1):
        yield ".".join(labels[-count:])


def _policy(domain: str, name: str, found: policies.Dmarc, record: str, unsigned: bool) -> Finding:
    own = name == domain
    policy = (found.policy if own else found.below) or "none"
    where = "" if own else f" (of {name})"
    if not found.applies:
        what = f"DMARC of {name} does not count: {'; '.join(found.wrong)}"
        return Finding("dmarc", "warning", what, "correct it", record, meets="fail")
    if found.wrong:
        what = f"DMARC of {name} is read as p={policy}, and {'; '.join(found.wrong)}"
        return Finding("dmarc", "warning", what, "correct it", record, meets=None if found.policy else "untold")
    if policy != "none" and unsigned and not found.testing:
        what = f"DMARC of {domain} asks for {policy}{where}, and mail is not signed: what is forwarded will be refused"
        return Finding("dmarc", "warning", what, "p=none until mail is signed", record)
    tried = ", only tried out (t=y)" if found.testing else ""
    reports = "" if found.reports else "; without rua= nobody gets reports"
    return Finding("dmarc", "pass", f"DMARC of {domain} is valid: {policy}{where}{tried}{reports}")


def _alignment(domain: str, spf: Outcome, dkim: Outcome, relays: Sequence[Relay]) -> Finding:
    """What signs is the domain of the author's address (d=), and the envelope's sender is in it here: each is enough
    for both ways to compare (RFC 9989 §4.4)."""
    if dkim == "pass":
        what = f"what signs is {domain} (d=), which is the author's domain"
        return Finding("alignment", "pass", f"{what}: DMARC passes by it, strict comparison included")
    same = f"SPF is about {domain}, which is the author's domain"
    if spf == "fail":
        return Finding("alignment", "warning", f"{same}, and does not pass", "see SPF", meets="fail")
    if relays:
        what = f"{same}; whether a relay leaves the envelope's sender as it is"
        return Finding("alignment", "untold", what, "look at Return-Path of a message that went through it")
    if spf == "untold":
        return Finding("alignment", "untold", f"{same}; whether it passes cannot be told")
    return Finding("alignment", "pass", f"{same}: DMARC passes by it, strict comparison included")


# --- MX, and what is shown where it is there


def exchangers(domain: str, wanted: Wanted, lookup: Lookup) -> Iterator[Finding]:
    """Answers and bounces find a way back (RFC 5321 §5.1)."""
    answer = lookup(domain, "MX")
    need = wanted.get((domain, "MX"))
    record = f"{domain}. MX {need.values[0]}" if need is not None and need.values else ""
    if answer.why:
        yield silent("mx", f"MX of {domain}", answer.why)
        return
    names = exchanger_names(answer.values)
    if not answer.values:
        yield _implicit(domain, record, lookup)
    elif not names:
        what = f"{domain} says that it takes no mail (null MX), and mail from such a domain is refused (RFC 7505 §4.2)"
        yield Finding("mx", "fail", what, "replace it", record)
    else:
        yield _led(domain, names, record, lookup)
        yield from _dane(names, lookup)


def exchanger_names(values: Sequence[str]) -> list[str]:
    """The names that MX records lead to; none for a null MX (RFC 7505 §3)."""
    names = (text.split()[-1].rstrip(".").lower() for text in values[:EXCHANGERS] if text.split())
    return [name for name in dict.fromkeys(names) if name]


def _implicit(domain: str, record: str, lookup: Lookup) -> Finding:
    found, why = ways.addresses(domain, lookup)
    if found:
        what = f"{domain} has no MX record: mail for it goes to its own address"
        return Finding("mx", "warning", what, "add one", record)
    if why:
        return silent("mx", domain, why)
    what = f"{domain} has no MX record and no address: nobody can answer, and many refuse mail from it"
    return Finding("mx", "fail", what, "add one", record)


def _led(domain: str, names: Sequence[str], record: str, lookup: Lookup) -> Finding:
    found = {name: ways.addresses(name, lookup) for name in names}
    dead = [name for name, (there, why) in found.items() if not there and not why]
    silence = next((why for there, why in found.values() if why and not there), "")
    if len(dead) == len(names):
        what = f"MX of {domain} leads to {', '.join(dead[:4])}, which has no address"
        return Finding("mx", "fail", what, "replace it, or add an address to that name", record)
    if silence:
        return silent("mx", f"where MX of {domain} leads", silence)
    if dead:
        return Finding("mx", "warning", f"MX of {domain} also leads to {dead[0]}, which has no address", "remove it")
    return Finding("mx", "pass", f"MX of {domain} leads to {', '.join(names[:4])}")


def _dane(names: Sequence[str], lookup: Lookup) -> Iterator[Finding]:
    for name in names:
        values = lookup(f"_25._tcp.{name}", "TLSA").values
        wrong = next((wrong for wrong in map(policies.tlsa_wrong, values) if wrong), "")
        if wrong:
            yield Finding("tlsa", "warning", f"a TLSA record of {name}: {wrong}", "correct or remove it")
        elif values:
            what = f"TLSA records of {name} are well-formed; DNSSEC and the certificate were not looked at"
            yield Finding("tlsa", "pass", what)


_SHOWN: Final[tuple[tuple[About, str, str, Callable[[str], tuple[str, ...]], str], ...]] = (
    ("mta-sts", "_mta-sts", "v=stsv1", policies.sts_wrong, "; its policy, which a web server has, was not fetched"),
    ("tls-rpt", "_smtp._tls", "v=tlsrptv1", policies.tls_reports_wrong, ""),
)


def _shown(domain: str, lookup: Lookup) -> Iterator[Finding]:
    for about, label, version, judged, more in _SHOWN:
        name = f"{label}.{domain}"
        found = [text for text in lookup(name, "TXT").values if text.lower().startswith(version)]
        wrong = judged(found[0]) if len(found) == 1 else (f"there are {len(found)} of them",) if found else ()
        if wrong:
            yield Finding(about, "warning", f"{name}: {'; '.join(wrong)}", "correct or remove it")
        elif found:
            yield Finding(about, "pass", f"{name} is well-formed{more}")
