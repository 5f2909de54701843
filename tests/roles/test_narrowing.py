"""What a plan takes from people although their port stays open wants a consent; what it gives them does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_host import SimulatedHost, declare

from mailprov.model import Network, Plan
from mailprov.roles.narrowing import _within

NETS = ["10.0.0.0/8", "2001:db8::/32"]
ALICE, BOB = "alice@example.com", "bob@example.com"
HASHED: dict[str, Any] = {"address": ALICE, "password": {"hash": "$HASH"}, "aliases": ["postmaster@example.com"]}
OWN: dict[str, Any] = {"address": BOB, "password": {"initial": {"env": "BOB_INITIAL"}}}
IMAPS = "".join(
    f'LISTEN 0 100 0.0.0.0:{port} 0.0.0.0:* users:(("x",pid={port},fd=1))\n'
    f"process\t{port}\t0\t1\t/system.slice/{unit}.service\t\n"
    for port, unit in ((993, "dovecot"), (25, "postfix@-"))
)
OTHERS = 'LISTEN 0 100 *:443 *:* users:(("nginx",pid=4,fd=1))\nLISTEN 0 9 127.0.0.1:9100 *:* users:(("x",pid=2,fd=1))\n'


def planned(folder: Path, before: dict[str, Any], after: dict[str, Any], listeners: str = IMAPS + OTHERS) -> Plan:
    host = SimulatedHost()
    host.become(declare(folder, before))
    host.said["listeners"] = listeners
    return host.plan(declare(folder, after))


def told(plan: Plan) -> list[str]:
    assert {risk.flag for risk in plan.risks} <= {"closing"}
    return [risk.text for risk in plan.risks]


def allowed(*rules: tuple[int, list[str]]) -> dict[str, Any]:
    allow = [{"port": port, **({"from": nets} if nets else {})} for port, nets in rules]
    return {"firewall": {"manage": True, "allow": allow}}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([], [(993, ["10.0.0.0/8"])], ["narrows port 993 from everywhere to 10.0.0.0/8"]),
        ([(993, NETS)], [(993, NETS[:1])], ["narrows port 993 from 10.0.0.0/8, 2001:db8::/32 to 10.0.0.0/8"]),
        ([(993, NETS)], [(993, ["10.0.0.0/9", *NETS[1:]])], ["narrows port 993 from 10.0.0.0/8, 2001:db8::/32 to "]),
        ([(993, NETS[:1])], [(993, ["192.168.0.0/16"])], ["narrows port 993 from 10.0.0.0/8 to 192.168.0.0/16"]),
        ([(25, [])], [(25, ["10.0.0.0/8"])], ["narrows port 25 from everywhere to 10.0.0.0/8"]),
        ([(993, NETS[:1])], [(993, NETS)], []),
        ([(993, NETS[:1])], [], []),
        ([(993, NETS[:1])], [(993, ["10.0.0.0/9", "10.128.0.0/9"])], []),
        ([(443, [])], [], ["closes port 443 (nginx)"]),
        ([(443, NETS)], [(443, NETS[:1])], ["narrows port 443 from 10.0.0.0/8, 2001:db8::/32 to 10.0.0.0/8"]),
        ([(9100, []), (9101, [])], [], []),  # nobody is reached there
    ],
)
def test_a_port_is_narrowed(tmp_path: Path, before: Any, after: Any, said: list[str]) -> None:
    found = told(planned(tmp_path, allowed(*before), allowed(*after)))
    assert len(found) == len(said) and all(text.startswith(begin) for text, begin in zip(found, said, strict=True))


def test_a_firewall_that_begins_with_a_narrow_port(tmp_path: Path) -> None:
    unmanaged = {"firewall": {"manage": False}}
    narrow = planned(tmp_path, unmanaged, allowed((993, NETS[:1])), listeners=IMAPS)
    assert told(narrow) == ["narrows port 993 from everywhere to 10.0.0.0/8 (x, dovecot.service)"]
    assert told(planned(tmp_path, unmanaged, allowed(), listeners=IMAPS)) == []
    assert told(planned(tmp_path, unmanaged, allowed())) == ["closes port 443 (nginx)"]
    assert told(planned(tmp_path, unmanaged, allowed((993, NETS[:1])), listeners="")) == []
    assert told(planned(tmp_path, allowed((993, NETS[:1])), unmanaged)) == []


def users(alice: dict[str, Any], *more: dict[str, Any], bob: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"users": [{**HASHED, **alice}, {**OWN, **(bob or {})}, *more]}


WHERE, WHAT = "narrows from where 1 account may log in: alice@example.com", "takes protocols from 1 account: "


@pytest.mark.parametrize("release", ["12", "13"])
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (users({}), users({"allow_from": NETS}), [WHERE]),
        (users({"allow_from": NETS}), users({"allow_from": NETS[1:]}), [WHERE]),
        (users({"allow_from": NETS}), users({"allow_from": [*NETS, "192.0.2.1"]}), []),
        (users({"allow_from": NETS}), users({}), []),
        (users({}), users({"protocols": ["pop3", "imap"]}), [f"{WHAT}{ALICE}"]),
        (users({}), users({}, bob={"protocols": ["submission"]}), [f"{WHAT}{BOB}"]),
        (users({"protocols": ["pop3"]}), users({"protocols": ["imap"]}), [f"{WHAT}{ALICE}"]),
        (users({"protocols": ["pop3"]}), users({"protocols": ["pop3", "imap"]}), []),
        (
            users({}),
            users(
                {},
                {
                    "address": "new@example.com",
                    "password": {"hash": "$HASH"},
                    "protocols": ["imap"],
                    "allow_from": NETS,
                },
            ),
            [],
        ),
        (
            users({}),
            users({"protocols": ["imap"], "allow_from": NETS[:1]}, bob={"protocols": ["imap"]}),
            [WHERE, f"takes protocols from 2 accounts: {ALICE}, {BOB}"],
        ),
    ],
)
def test_an_account_is_narrowed(tmp_path: Path, release: str, before: Any, after: Any, said: list[str]) -> None:
    host = SimulatedHost(release=release)
    host.become(declare(tmp_path, before))
    assert told(host.plan(declare(tmp_path, after))) == said


def test_networks_that_nobody_can_read_are_narrowed(tmp_path: Path) -> None:
    """Somebody wrote them by hand: what Dovecot made of them is not known."""
    host = SimulatedHost()
    spec = declare(tmp_path, users({"allow_from": NETS}))
    host.become(spec)
    entry = host.entries["/etc/dovecot/mailprov/accounts"]
    entry.content = entry.content.replace("allow_nets=10.0.0.0/8,2001:db8::/32", "allow_nets=localnet")
    assert told(host.plan(spec)) == [WHERE]


NETWORKS = st.lists(st.ip_addresses(v=4, network="10.0.0.0/28").map(lambda ip: f"{ip}/30"), max_size=4)


@given(NETWORKS, NETWORKS)
def test_within_is_what_every_address_says(was: list[str], will: list[str]) -> None:
    from ipaddress import ip_address, ip_network

    old, new = ([ip_network(text, strict=False) for text in texts] for texts in (was, will))

    def admits(nets: list[Network], number: int) -> bool:
        return not nets or any(ip_address(f"10.0.0.{number}") in net for net in nets)

    lost = any(admits(old, n) and not admits(new, n) for n in range(32))
    assert _within(old, new) is not lost
