"""The words of deliverability: what was looked at, how it stands, what a receiver asks for (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = IPv4Address | IPv6Address
Standing = Literal["fail", "warning", "untold", "pass"]
"""the worst first; "untold" is what cannot be told from here"""
Outcome = Literal["fail", "untold", "pass"]
About = Literal[
    # of hosts
    "name",
    "reverse",
    "helo-spf",
    "relay",
    # of domains
    "spf",
    "dkim",
    "dmarc",
    "alignment",
    "mx",
    "mta-sts",
    "tls-rpt",
    "tlsa",
]
ORDER: Sequence[Standing] = ("fail", "warning", "untold", "pass")


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing stands: `what` is so, what to do about it (`fix`), and the very `record` to add or to write.

    `meets`: how it stands where a receiver asks for it, if that is not what `standing` says. `unanswered` is why DNS
    said nothing; "" where it did.
    """

    about: About
    standing: Standing
    what: str
    fix: str = ""
    record: str = ""
    meets: Outcome | None = None
    unanswered: str = ""

    @property
    def outcome(self) -> Outcome:
        """How it stands where a receiver asks for it."""
        if self.meets is not None:
            return self.meets
        return "pass" if self.standing == "warning" else self.standing


@dataclass(frozen=True, slots=True)
class Rule:
    """What a receiver asks of senders: one `about` of each group must hold; () is nothing that DNS could tell.

    `bulk`: of bulk senders only. `verified`: the receiver's own page says so, as it was on the day `checked_on`; else
    `source` is all that there is.
    """

    name: str
    words: str
    asks: tuple[tuple[About, ...], ...]
    bulk: bool
    source: str
    checked_on: date
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes mail, for which addresses; `bulk` is who counts as a bulk sender there."""

    name: str
    addresses: str
    bulk: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """How a rule stands for a domain, and which of what it asks for fails or cannot be told."""

    receiver: Receiver
    rule: Rule
    outcome: Outcome
    because: tuple[About, ...] = ()


@dataclass(frozen=True, slots=True)
class HostJudged:
    """A host that sends: its domains, the addresses that mail comes from, and how they stand."""

    host: str
    hostname: str
    domains: tuple[str, ...]
    addresses: tuple[str, ...]
    relays: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class DomainJudged:
    """A domain that is sent from, by which hosts, how it stands, and what receivers would say."""

    domain: str
    hosts: tuple[str, ...]
    findings: tuple[Finding, ...]
    rulings: tuple[Ruling, ...]

    @property
    def fails(self) -> bool:
        """Whether something is asked of everybody, and not so."""
        ruled = any(ruling.outcome == "fail" and not ruling.rule.bulk for ruling in self.rulings)
        return ruled or fails(self.findings)


def fails(findings: Iterable[Finding]) -> bool:
    """Whether any of them does."""
    return any(finding.standing == "fail" for finding in findings)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """What all of it comes to: one that fails is enough; nothing at all cannot be told."""
    found = set(outcomes)
    return "fail" if "fail" in found else "untold" if "untold" in found or not found else "pass"


def best(outcomes: Iterable[Outcome]) -> Outcome:
    """What any of it comes to: one that passes is enough."""
    found = set(outcomes)
    return "pass" if "pass" in found else "untold" if "untold" in found else "fail"
