"""How a host that sends stands in DNS: its name, the names of its addresses, SPF of its bounces (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mailprov.deliverability import ways
from mailprov.deliverability.words import About, Address, Finding, Standing
from mailprov.dns.records import public_address
from mailprov.dns.spf import Lookup, evaluate, with_term
from mailprov.model import Domain, HostSpec, Relay

NAMES: Final = 10
"""PTR records of one address that are looked at"""
_ASK: Final = "see whether the resolver can be reached, or ask another one (--resolver)"


def judge(host: HostSpec, domains: tuple[Domain, ...], lookup: Lookup) -> Iterator[Finding]:
    """How the host stands, as receivers see it; through a relay they see that one instead."""
    through = ways.every_way(host, domains)
    yield from (_relay(each) for each in through if each is not None)
    if None not in through:
        return
    sources = ways.sources(host, lookup)
    yield _name(host, sources, lookup)
    yield from (reverse(address, host.hostname, lookup) for address in sources)
    if all(domain.name != host.hostname for domain in domains):
        yield from (_bounces(address, host.hostname, lookup) for address in sources)


def silent(about: About, what: str, why: str) -> Finding:
    """A thing of which DNS says nothing."""
    shown = why if why.startswith(what) else f"{what}: {why}"
    return Finding(about, "untold", f"{what}: DNS gives no answer ({why})", _ASK, unanswered=shown)


def _relay(relay: Relay) -> Finding:
    what = f"mail leaves through {relay.host}: receivers see that server, so its addresses, their names and whether it"
    fix = "ask its provider which `include:` SPF needs, and whether it signs with DKIM as your domain"
    return Finding("relay", "untold", f"{what} signs cannot be told from here", fix)


def _name(host: HostSpec, sources: tuple[Address, ...], lookup: Lookup) -> Finding:
    """The name that the host says of itself (HELO, RFC 5321 §4.1.1.1) has addresses, its own among them."""
    name, declared = host.hostname, public_address(host)
    found, why = ways.addresses(name, lookup)
    record = address_record(name, declared)
    if not found and why:
        return silent("name", name, why)
    if not found:
        what = f"the host says that it is {name}, and that name has no address"
        return Finding("name", "fail", what, "add its address", record or f"{name}. A or AAAA its public address")
    if not sources:
        what = f"{name} has no address that others can reach: {_list(found)}"
        return Finding(
            "name", "fail", what, "add its public address", record or f"{name}. A or AAAA its public address"
        )
    if declared is not None and declared not in found:
        what = f"{name} leads to {_list(found)}, and the declared address is {declared}"
        return Finding("name", "warning", what, "correct the record, or the declared address", record)
    return Finding("name", "pass", f"{name} has {_list(found)}")


def address_record(name: str, address: Address | None) -> str:
    """The address record of a name, as a zone file has it; "" without an address."""
    return f"{name}. {'A' if address.version == 4 else 'AAAA'} {address}" if address else ""


def reverse(address: Address, hostname: str, lookup: Lookup) -> Finding:
    """The address has a name that leads back to it: forward-confirmed reverse DNS (RFC 8601 §2.7.3, `iprev`)."""
    answer = lookup(address.reverse_pointer, "PTR")
    wanted = f"{address.reverse_pointer}. PTR {hostname}."
    if answer.why:
        return silent("reverse", f"the name of {address}", answer.why)
    names = tuple(text.rstrip(".").lower() for text in answer.values[:NAMES])
    if not names:
        fix = "whoever gave you the address sets its name: ask there (in a cloud's console, often)"
        return Finding("reverse", "fail", f"{address} has no name (PTR record)", fix, wanted)
    good, silence = [], ""
    for name in names:
        back, why = ways.addresses(name, lookup) if askable(name) else ((), "")
        good += [name] if address in back else []
        silence = silence or why
    if good:
        return _confirmed(address, good, wanted)
    if silence:
        return silent("reverse", f"whether {_list(names)} leads back to {address}", silence)
    what = f"{address} is called {_list(names)}, and that name does not lead back to it"
    if hostname in names:
        return Finding("reverse", "fail", what, "add the address", address_record(hostname, address))
    return Finding("reverse", "fail", what, "have whoever gave you the address change its name", wanted)


def _confirmed(address: Address, names: list[str], wanted: str) -> Finding:
    dull = [name for name in names if generic(name, address)]
    if len(dull) < len(names):
        return Finding("reverse", "pass", f"{address} is {_list(names)}, which leads back to it")
    what = f"{address} is called {dull[0]}, which looks like a name that nobody chose"
    return Finding("reverse", "warning", what, "have whoever gave you the address change its name", wanted)


def generic(name: str, address: Address) -> bool:
    """Whether a name is made of the address's own numbers, as those of dialled-in machines are."""
    if address.version == 6:
        digits, plain = address.exploded.replace(":", ""), re.sub("[^0-9a-f]", "", name.lower())
        short = str(address).replace(":", "-")
        return digits in plain or digits[::-1] in plain or short in name.lower()
    octets = str(address).split(".")
    found = [str(int(run)) for run in re.findall("[0-9]{1,3}", name, re.ASCII)]
    runs = (found[at : at + 4] for at in range(len(found) - 3))
    padded = "".join(octet.zfill(3) for octet in octets)
    others = (padded, "".join(f"{int(octet):02x}" for octet in octets))
    return any(run in (octets, octets[::-1]) for run in runs) or any(other in name.lower() for other in others)


def askable(name: str) -> bool:
    """Whether DNS can be asked for a name that somebody else wrote."""
    return 0 < len(name) <= 253 and name.isascii()


def _bounces(address: Address, hostname: str, lookup: Lookup) -> Finding:
    """A bounce has no sender: SPF goes by the name that the host says of itself (RFC 7208 §2.4)."""
    found = evaluate(address, hostname, lookup, helo=hostname)
    record = f'{hostname}. TXT "v=spf1 a -all"'
    if found.result == "temperror":
        return silent("helo-spf", f"SPF of bounces from {address}", found.why)
    if found.result == "pass":
        return Finding("helo-spf", "pass", f"SPF of {hostname} lets {address} send bounces ({found.matched})")
    if found.result == "none":
        what = f"bounces have no sender, so SPF goes by {hostname}, which has no SPF record"
        return Finding("helo-spf", "warning", what, "add one", record)
    what = f"bounces have no sender, so SPF goes by {hostname}: {found.result} for {address}"
    if found.result != "permerror":
        record = f'{hostname}. TXT "{with_term(found.record, f"ip{address.version}:{address}")}"'
    standing: Standing = "fail" if found.result in ("fail", "permerror") else "warning"
    return Finding("helo-spf", standing, f"{what}{f' ({found.why})' if found.why else ''}", "replace it", record)


def _list(names: tuple[object, ...] | list[str]) -> str:
    shown = ", ".join(map(str, names[:4]))
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
