"""Whether mail of the declared hosts is accepted elsewhere: a resolver is asked, and hosts for what they sign with."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mailprov.deliverability import DomainJudged, HostJudged, judge, questions, signers
from mailprov.dns import Answer
from mailprov.dns.judge import Query
from mailprov.dns.records import AskedKind
from mailprov.dns.resolver import SECONDS as PATIENCE
from mailprov.dns.resolver import ask
from mailprov.errors import MailprovError
from mailprov.model import HostSpec, Spec
from mailprov.observer import Unobserved
from mailprov.workflows.public_keys import public_keys

SECONDS = 20.0
"""for what one domain asks beside what is asked beforehand: SPF is given up where receivers do (RFC 7208 §4.6.4)"""
_AT_ONCE = 8
_BATCH = 32
"""questions that are asked together: a resolver that let the time pass with each of them is asked no more"""
_SHOWN = 5


class Dns:
    """A resolver that is asked each question once, and no more of them once it is dead."""

    def __init__(self, resolver: tuple[str, int] | None) -> None:
        self._resolver = resolver
        self._known: dict[Query, Answer] = {}
        self._dead = ""

    def learn(self, wanted: Iterable[Query]) -> None:
        """Ask all of these that are not known yet. Raises MailprovError where this machine has no resolver."""
        new = [query for query in dict.fromkeys(wanted) if query not in self._known]
        for begin in range(0, len(new), _BATCH):
            part = new[begin : begin + _BATCH]
            if self._dead:
                self._known |= dict.fromkeys(part, Answer(why=self._dead))
                continue
            began = time.monotonic()
            answers = ask(part, self._resolver)
            late = time.monotonic() - began >= PATIENCE and len(part) >= _AT_ONCE
            if late and all(answer.why for answer in answers.values()):
                self._dead = answers[part[0]].why
            self._known |= answers

    def __call__(self, name: str, kind: AskedKind) -> Answer:
        """What DNS says of a name."""
        self.learn([(name, kind)])
        return self._known[name, kind]


@dataclass(slots=True)
class _Patient:
    """What a resolver says, for a while."""

    dns: Dns
    until: float

    def __call__(self, name: str, kind: AskedKind) -> Answer:
        if time.monotonic() > self.until:
            return Answer(why=f"all of it takes more than {SECONDS:g} seconds")
        return self.dns(name, kind)


@dataclass(frozen=True, slots=True)
class CanSend:
    """How hosts that send and their domains stand, which hosts do not send, and where DNS gave no answer."""

    hosts: Sequence[HostJudged]
    domains: Sequence[DomainJudged]
    silent: Sequence[str]
    failures: Sequence[MailprovError]

    @property
    def fails(self) -> bool:
        """Whether something is asked of everybody, and not so."""
        hosts = (finding for host in self.hosts for finding in host.findings)
        return any(domain.fails for domain in self.domains) or any(each.standing == "fail" for each in hosts)


def deliverability(spec: Spec, chosen: tuple[HostSpec, ...], resolver: tuple[str, int] | None) -> CanSend:
    """What DNS says of mail from the chosen hosts, and of the keys by which they sign it.

    Where a host cannot be asked for these, that is a finding and no failure: all else is told without it.
    Raises MailprovError where this machine has no resolver.
    """
    keys, _ = public_keys(spec, signers(spec, chosen), Unobserved())
    dns = Dns(resolver)
    for each in questions(spec, chosen, dns, keys):
        dns.learn(each)
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="domain") as pool:
        hosts, domains = judge(
            spec, chosen, dns, each=pool.map, patient=lambda: _Patient(dns, time.monotonic() + SECONDS), keys=keys
        )
    sending = {host.host for host in hosts}
    silent = [host.name for host in chosen if host.name not in sending]
    return CanSend(hosts, domains, silent, _failures(hosts, domains))


def _failures(hosts: Sequence[HostJudged], domains: Sequence[DomainJudged]) -> list[MailprovError]:
    """An error for each host about which DNS gave no answer."""
    found: list[MailprovError] = []
    for host in hosts:
        mine = [*host.findings, *(each for domain in domains if host.host in domain.hosts for each in domain.findings)]
        why = list(dict.fromkeys(each.unanswered for each in mine if each.unanswered))
        if why:
            more = f"; and {len(why) - _SHOWN} more" if len(why) > _SHOWN else ""
            fix = "see whether the resolver can be reached, or ask another one (--resolver)"
            error = MailprovError("DNS gives no answer", why="; ".join(why[:_SHOWN]) + more, fix=fix)
            error.at(host.host)
            found.append(error)
    return found
