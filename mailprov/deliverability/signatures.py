"""Whether mail of a domain is signed, and by keys that DNS has as its hosts have made them (DKIM, RFC 6376; pure)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from mailprov.deliverability import ways
from mailprov.deliverability.hosts import silent
from mailprov.deliverability.words import Finding, Outcome
from mailprov.dns import Finding as Compared
from mailprov.dns import Keys, Record, dkim_records
from mailprov.dns import judge as compared
from mailprov.dns.judge import Query, tags
from mailprov.dns.spf import Lookup
from mailprov.dns.zonefile import quoted
from mailprov.model import Domain, HostSpec, KeyPair

SHORTEST: Final = 1024
"""bits of an RSA key below which no signature may count (RFC 8301 §3.2)"""
ENOUGH: Final = 2048
"""bits that an RSA key should have"""
_LOOK: Final = "send a message to a mailbox elsewhere, and look at its Authentication-Results"


def judge(domain: Domain, hosts: Sequence[HostSpec], keys: Keys, lookup: Lookup) -> Iterator[Finding]:
    """How each of the hosts that send for a domain signs its mail; one finding where nobody is to."""
    relays = [relay for host in hosts for relay in ways.ways(host.outgoing, domain.name) if relay is not None]
    names = ", ".join(dict.fromkeys(relay.host for relay in relays))
    if domain.sign is None:
        yield _unsigned(names, any(None in ways.ways(host.outgoing, domain.name) for host in hosts))
        return
    for host in hosts:
        yield from _signed(domain.name, host.name, keys.get(host.name, "it was not asked"), lookup)
    if relays:
        what = f"whether {names} leaves what is signed as it is (Date and Message-ID, too), or signs as this domain"
        yield Finding("dkim", "untold", what, _LOOK)


def questions(domains: Sequence[Domain], keys: Keys) -> Iterator[Query]:
    """What must be asked of the keys of these domains."""
    signed = {domain.name for domain in domains if domain.sign}
    for pairs in keys.values():
        needed = (pair for pair in pairs if pair.use != "retired") if not isinstance(pairs, str) else ()
        yield from ((name, "TXT") for pair in needed if pair.domain in signed for name, _ in pair.records)


def _unsigned(relays: str, direct: bool) -> Finding:
    if relays:
        what = f"whether {relays} signs with DKIM as this domain{', and hosts that send directly do not' * direct}"
        return Finding("dkim", "untold", what, _LOOK, meets="fail" if direct else "untold")
    what = "mail is not signed with DKIM: bulk senders must sign, and SPF alone breaks where mail is forwarded"
    return Finding("dkim", "warning", what, "declare `sign: true` for the domain, and apply", meets="fail")


def _signed(domain: str, host: str, known: Sequence[KeyPair] | str, lookup: Lookup) -> Iterator[Finding]:
    """What one host does, by the keys that it has `known`, or why they are not known."""
    if isinstance(known, str):
        what = f"whether {host} signs mail from {domain} with keys that DNS has: its keys are not known here ({known})"
        yield Finding("dkim", "untold", what, "run this where the host can be asked by SSH")
        return
    own = [pair for pair in known if pair.domain == domain and pair.use != "retired"]
    signs = any(pair.use == "signs" for pair in own)
    if not signs and all(pair.use != "waits" for pair in own):
        what = f"{host} has no keys to sign mail from {domain} with"
        yield Finding("dkim", "warning", what, "an apply makes them", meets="fail")
    for pair in own:
        found = [(record, _compared(record, lookup)) for record in dkim_records(pair)]
        yield from (silent("dkim", it.record.name, it.what) for _, it in found if it.status == "unknown")
        answered = [each for each in found if each[1].status != "unknown"]
        if pair.use == "signs":
            yield from _signs(host, pair, answered)
        elif pair.use == "waits":
            yield from _waits(host, pair, answered, None if signs else "fail")
        else:
            yield from _under_way(host, pair, answered)


Found = Sequence[tuple[Record, Compared]]
"""records of a pair, and how DNS has them"""


def _signs(host: str, pair: KeyPair, found: Found) -> Iterator[Finding]:
    if not pair.intact:
        what = f"{host} is to sign mail from {pair.domain} with {pair.name}, whose private keys are not as it made them"
        yield Finding("dkim", "fail", what, "an apply makes others")
    for record, there in found:
        if there.differs and _rsa(record):
            what = f"{host} signs with a key that receivers do not find: {_told(record, there)}"
            yield Finding("dkim", "fail", what, _fix(there), _line(record))
        elif there.differs:
            what = f"{host} also signs with Ed25519, which few receivers look at: {_told(record, there)}"
            yield Finding("dkim", "warning", what, _fix(there), _line(record))
        elif "y" in tags(there.found[0]).get("t", "").split(":"):
            what = f"{record.name} says that signing is only tried out (t=y)"
            yield Finding("dkim", "warning", what, "leave out t=y", _line(record))
        elif _rsa(record):
            yield _long_enough(host, pair)


def _long_enough(host: str, pair: KeyPair) -> Finding:
    bits = rsa_bits(dict(pair.public)["rsa"])
    what = f"{host} signs mail from {pair.domain} with {pair.name}, as DNS has it: RSA with {bits:,} bits"
    if bits >= ENOUGH:
        return Finding("dkim", "pass", what)
    fix = f"have others made, which have {ENOUGH:,}: `sign: {{rotate: 30d}}`"
    return Finding("dkim", "warning" if bits >= SHORTEST else "fail", f"{what}, which is too short", fix)


def _waits(host: str, pair: KeyPair, found: Found, meets: Outcome | None) -> Iterator[Finding]:
    """Keys that do not sign yet."""
    left = [each for each in found if each[1].differs]
    for record, there in left:
        what = f"{host} has made {pair.name} to sign mail from {pair.domain}, and waits: {_told(record, there)}"
        yield Finding("dkim", "warning", what, f"{_fix(there)}; the next apply after that signs", _line(record), meets)
    if len(found) == len(pair.records) and not left:
        what = f"{host} has made {pair.name} to sign mail from {pair.domain}, and DNS has it by now"
        yield Finding("dkim", "warning", what, "apply: from then on it signs", meets=meets)


def _under_way(host: str, pair: KeyPair, found: Found) -> Iterator[Finding]:
    for record, there in found:
        if there.differs:
            what = f"mail that {host} has signed with {pair.name} may still be under way: {_told(record, there)}"
            yield Finding("dkim", "warning", what, _fix(there), _line(record))


def _compared(record: Record, lookup: Lookup) -> Compared:
    answer = lookup(record.name, "TXT")
    made = compared(record, {(record.name, "TXT"): answer})
    return replace(made, what=answer.why) if answer.why else made


def _told(record: Record, there: Compared) -> str:
    return f"{record.name} is not there" if there.status == "missing" else f"{record.name}: {there.what}"


def _fix(there: Compared) -> str:
    return "add it" if there.status == "missing" else "replace it"


def _line(record: Record) -> str:
    return f"{record.name}. TXT {quoted(record.values[0])}"


def _rsa(record: Record) -> bool:
    return tags(record.values[0])["k"] == "rsa"


def rsa_bits(public: str) -> int:
    """How long the public half of an RSA key is (RFC 5280 §4.1.2.7, RFC 8017 §A.1.1), in base64; 0 where it is none."""
    try:
        whole, _ = _inside(b64decode(public, validate=True), 0x30)
        _, bits = _inside(whole, 0x30)
        key, _ = _inside(_inside(bits, 0x03)[0][1:], 0x30)
        modulus, _ = _inside(key, 0x02)
    except ValueError:
        return 0
    return int.from_bytes(modulus).bit_length()


def _inside(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """What the first value of DER has inside, and what follows it. Raises ValueError where it is another one."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError
    more = data[1] & 0x7F if data[1] & 0x80 else 0
    begin = 2 + more
    end = begin + (int.from_bytes(data[2:begin]) if more else data[1])
    return data[begin:end], data[end:]
