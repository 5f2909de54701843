"""Whether nftables lets a new TCP connection in (pure): the kernel's own rules, as `nft -j list ruleset` shows them.

The JSON is libnftables-json(5)'s. A rule with a condition that is not understood here decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

_DEEPEST = 16
"""jumps within jumps; the kernel allows as many (nft(8), STATEMENTS)"""


@dataclass(frozen=True, slots=True)
class Barrier:
    """The chain that keeps a connection out: "inet mailprov input"."""

    family: str
    table: str
    chain: str

    @property
    def ours(self) -> bool:
        """Whether it is the table that mailprov manages."""
        return (self.family, self.table) == ("inet", "mailprov")

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.chain}"


def barrier(ruleset: str, port: int, source: str) -> Barrier | None:
    """What keeps a connection from `source` (an IP address) to TCP `port` out; None where nothing is seen to."""
    try:
        listed = json.loads(ruleset)["nftables"]
        chains = [each["chain"] for each in listed if "chain" in each]
        rules = [each["rule"] for each in listed if "rule" in each]
        ip_address(source)
        for chain in chains:
            met = chain.get("hook") in ("input", "prerouting") and chain.get("type") == "filter"
            if met and _concerns(chain["family"], source) and _verdict(chain, rules, port, source) == "drop":
                return Barrier(chain["family"], chain["table"], chain["name"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return None


def _concerns(family: str, source: str) -> bool:
    return family == "inet" or family == ("ip6" if ip_address(source).version == 6 else "ip")


def _verdict(chain: Mapping[str, Any], rules: Sequence[Mapping[str, Any]], port: int, source: str) -> str:
    own = [rule for rule in rules if (rule["family"], rule["table"]) == (chain["family"], chain["table"])]
    return _walk(chain["name"], own, port, source, 0) or str(chain.get("policy", "accept"))


def _walk(chain: str, rules: Sequence[Mapping[str, Any]], port: int, source: str, depth: int) -> str:
    """ "accept" or "drop" where the chain decides, "" where it is left without a decision."""
    for rule in rules:
        if rule["chain"] != chain or not all(_holds(each["match"], port, source) for each in _of(rule, "match")):
            continue
        for statement in rule["expr"]:
            match next(iter(statement), None):
                case "accept":
                    return "accept"
                case "drop" | "reject":
                    return "drop"
                case "return":
                    return ""
                case "jump" | "goto" as kind if depth < _DEEPEST:
                    decided = _walk(statement[kind]["target"], rules, port, source, depth + 1)
                    if decided or kind == "goto":
                        return decided
    return ""


def _of(rule: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [each for each in rule["expr"] if kind in each]


def _holds(condition: Mapping[str, Any], port: int, source: str) -> bool:
    """Whether a condition surely holds for a new connection that comes over the network."""
    found = _compared(condition["left"], condition["right"], port, source)
    if found is None:
        return False
    return not found if condition.get("op") == "!=" else found


def _compared(left: Mapping[str, Any], right: Any, port: int, source: str) -> bool | None:
    match left:
        case {"payload": {"protocol": "tcp" | "th", "field": "dport"}}:
            return _has_port(right, port)
        case {"payload": {"protocol": "ip" | "ip6" as family, "field": "saddr"}}:
            return _concerns(family, source) and _has_address(right, source)
        case {"payload": {"protocol": "udp" | "icmp" | "icmpv6"}}:
            return False
        case {"meta": {"key": "l4proto"}} | {"payload": {"field": "protocol" | "nexthdr"}}:
            return "tcp" in _members(right)
        case {"meta": {"key": "iif" | "iifname"}}:
            return False if _members(right) == ["lo"] else None
        case {"ct": {"key": "state"}}:
            return "new" in _members(right)
    return None


def _members(right: Any) -> list[Any]:
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    return right if isinstance(right, list) else [right]


def _has_port(right: Any, port: int) -> bool | None:
    for each in _members(right):
        match each:
            case int():
                if each == port:
                    return True
            case {"range": [int() as first, int() as last]}:
                if first <= port <= last:
                    return True
            case _:
                return None
    return False


def _has_address(right: Any, source: str) -> bool | None:
    here = ip_address(source)
    for each in _members(right):
        match each:
            case {"prefix": {"addr": addr, "len": length}}:
                if here in ip_network(f"{addr}/{length}", strict=False):
                    return True
            case {"range": [first, last]}:
                if int(ip_address(first)) <= int(here) <= int(ip_address(last)):
                    return True
            case str() if not each.startswith("@"):
                if here == ip_address(each):
                    return True
            case _:
                return None
    return False
