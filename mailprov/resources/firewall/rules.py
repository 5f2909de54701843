"""What our table lets in, read from its text: the template's or nft's own listing; and what is passed on before it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any

from mailprov.model import Network

Port = tuple[str, int]
"""a protocol ("tcp", "udp") and a port"""

EVERYONE: frozenset[Network] = frozenset((IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))

_RULE = re.compile(
    r"\s*(?:ip6? saddr (?P<sources>\{[^}]*\}|\S+) )?(?P<protocol>tcp|udp) dport (?P<ports>\{[^}]*\}|\S+)"
    r"(?: counter\b.*?)? accept(?P<ssh> comment \"ssh\")?\s*"
)
_DHCP: tuple[Port, ...] = (("udp", 68), ("udp", 546))


@dataclass(frozen=True, slots=True)
class Rules:
    """The networks that each port is open to; `ssh` are the ports that are open only because SSH is reached there."""

    open: Mapping[Port, frozenset[Network]] = field(default_factory=dict)
    ssh: frozenset[int] = frozenset()

    def admits(self, port: Port) -> frozenset[Network]:
        """The networks that reach a port."""
        return EVERYONE if port in _DHCP else self.open.get(port, frozenset())


def rules(text: str) -> Rules:
    """The rules in a table's text. One that is not understood opens nothing."""
    found: dict[Port, frozenset[Network]] = {}
    ssh: set[int] = set()
    for line in text.splitlines():
        rule = _RULE.fullmatch(line)
        if rule is None:
            continue
        sources = EVERYONE if rule["sources"] is None else frozenset(_networks(rule["sources"]))
        for number in _ports(rule["ports"]):
            port = rule["protocol"], number
            found[port] = found.get(port, frozenset()) | sources
            ssh |= {number} if rule["ssh"] else set()
    return Rules(found, frozenset(ssh))


def lost(before: frozenset[Network], after: frozenset[Network]) -> bool:
    """Whether some network of `before` is not in any of `after`."""
    wide: tuple[Network, ...] = (
        *collapse_addresses(net for net in after if isinstance(net, IPv4Network)),
        *collapse_addresses(net for net in after if isinstance(net, IPv6Network)),
    )
    return any(not any(_within(net, wider) for wider in wide) for net in before)


def _within(net: Network, wider: Network) -> bool:
    if isinstance(net, IPv4Network) and isinstance(wider, IPv4Network):
        return net.subnet_of(wider)
    return isinstance(net, IPv6Network) and isinstance(wider, IPv6Network) and net.subnet_of(wider)


def _networks(text: str) -> Iterator[Network]:
    for word in text.strip("{} ").split(","):
        try:
            yield ip_network(word.strip(), strict=False)
        except ValueError:
            continue


def _ports(text: str) -> Iterator[int]:
    for word in text.strip("{} ").split(","):
        span = re.fullmatch(r"\s*([0-9]{1,5})(?:-([0-9]{1,5}))?\s*", word)
        if span is not None:
            yield from range(int(span[1]), min(int(span[2] or span[1]), 65535) + 1)


# --- what is passed on to other machines or to containers, and so never comes to our table


def passed_on(text: str) -> Mapping[Port, str]:
    """The ports that DNAT passes on, each with where to, in the answer to `published`."""
    found: dict[Port, str] = {}
    for line in text.splitlines():
        found.update(_of_ruleset(line) if line.startswith("{") else _of_iptables(line))
    return {port: re.sub(r"[^0-9A-Za-z.:/\[\] -]", "?", where) for port, where in found.items()}


def _of_iptables(line: str) -> Iterator[tuple[Port, str]]:
    """One line of iptables-save(8)."""
    words = line.split()
    if words[:1] != ["-A"] or "DNAT" not in words:
        return
    told = {words[at]: words[at + 1] for at in range(len(words) - 1)}
    if told.get("-d", "").startswith("127.") or told.get("-p") not in ("tcp", "udp"):
        return
    ports = told.get("--dport") or told.get("--dports", "")
    for number in _ports(ports.replace(":", "-")):
        yield (told["-p"], number), told.get("--to-destination", "another machine")


def _of_ruleset(line: str) -> Iterator[tuple[Port, str]]:
    """The rules in the output of `nft -j list ruleset` (libnftables-json(5))."""
    try:
        expressions = [each["rule"]["expr"] for each in json.loads(line)["nftables"] if "rule" in each]
        for parts in expressions:
            yield from _of_rule(parts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _of_rule(parts: list[Mapping[str, Any]]) -> Iterator[tuple[Port, str]]:
    target = next((part["dnat"] for part in parts if "dnat" in part), None)
    if target is None and not any(part.get("xt", {}).get("name") == "DNAT" for part in parts if "xt" in part):
        return
    ports: list[Port] = []
    for match in (part["match"] for part in parts if "match" in part):
        of = match["left"].get("payload", {}) if isinstance(match["left"], dict) else {}
        right = match["right"]
        if of.get("field") == "daddr" and isinstance(right, str) and right.startswith("127."):
            return
        if of.get("field") == "dport" and match.get("op") == "==" and of.get("protocol") in ("tcp", "udp"):
            ports = [(of["protocol"], number) for number in _numbers(right)]
    where = target if isinstance(target, dict) else {}
    address, port = where.get("addr", "another machine"), where.get("port", "")
    for each in ports:
        yield each, f"{address}{f':{port}' if port else ''}" if isinstance(address, str) else "another machine"


def _numbers(right: Any) -> Iterator[int]:
    for each in right.get("set", [right]) if isinstance(right, dict) else [right]:
        if isinstance(each, int):
            yield each
        elif isinstance(each, dict) and "range" in each:
            yield from range(each["range"][0], min(each["range"][1], 65535) + 1)
