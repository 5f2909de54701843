"""The words of expectations: what can be expected, what was found out about it, and how it stands (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, Literal

from mailprov.dns import Kind
from mailprov.errors import Origin
from mailprov.expectations.networks import EVERYWHERE, Sources
from mailprov.model import Protocol_, domain_of

Answer = Literal["closed", "tls", "starttls"]
Section = Literal["logins", "deliveries", "ports", "records", "limits", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What all have: where it stands, the `reason` for people, the hosts that it is about (None: each), as it was said
    (`on`)."""

    origin: Origin
    reason: str = ""
    hosts: frozenset[str] | None = None
    on: str = ""

    def about(self, host: str) -> bool:
        """Whether it is about this host."""
        return self.hosts is None or host in self.hosts

    def _said(self, text: str) -> str:
        return f"{text} on {self.on}" if self.on else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Expectation):
    """Somebody can log in `by` each of these protocols from all of the `sources`; or by none from any part of them.

    `user` is an address, "*@DOMAIN" or "*"; `where` says the sources as the file does.
    """

    section: Section = field(default="logins", init=False)
    user: str
    by: tuple[Protocol_, ...]
    sources: Sources
    where: str
    allowed: bool

    @property
    def what(self) -> str:
        """It in words."""
        if self.allowed:
            who = {"*": "each account", "*@": f"each account of {domain_of(self.user)}"}
            text = f"{_whom(self.user, who)} can log in by {_list(self.by, 'and')} from {self.where}"
        else:
            who = {"*": "nobody can", "*@": f"nobody of {domain_of(self.user)} can", "": f"{self.user} cannot"}
            text = f"{_whom(self.user, who)} log in by {_list(self.by, 'or')} from {self.where}"
        return self._said(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Expectation):
    """Mail for `to` ends in just these mailboxes (or addresses elsewhere); or it is refused, where there are none."""

    section: Section = field(default="deliveries", init=False)
    to: str
    reaches: tuple[str, ...]

    @property
    def what(self) -> str:
        """It in words."""
        ends = f"reaches {_list(self.reaches, 'and')}" if self.reaches else "is refused"
        return self._said(f"mail for {self.to} {ends}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port(Expectation):
    """What a TCP port answers to all of the `sources`, or that it is closed to them; `protocol` "" is any."""

    section: Section = field(default="ports", init=False)
    ports: tuple[int, ...]
    answers: Answer
    protocol: str
    sources: Sources
    where: str

    @property
    def what(self) -> str:
        """It in words."""
        one = len(self.ports) == 1
        ports = f"port{'' if one else 's'} {_list(map(str, self.ports), 'and')}"
        spoken = f" ({self.protocol})" if self.protocol else ""
        where = "" if self.sources == EVERYWHERE else f" to {self.where}"
        if self.answers == "closed":
            return self._said(f"{ports} {'is' if one else 'are'} closed{where}")
        return self._said(f"{ports} answer{'s' if one else ''} {self.answers}{spoken}{where}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Records(Expectation):
    """DNS has all that `domain` needs; or, where that is "", just these `values` of one name and type."""

    section: Section = field(default="records", init=False)
    domain: str = ""
    name: str = ""
    kind: Kind = "MX"
    values: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """It in words."""
        if self.domain:
            return f"DNS has what {self.domain} needs"
        return f"DNS has {self.name} {self.kind} {_list(self.values, 'and')}"


_LIMITS: Final[Mapping[str, tuple[str, str]]] = {
    "accounts": ("account", "accounts"),
    "domains": ("domain", "domains"),
    "catch_alls": ("catch-all", "catch-alls"),
    "addresses_elsewhere": ("address that leads elsewhere", "addresses that lead elsewhere"),
    "listeners_without_tls": ("listener without TLS", "listeners without TLS"),
    "starttls_listeners": ("listener that begins in cleartext", "listeners that begin in cleartext"),
}
"""what is counted, in words: one, several"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(Expectation):
    """At most so many of something that is declared, or so many bytes of quota; `size` is that as it was said."""

    section: Section = field(default="limits", init=False)
    of: str
    at_most: int
    size: str = ""
    user: str = "*"

    @property
    def what(self) -> str:
        """It in words."""
        whose = _whom(self.user, {"*": "", "*@": f" of {domain_of(self.user)}", "": f" {self.user}"})
        if self.of == "quota":
            return self._said(f"no account{whose} has a quota above {self.size}")
        most = counted(self.at_most, *_LIMITS[self.of])
        return self._said(f"{'at most ' if self.at_most else ''}{most}{whose}")


_OF_PLANS: Final[Mapping[str, tuple[str, str, str]]] = {
    "accounts_closed": ("closes", "account", "accounts"),
    "accounts_created": ("creates", "account", "accounts"),
    "accounts_changed": ("changes", "account", "accounts"),
    "accounts_renamed": ("renames", "account", "accounts"),
    "ports_opened": ("opens", "port", "ports"),
    "restarts": ("restarts", "service", "services"),
    "consents": ("needs", "consent", "consents"),
    "changes": ("makes", "change", "changes"),
    "drift": ("takes back", "change of a host's", "changes of a host's"),
    "hosts": ("changes", "host", "hosts"),
}
"""what a plan does with something, and what that is called: one, several"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimit(Expectation):
    """At most so many of something in a plan; of changes only those that fit what else is said, "" is any."""

    section: Section = field(default="plan", init=False)
    of: str
    at_most: int
    kind: str = ""
    name: str = ""
    action: str = ""
    flag: str = ""

    def fits(self, kind: str, name: str, action: str) -> bool:
        """Whether a change of this thing is one of those."""
        wanted = ((self.kind, kind), (self.action, action))
        return all(want in ("", has) for want, has in wanted) and (not self.name or fnmatchcase(name, self.name))

    def does(self, count: int) -> str:
        """That a plan does so many of these, in words."""
        verb, one, several = _OF_PLANS[self.of]
        return f"{verb} {counted(count, one, several)}"

    @property
    def what(self) -> str:
        """It in words."""
        verb, one, several = _OF_PLANS[self.of]
        limit = f"{'at most ' if self.at_most else ''}{counted(self.at_most, one, several)}"
        told = (("kind", self.kind), ("name", self.name), ("action", self.action), ("--allow-", self.flag))
        only = ", ".join(f"{key}{'' if key.startswith('--') else ' '}{value}" for key, value in told if value)
        return self._said(f"the plan {verb} {limit}{f' ({only})' if only else ''}")


AnExpectation = Login | Delivery | Port | Records | Limit | PlanLimit


class Witness(StrEnum):
    """Who says so; the value is for programs."""

    DECLARATION = "declaration"
    KEPT_PLAN = "kept_plan"
    PLAN = "plan"
    HOST = "host"
    DNS = "dns"
    REHEARSAL = "rehearsal"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one witness says of an expectation: that it holds, that it does not, or (None) that this cannot be told.

    `host`: for which host; "" where it is no matter of one. `what` is what there is instead, or how it is.
    """

    by: Witness
    holds: bool | None
    what: str
    host: str = ""


class Outcome(StrEnum):
    """How an expectation stands; the value is for programs."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_TOLD = "not_told"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An expectation and all that was found out about it; `why` it is not told here, where nobody says anything."""

    expectation: AnExpectation
    findings: tuple[Finding, ...]
    why: str = ""

    @property
    def outcome(self) -> Outcome:
        """It fails where anybody says so, and holds only where somebody says so of each host that it is about."""
        if any(finding.holds is False for finding in self.findings):
            return Outcome.FAILS
        hosts = {finding.host for finding in self.findings}
        told = {finding.host for finding in self.findings if finding.holds}
        return Outcome.HOLDS if told and told == hosts else Outcome.NOT_TOLD

    @property
    def untold(self) -> str:
        """Why it is not told here, in words; "" where it is."""
        if self.outcome is not Outcome.NOT_TOLD:
            return ""
        told = dict.fromkeys(f"{it.what} ({it.host})" if it.host else it.what for it in self.findings if not it.holds)
        return "; ".join(told) or self.why


def counted(count: int, one: str, several: str) -> str:
    """ "no port", "1 port", "5 ports"."""
    return f"{count:,} {one if count == 1 else several}" if count else f"no {one}"


def _whom(user: str, words: Mapping[str, str]) -> str:
    """The words for whom `user` means: "*", "*@" for a domain's, "" for one account."""
    kind = "*" if user == "*" else "*@" if user.startswith("*@") else ""
    return words.get(kind, user)


def matches(user: str, address: str) -> bool:
    """Whether an account is one of those whom `user` means."""
    return user in ("*", address) or (user.startswith("*@") and domain_of(address) == user[2:])


def _list(words: Iterable[str], conjunction: str) -> str:
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last
