"""Which keys sign, and what becomes of them: made, published, in use, kept for mail that is under way, retired (pure).

What a host does now depends on what it has made before, on DNS and on its clock. Each apply does what can be done by
then; nothing stays running in between.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mailprov.model import Facts, HostSpec, KeyPair, Signing, Spec, Wait
from mailprov.model.signing import DAY, UNDER_WAY_DAYS

_LONGEST = 40
"""characters of a host's name in a selector, which has 63 at most (RFC 1035 §2.3.4)"""


def pairs(spec: Spec, host: HostSpec, facts: Facts) -> tuple[KeyPair, ...]:
    """All keys that a host shall have: those that are there, each for what it is for from now on, and new ones."""
    signed = {domain.name: domain.sign for domain in spec.domains_of(host.name)}
    known: dict[str, list[KeyPair]] = {name: [] for name, sign in signed.items() if sign}
    for pair in facts.reported:
        known.setdefault(pair.domain, []).append(pair)
    return tuple(
        pair for name, own in sorted(known.items()) for pair in _stage(name, own, signed.get(name), host, facts)
    )


def _stage(
    domain: str, own: Sequence[KeyPair], signing: Signing | None, host: HostSpec, facts: Facts
) -> Iterator[KeyPair]:
    """The keys of one domain. Of several that sign, or wait, the newest does."""
    keep = (host.outgoing.days + UNDER_WAY_DAYS) * DAY
    current = _newest([pair for pair in own if pair.use == "signs" and pair.intact]) if signing else None
    ahead = _newest(_ahead(own)) if signing else None
    if signing and (coming := _newest([pair for pair in _ahead(own) if facts.published.issuperset(pair.records)])):
        current = ahead = coming
    for pair in own:
        if pair is current:
            yield replace(pair, use="signs")
        elif pair.use == "signs":
            yield replace(pair, use="signed")
        elif pair is ahead:
            yield replace(pair, use="waits")
        elif pair.use == "signed" and facts.clock - pair.since < keep:
            yield pair
        else:
            yield replace(pair, use="retired")
    if signing and ahead is None and (current is None or _due(signing, current, facts.clock)):
        number = max((_number(pair.name) for pair in own), default=0) + 1
        yield KeyPair(domain, f"{_label(host.name)}-{number}", "waits")


def _ahead(own: Sequence[KeyPair]) -> Sequence[KeyPair]:
    """Those that could be the next to sign: where none does, one that has signed before, too."""
    signs = any(pair.use == "signs" and pair.intact for pair in own)
    return [pair for pair in own if pair.intact and (pair.use == "waits" or (pair.use == "signed" and not signs))]


def _due(signing: Signing, current: KeyPair, clock: int) -> bool:
    return signing.rotate is not None and current.use == "signs" and clock - current.since >= signing.rotate * DAY


def _newest(found: Sequence[KeyPair]) -> KeyPair | None:
    return max(found, key=lambda pair: _number(pair.name), default=None)


def _number(name: str) -> int:
    found = re.search("-([0-9]{1,9})$", name)
    return int(found[1]) if found else 0


def _label(host: str) -> str:
    """A host's name in a selector: no two hosts that may share a domain have the same."""
    plain = re.sub("[^a-z0-9-]", "-", host.lower())[:_LONGEST].strip("-")
    return plain if plain == host else f"{plain or 'host'}-{hashlib.sha256(host.encode()).hexdigest()[:6]}"


def memory(facts: Facts) -> str:
    """What rspamd takes on a host, in words: as it was measured, with the whole file of ours."""
    return f"some {245 if int(facts.release) < 12 else 110} MiB of memory, and up to 290 MiB at its first start"


# --- what is waited for


def awaited(spec: Spec, host: HostSpec, facts: Facts) -> Sequence[KeyPair]:
    """The keys that could sign if DNS had their records."""
    signed = {domain.name for domain in spec.domains_of(host.name) if domain.sign}
    known = {name: [pair for pair in facts.reported if pair.domain == name] for name in signed}
    return [pair for _, own in sorted(known.items()) for pair in _ahead(own)]


def waits(spec: Spec, host: HostSpec, facts: Facts, seen: Mapping[str, str]) -> Iterator[Wait]:
    """What is left to a later apply; `seen`: by name, what DNS has instead of a record."""
    known = pairs(spec, host, facts)
    told = {(pair.domain, pair.name): pair for pair in facts.reported}
    for pair in known:
        if pair.use != "waits":
            continue
        before = any(other.use == "signs" and other.domain == pair.domain for other in known)
        what = f"mail from {pair.domain} is signed with {pair.name}{'' if before else '; until then it is not signed'}"
        if (pair.domain, pair.name) not in told:
            until = f"this apply has made its keys, and DNS has their records (`mailprov dns {pair.domain}`)"
            yield Wait(what, until)
            continue
        names = [name for name, _ in pair.records if seen.get(name)]
        found = dict.fromkeys(seen[name] for name in names)
        until = f"DNS has the TXT records {' and '.join(name for name, _ in pair.records)}"
        yield Wait(what, until, "; ".join(found), pair.since)
