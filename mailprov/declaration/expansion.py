"""How many addresses an alias becomes: what Postfix counts while it follows aliases to aliases (cleanup_map1n.c)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final

from mailprov.declaration import addresses
from mailprov.declaration.diagnostics import Diagnostics
from mailprov.errors import Origin
from mailprov.model import Alias, Domain, domain_of

MAX_EXPANSION: Final = 1000
"""Postfix's virtual_alias_expansion_limit (postconf(5)): further mail for the address waits and is sent back"""
MAX_NESTING: Final = 1000
"""Postfix's virtual_alias_recursion_limit"""
_SHOWN: Final = 20
_MOST: Final = 10**9
"""where counting ends: lists within lists double at every level"""


class Leads:
    """Where addresses lead that are no mailboxes: aliases, and what the catch-all of a domain takes."""

    def __init__(self, aliases: Sequence[Alias], domains: Mapping[str, Domain], claims: Container[str]) -> None:
        self.to = {alias.address: alias.to for alias in aliases}
        self._domains = domains
        self._claims = claims

    def __iter__(self) -> Iterator[str]:
        return iter(self.to)

    def further(self, target: str) -> str:
        """The alias that a target leads on to; "" where it is a mailbox or lies elsewhere."""
        base = addresses.without_extension(target)
        if base in self.to:
            return base
        domain = self._domains.get(domain_of(base))
        if domain is not None and domain.catch_all is not None and base not in self._claims:
            return addresses.without_extension(domain.catch_all)
        return ""

    def following(self, address: str) -> Iterator[str]:
        """The aliases, and targets of catch-alls, that an alias leads on to."""
        return (found for target in self.to.get(address, ()) if (found := self.further(target)))


def check(
    aliases: Sequence[Alias],
    domains: Mapping[str, Domain],
    claims: Container[str],
    diagnostics: Diagnostics,
    *,
    circular: bool,
) -> None:
    """Complain about aliases that become more addresses, or lead on more often, than Postfix follows.

    `circular`: some lead in a circle, of which there is no use in saying that it is long.
    """
    leads = Leads(aliases, domains, claims)
    sizes = _sizes(leads)
    told = 0
    for alias in aliases:
        size, depth = sizes.get(alias.address, (1, 0))
        if size <= MAX_EXPANSION and depth < MAX_NESTING:
            continue
        within = max(alias.to, key=lambda target: sizes.get(leads.further(target), (1, 0)), default="")
        most = sizes.get(leads.further(within), (1, 0))[0]
        further = sizes.get(leads.further(alias.to[0]), (1, 0))[1]
        if most > MAX_EXPANSION or (size <= MAX_EXPANSION and (circular or further >= MAX_NESTING)):
            continue  # told of what it leads to, which is to be mended
        told += 1
        if told > _SHOWN:
            continue
        if size > MAX_EXPANSION:
            lists = f" ({within} alone is {most:,})" if most > 1 else ""
            what = f"{alias.address} becomes {size:,} addresses{lists}; Postfix expands {MAX_EXPANSION:,} at most"
            fix = "use a mailing list, or make the lists within smaller: who is in two of them counts twice"
        else:
            what = f"{alias.address} leads on {depth:,} times; Postfix follows {MAX_NESTING - 1:,} at most"
            fix = "let it lead to its last address"
        diagnostics.complain(alias.origin or Origin("", 1, 1), what, fix)


def _sizes(leads: Leads) -> dict[str, tuple[int, int]]:
    """For each alias: how many addresses it becomes, one counted as often as it comes, and how often its first target
    leads on. A circle, which is told elsewhere, counts as one address."""
    found: dict[str, tuple[int, int]] = {}
    for start in leads:
        pending = [start]
        opened: set[str] = set()
        while pending:
            address = pending[-1]
            if address in found:
                pending.pop()
                continue
            nexts = [leads.further(target) for target in leads.to.get(address, ())]
            waiting = [] if address in opened else [each for each in nexts if each and each not in found]
            opened.add(address)
            waiting = [each for each in waiting if each not in opened]
            if waiting:
                pending += waiting
                continue
            pending.pop()
            parts = [found.get(each, (1, 0)) if each else (1, 0) for each in nexts] or [(1, 0)]
            found[address] = min(_MOST, sum(size for size, _ in parts)), parts[0][1] + 1 if address in leads.to else 0
    return found
