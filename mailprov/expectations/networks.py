"""Where somebody comes from: sets of IP addresses, which can be cut, joined and turned inside out (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Final

from mailprov.model import Network, some

Stretch = tuple[int, int]
"""the first and the last of addresses that follow each other, as numbers"""

_LAST: Final = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Sources:
    """Addresses of IPv4 and of IPv6: stretches in order, none of which touches another."""

    v4: tuple[Stretch, ...] = ()
    v6: tuple[Stretch, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)

    def __or__(self, other: Sources) -> Sources:
        return Sources(_joined((*self.v4, *other.v4)), _joined((*self.v6, *other.v6)))

    def __and__(self, other: Sources) -> Sources:
        return Sources(tuple(_common(self.v4, other.v4)), tuple(_common(self.v6, other.v6)))

    def __invert__(self) -> Sources:
        return Sources(tuple(_gaps(self.v4, _LAST[4])), tuple(_gaps(self.v6, _LAST[6])))

    def within(self, other: Sources) -> bool:
        """Whether each of these addresses is one of the others."""
        return not self & ~other

    def __str__(self) -> str:
        """As networks, the first few of them; "anywhere" and "nowhere"."""
        if self == EVERYWHERE or not self:
            return "anywhere" if self else "nowhere"
        old = (str(net) for low, high in self.v4 for net in summarize_address_range(*map(IPv4Address, (low, high))))
        new = (str(net) for low, high in self.v6 for net in summarize_address_range(*map(IPv6Address, (low, high))))
        return some([*old, *new], _SHOWN)


EVERYWHERE: Final = Sources(((0, _LAST[4]),), ((0, _LAST[6]),))


def sources(networks: Iterable[Network]) -> Sources:
    """The addresses in these networks."""
    found: dict[int, list[Stretch]] = {4: [], 6: []}
    for net in networks:
        found[net.version].append((int(net.network_address), int(net.broadcast_address)))
    return Sources(_joined(found[4]), _joined(found[6]))


def _joined(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    made: list[Stretch] = []
    for low, high in sorted(stretches):
        if made and low <= made[-1][1] + 1:
            made[-1] = made[-1][0], max(made[-1][1], high)
        else:
            made.append((low, high))
    return tuple(made)


def _common(one: tuple[Stretch, ...], other: tuple[Stretch, ...]) -> Iterator[Stretch]:
    at = 0
    for low, high in one:
        while at < len(other) and other[at][1] < low:
            at += 1
        for begin, end in other[at:]:
            if begin > high:
                break
            yield max(low, begin), min(high, end)


def _gaps(stretches: tuple[Stretch, ...], last: int) -> Iterator[Stretch]:
    begin = 0
    for low, high in stretches:
        if begin < low:
            yield begin, low - 1
        begin = high + 1
    if begin <= last:
        yield begin, last
