"""What the firewall would close or open is named, with the program that serves it; and what never comes to it."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_host import SimulatedHost, declare

from mailprov.resources.firewall.rules import EVERYONE, lost, passed_on, rules

SSHD = "process\t9\t0\t1\t/system.slice/ssh.service\t/usr/sbin/sshd\n"
NGINX = "process\t8\t0\t1\t/system.slice/nginx.service\t/usr/sbin/nginx\n"
LOADED = "loaded table inet mailprov {\nloaded \tchain input {\n"


def listens(port: int, name: str, pid: int, address: str = "192.0.2.1", state: str = "LISTEN") -> str:
    return f'{state} 0 128 {address}:{port} 0.0.0.0:* users:(("{name}",pid={pid},fd=3))\n'


WEB = listens(80, "nginx", 8) + listens(443, "nginx", 8, "[::]") + NGINX


def risks(tmp_path: Path, said: dict[str, str], **firewall: object) -> list[str]:
    """On a host that has all but the firewall, or an older one where `said` tells what is loaded."""
    host = SimulatedHost()
    host.become(declare(tmp_path, {"firewall": {"manage": "loaded" in said.get("loading", "")}}))
    host.said = said
    made = host.plan(declare(tmp_path, {"firewall": {"manage": True, **firewall}}))
    return [f"{risk.flag}: {risk.text}" for risk in made.risks]


def test_a_web_server_is_named(tmp_path: Path) -> None:
    said = {"listeners": WEB + listens(8080, "java", 5, "127.0.0.1") + listens(22, "sshd", 9) + SSHD}
    found = ["closing: closes port 80 (nginx)", "closing: closes port 443 (nginx)"]
    assert risks(tmp_path, said) == found
    assert risks(tmp_path, said, allow=[{"port": 80}]) == found[1:]
    narrow = risks(tmp_path, said, allow=[{"port": 80}, {"port": 443, "from": ["10.0.0.0/8"]}])
    assert narrow == ["closing: narrows port 443 from everywhere to 10.0.0.0/8 (nginx)"]


def test_udp_is_named(tmp_path: Path) -> None:
    udp = "UNCONN 0 0 0.0.0.0:51820 0.0.0.0:*\n" + listens(123, "ntpd", 5, state="UNCONN")
    said = {"loading": udp + listens(68, "dhclient", 4, state="UNCONN") + "tunnel WireGuard\n"}
    ntp, guard = "closing: closes UDP port 123 (ntpd)", "closing: closes UDP port 51820 (WireGuard)"
    assert risks(tmp_path, said) == [ntp, guard]
    assert risks(tmp_path, said, allow=[{"port": 51820}]) == [ntp, guard]
    assert risks(tmp_path, said, allow=[{"port": 51820, "protocol": "udp"}]) == [ntp]


def test_what_has_no_ports_is_named(tmp_path: Path) -> None:
    """VRRP, OSPF and the like: no rule of ours lets them in. ICMP is let in, and raw UDP is what DHCP clients read."""
    numbers = {112: "keepalived", 89: "ospfd", 1: "ping", 58: "ping", 17: "dhclient", 255: "x"}
    raw = "".join(listens(number, name, 5, "0.0.0.0%eth0", "RAW") for number, name in numbers.items())
    what = "which `firewall.allow` cannot open"
    found = [
        f"closing: closes IP protocol {number} ({name}), {what}"
        for number, name in ((89, "ospfd"), (112, "keepalived"))
    ]
    assert risks(tmp_path, {"loading": raw}, allow=[{"port": 112}, {"port": 89, "protocol": "udp"}]) == found
    assert risks(tmp_path, {"loading": LOADED + "loaded \t\ttcp dport 443 accept\n" + raw}, allow=[{"port": 9}]) == []


def test_what_was_closed_before_is_not_closed_now(tmp_path: Path) -> None:
    web = {"listeners": WEB, "loading": LOADED + "loaded \t\ttcp dport 443 accept\n"}
    assert risks(tmp_path, web, allow=[{"port": 9}]) == ["closing: closes port 443 (nginx)"]


def test_a_new_port_of_ssh_wants_a_consent(tmp_path: Path) -> None:
    said = {"listeners": listens(22, "sshd", 9) + listens(2222, "sshd", 9) + SSHD}
    said["loading"] = LOADED + 'loaded \t\ttcp dport 22 accept comment "ssh"\n'
    found = ["opening: opens port 2222 to everyone, for SSH (sshd, ssh.service)"]
    assert risks(tmp_path, said) == found
    assert risks(tmp_path, said, allow=[{"port": 2222}]) == []
    named_so = said["listeners"] + listens(31337, "sshd", 7) + "process\t7\t1000\t1\t/x.scope\t\n"
    assert risks(tmp_path, said | {"listeners": named_so}) == found


def test_a_published_port_is_not_closed_and_told(tmp_path: Path) -> None:
    rule = "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 172.17.0.2:80\n"
    host = SimulatedHost(said={"listeners": WEB, "published": rule})
    made = host.plan(declare(tmp_path))
    assert [risk.text for risk in made.risks] == ["closes port 80 (nginx)"]
    assert any(text.startswith("port 443 is passed on to 172.17.0.2:80 (DNAT)") for text in made.warnings)
    host.become(declare(tmp_path))
    assert any("port 443 is passed on" in text for text in host.plan(declare(tmp_path)).warnings)


def test_rules_are_read_as_nft_lists_them() -> None:
    text = """table inet mailprov {
\tchain input {
\t\tudp sport { 67, 547 } udp dport { 68, 546 } accept comment "DHCP"
\t\ttcp dport 22 accept comment "ssh"
\t\ttcp dport { 80, 8000-8001 } counter packets 0 bytes 0 accept
\t\tip saddr 10.0.0.0/8 tcp dport 110 accept
\t\tip6 saddr { 2001:db8::/32, fd00::/8 } tcp dport 110 accept
\t\tiifname "eth1" tcp dport 3306 accept
\t\ttcp dport 25 drop
"""
    found = rules(text)
    assert set(found.open) == {("tcp", port) for port in (22, 80, 8000, 8001, 110)}
    assert set(map(str, found.admits(("tcp", 110)))) == {"10.0.0.0/8", "2001:db8::/32", "fd00::/8"}
    assert (found.ssh, found.admits(("udp", 68)), found.admits(("tcp", 25))) == ({22}, EVERYONE, frozenset())


def test_what_networks_lose() -> None:
    ten, some = frozenset([ip_network("10.0.0.0/8")]), frozenset([ip_network("10.1.0.0/16")])
    assert lost(EVERYONE, ten) and lost(ten, some) and not lost(some, ten) and not lost(some, EVERYONE)


def nft(*expr: object) -> str:
    return json.dumps({"nftables": [{"metainfo": {}}, {"rule": {"family": "ip", "expr": list(expr)}}]}) + "\n"


def dport(port: object, protocol: str = "tcp") -> dict[str, object]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": "dport"}}, "right": port}}


INSIDE = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "127.0.0.1"}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (nft(dport(8080), {"dnat": {"addr": "10.88.0.2", "port": 80}}), {("tcp", 8080): "10.88.0.2:80"}),
        (nft(dport(53, "udp"), {"dnat": {"addr": "10.88.0.2"}}), {("udp", 53): "10.88.0.2"}),
        (nft(dport(8080), {"xt": {"type": "target", "name": "DNAT"}}), {("tcp", 8080): "another machine"}),
        (
            nft(dport({"set": [80, {"range": [90, 91]}]}), {"dnat": {"addr": "x\n\x1b"}}),
            dict.fromkeys([("tcp", 80), ("tcp", 90), ("tcp", 91)], "x??"),
        ),
        (nft(INSIDE, dport(8080), {"dnat": {"addr": "10.88.0.2"}}), {}),
        (nft(dport(8080), {"redirect": {"port": 80}}), {}),
        (nft(dport(8080), {"accept": None}), {}),
        ("-A X -d 127.0.0.1/32 -p tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80\n", {}),
        (
            "-A X -p udp -m udp --dport 500:501 -j DNAT --to-destination 172.17.0.2\n",
            {("udp", 500): "172.17.0.2", ("udp", 501): "172.17.0.2"},
        ),
        ("-A X -p tcp -j ACCEPT\n-A X -j DNAT\n{\n{}\n", {}),
    ],
)
def test_what_dnat_passes_on(text: str, found: dict[tuple[str, int], str]) -> None:
    assert passed_on(text) == found


@given(st.text(max_size=60), st.sampled_from(["", "{", "-A x DNAT -p tcp --dport ", "tcp dport "]))
def test_any_text_is_read(text: str, head: str) -> None:
    assert isinstance(passed_on(head + text), dict)
    assert isinstance(rules(head + text).open, dict)
