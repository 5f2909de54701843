"""Where somebody comes from: sets of IP addresses, which can be cut, joined and turned inside out (pure)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from itertools import chain, islice
from typing import Final

from mailprov.model import Network, some

Stretch = tuple[int, int]
"""the first and the last of addresses that follow each other, as numbers"""

_LAST: Final = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
_SHOWN: Final = 5
_COUNTED: Final = 300
"""networks that are counted to say how many there are"""


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

    @property
    def size(self) -> int:
        """How many stretches there are."""
        return len(self.v4) + len(self.v6)

    def within(self, other: Sources) -> bool:
        """Whether each of these addresses is one of the others."""
        return _within(self.v4, other.v4) and _within(self.v6, other.v6)

    def meets(self, other: Sources) -> bool:
        """Whether some address is one of both."""
        return _meet(self.v4, other.v4) or _meet(self.v6, other.v6)

    def __str__(self) -> str:
        """As networks, the first few of them; "anywhere" and "nowhere"."""
        if self == EVERYWHERE or not self:
            return "anywhere" if self else "nowhere"
        old = (str(net) for low, high in self.v4 for net in summarize_address_range(*map(IPv4Address, (low, high))))
        new = (str(net) for low, high in self.v6 for net in summarize_address_range(*map(IPv6Address, (low, high))))
        told = [*islice(chain(old, new), _COUNTED + 1)]
        return some(told, _SHOWN) if len(told) <= _COUNTED else f"{', '.join(told[:_SHOWN])} and many more"


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
        now = at
        while now < len(other) and other[now][0] <= high:
            yield max(low, other[now][0]), min(high, other[now][1])
            now += 1


def _within(some: tuple[Stretch, ...], wide: tuple[Stretch, ...]) -> bool:
    return all(at and wide[at - 1][1] >= high for low, high in some for at in (bisect_right(wide, (low, _LAST[6])),))


def _meet(one: tuple[Stretch, ...], other: tuple[Stretch, ...]) -> bool:
    few, many = sorted((one, other), key=len)
    return any(at and many[at - 1][1] >= low for low, high in few for at in (bisect_right(many, (high, _LAST[6])),))


def _gaps(stretches: tuple[Stretch, ...], last: int) -> Iterator[Stretch]:
    begin = 0
    for low, high in stretches:
        if begin < low:
            yield begin, low - 1
        begin = high + 1
    if begin <= last:
        yield begin, last
