"""Sets of addresses, held against ipaddress address by address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.expectations.networks import EVERYWHERE, Sources, sources
from mailprov.model import Network

_LAST = 2**32 - 1
NETWORKS = st.lists(
    st.builds(
        lambda bits, length: IPv4Network((bits >> (32 - length) << (32 - length), length)),
        st.one_of(st.integers(0, _LAST), st.sampled_from([0, _LAST, 10 << 24])),
        st.integers(0, 32),
    ),
    max_size=4,
)


def has(found: Sources, number: int) -> bool:
    return any(low <= number <= high for low, high in found.v4)


def edges(networks: list[IPv4Network]) -> set[int]:
    """The addresses at which something may change."""
    ends = {int(end) for net in networks for end in (net.network_address, net.broadcast_address)}
    return {number for end in {0, _LAST, *ends} for number in (end - 1, end, end + 1) if 0 <= number <= _LAST}


@given(one=NETWORKS, other=NETWORKS)
def test_cut_joined_and_turned_inside_out(one: list[IPv4Network], other: list[IPv4Network]) -> None:
    left, right = sources(one), sources(other)
    for number in edges([*one, *other]):
        mine, its = (any(IPv4Address(number) in net for net in side) for side in (one, other))
        assert has(left, number) == mine
        assert has(left & right, number) == (mine and its)
        assert has(left | right, number) == (mine or its)
        assert has(~left, number) != mine
    assert left.within(right) == all(has(right, number) for number in edges([*one, *other]) if has(left, number))
    assert left.within(right) == (not left & ~right) and left.meets(right) == bool(left & right)
    assert ~~left == left and (left & ~left) == Sources() and (left | ~left) == EVERYWHERE
    assert left.v6 == () and not ~EVERYWHERE


@given(networks=NETWORKS)
def test_what_is_said_of_them_is_them(networks: list[IPv4Network]) -> None:
    found = sources(networks)
    told: list[Network] = [ip_network(text) for text in str(found).partition(" and ")[0].split(", ") if "/" in text]
    assert all(sources([net]).within(found) for net in told)
    assert "more" in str(found) or sources(told) == found or not found


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        ([], "nowhere"),
        (["0.0.0.0/0"], "0.0.0.0/0"),
        (["0.0.0.0/0", "::/0"], "anywhere"),
        (["10.0.0.0/9", "10.128.0.0/9", "192.0.2.7/32"], "10.0.0.0/8, 192.0.2.7/32"),
        (["2001:db8::/32", "10.0.0.0/8"], "10.0.0.0/8, 2001:db8::/32"),
    ],
)
def test_in_words(networks: list[str], said: str) -> None:
    assert str(sources(map(ip_network, networks))) == said


def test_of_version_6_too() -> None:
    inside, outside = sources([IPv6Network("2001:db8::/32")]), ~sources([IPv6Network("2001:db8::/32")])
    assert inside.within(EVERYWHERE) and not EVERYWHERE.within(inside) and not inside & outside
    assert str(outside).startswith("0.0.0.0/0, ::/3, ") and str(outside).endswith("more")
