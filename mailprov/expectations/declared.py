"""What a declaration says of expectations, by what it renders to: logins, deliveries, ports, limits (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mailprov.declaration.addresses import without_extension
from mailprov.expectations.limited import Limited
from mailprov.expectations.model import (
    AnExpectation,
    Delivery,
    Finding,
    Limit,
    Login,
    Port,
    Witness,
)
from mailprov.expectations.networks import EVERYWHERE, Sources
from mailprov.expectations.rendered import Means, Rendered, allowed
from mailprov.expectations.work import Work
from mailprov.model import Protocol_, Spec, domain_of, some

_SHOWN = 5
_NOWHERE = Sources()
_FOR_NOBODY = ", so that this holds for nobody"
_STRETCHES = 32
"""of networks, which are as much work as an account"""


@dataclass(frozen=True, slots=True)
class _Group:
    """Accounts that are alike: from where they can log in, by each protocol that they may use."""

    able: Mapping[Protocol_, Sources]
    names: Sequence[str]

    @property
    def weight(self) -> int:
        """How much work it is to look at it."""
        return 1 + sum(found.size for found in self.able.values()) // _STRETCHES


@dataclass(slots=True)
class _Few:
    """Some names of many."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, names: Sequence[str]) -> None:
        self.first += names[: 3 - len(self.first)]
        self.count += len(names)

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join(self.first) + (f" and {more:,} more" if more else "")


@dataclass
class Declared:
    """The declaration as a witness; `render` gives what a host would have, and `chosen` are the hosts to look at."""

    spec: Spec
    chosen: Sequence[str]
    render: Callable[[str], Rendered]
    _every: dict[str, Sequence[_Group]] = field(default_factory=dict)
    _by_domain: dict[str, Mapping[str, Sequence[_Group]]] = field(default_factory=dict)
    _reach: dict[tuple[str, str], Sources] = field(default_factory=dict)
    _admitted: dict[tuple[str, int], Sources] = field(default_factory=dict)
    _sources: dict[tuple[str, ...], Sources] = field(default_factory=dict)
    _about: dict[str, list[str]] = field(default_factory=dict)
    _work: Work = field(default_factory=Work)
    _limited: Limited = field(init=False)

    def __post_init__(self) -> None:
        self._limited = Limited(self.spec, self.render, self._work)

    def findings(self, it: AnExpectation) -> list[Finding]:
        """What it says; nothing of what only a plan, a host or DNS can tell. Raises MailprovError where that would
        take too long."""
        hosts = self._hosts(it)
        self._work.add(1 + len(hosts) // 10)
        match it:
            case Login():
                found = [self._login(it, host) for host in hosts if self._serves(host, it.user)]
                told = [each for each in found if each.holds is not None]
                # Of all accounts, a host without any has nothing to say where another one has some.
                return (told if it.user.startswith("*") and told else found) or self._unserved(it)
            case Delivery():
                return list(self._delivery(it, hosts))
            case Port():
                self._work.add(len(hosts) * len(it.ports) * (1 + it.sources.size // _STRETCHES))
                return [self._port(it, port, self.render(host)) for host in hosts for port in it.ports]
            case Limit():
                return self._limited.findings(it, hosts)
            case _:
                return []

    def _hosts(self, it: AnExpectation) -> list[str]:
        if it.on not in self._about:
            self._work.add(len(self.chosen) // 10)
            self._about[it.on] = [name for name in self.chosen if it.about(name)]
        return self._about[it.on]

    # --- who can log in

    def _serves(self, host: str, user: str) -> bool:
        """Whether a host has a domain that `user` may be in."""
        if user == "*":
            return host in self._serving
        domain = self.spec.domains.get(domain_of(user))
        return domain is not None and host in domain.hosts

    @cached_property
    def _serving(self) -> frozenset[str]:
        return frozenset(host for domain in self.spec.domains.values() for host in domain.hosts)

    def _unserved(self, it: Login) -> list[Finding]:
        """Of somebody whose domain no host here serves."""
        name = domain_of(it.user)
        domain = self.spec.domains.get(name)
        if domain is not None and domain.hosted_by:
            return [_says(None, f"{domain.hosted_by} has the accounts of {name}")]
        if domain is not None or it.user == "*":
            return []
        return [self._absent(it, f"the domain {name} is not declared", name, self.spec.domains)]

    def _login(self, it: Login, host: str) -> Finding:
        here, wrong = self.render(host), dict[tuple[Protocol_, bool, Sources], _Few]()
        groups = self._groups_of(it, here)
        if not groups:
            return self._nobody(it, here)
        self._work.add(sum(group.weight for group in groups) + len(groups) * it.sources.size // _STRETCHES)
        for group in groups:
            for protocol in it.by:
                able = group.able.get(protocol, _NOWHERE)
                if not it.sources.within(able) if it.allowed else it.sources.meets(able):
                    wrong.setdefault((protocol, protocol in group.able, able), _Few()).add(group.names)
        told = [
            (f"{few}: " if it.user.startswith("*") else "") + self._why(it, here, *which)
            for which, few in list(wrong.items())[:_SHOWN]
        ]
        more = f"; and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
        return _says(not wrong, "; ".join(told) + more, host)

    def _groups_of(self, it: Login, here: Rendered) -> Sequence[_Group]:
        """Those whom an expectation is about, on one host."""
        if it.user == "*":
            return self._groups(here)
        if it.user.startswith("*"):
            return self._by_domain[here.name].get(domain_of(it.user), ()) if self._groups(here) else ()
        return [self._group(here, here.means(it.user), [it.user])] if it.user in here.rows else []

    def _groups(self, here: Rendered) -> Sequence[_Group]:
        """The accounts of a host by domain and by what they may log in by: there may be many, and most are alike."""
        if here.name not in self._every:
            made: dict[tuple[str, Means], list[str]] = {}
            for address in here.rows:
                made.setdefault((domain_of(address), here.means(address)), []).append(address)
            by_domain: dict[str, list[_Group]] = {}
            for (domain, means), names in made.items():
                by_domain.setdefault(domain, []).append(self._group(here, means, names))
            self._by_domain[here.name] = by_domain
            self._every[here.name] = [group for groups in by_domain.values() for group in groups]
        return self._every[here.name]

    def _group(self, here: Rendered, means: Means, names: Sequence[str]) -> _Group:
        networks, protocols = means
        if networks not in self._sources:
            self._sources[networks] = allowed(networks)
        return _Group({name: self._reach_of(here, name) & self._sources[networks] for name in protocols}, names)

    def _reach_of(self, here: Rendered, protocol: Protocol_) -> Sources:
        listener = here.name, protocol
        if listener not in self._reach:
            self._reach[listener] = here.reach(protocol)
        return self._reach[listener]

    def _nobody(self, it: Login, here: Rendered) -> Finding:
        """Of accounts that are not there."""
        what = "there is no such account"
        if it.allowed and it.user.startswith("*"):
            return _says(None, what, here.name)
        return self._absent(it, what, it.user, here.rows, here.name)

    def _absent(self, it: Login, what: str, name: str, known: Iterable[str], host: str = "") -> Finding:
        """Of somebody who is not there. That such a one cannot log in holds for any slip of the pen, and protects
        nobody any more: whoever closes an account takes what was expected of it out in the same change."""
        if it.user.startswith("*"):
            return _says(False if it.allowed else None, what if it.allowed else f"{what}{_FOR_NOBODY}", host)
        what = what if it.allowed else f"{what}{_FOR_NOBODY}"
        gone = f"; that there is none is said in limits: {{of: accounts, user: {it.user}, at_most: 0}}"
        return _says(False, f"{what}{self._work.meant(name, known)}{'' if it.allowed else gone}", host)

    @staticmethod
    def _why(it: Login, here: Rendered, protocol: Protocol_, may: bool, able: Sources) -> str:
        """Where somebody can log in from, in words that say why from nowhere."""
        if not it.allowed:
            return f"can by {protocol} from {able}"
        if able:
            return f"by {protocol} from {able} only"
        if not may:
            return f"not by {protocol}: it is none of the account's protocols"
        if not any(name == protocol for name, _ in here.listeners.values()):
            return f"not by {protocol}: no listener of it is declared"
        return f"not by {protocol}: no network may, and reaches it"

    # --- where mail goes

    @cached_property
    def _hostnames(self) -> Mapping[str, str]:
        return {host.hostname: host.name for host in self.spec.hosts.values()}

    def _delivery(self, it: Delivery, hosts: Sequence[str]) -> Iterator[Finding]:
        name = domain_of(it.to)
        domain = self.spec.domains.get(name)
        if domain is None:
            if own := self._hostnames.get(name):
                yield _says(None, f"{name} is {own} itself: /etc/aliases there says who gets its mail", own)
            else:
                yield _says(not it.reaches, f"the domain {name} is not declared: no host takes mail for it")
            return
        if domain.hosted_by:
            yield _says(None, f"{domain.hosted_by} has the mailboxes of {name}")
            return
        for host in hosts:
            if host in domain.hosts:
                reached, nobody = self._ends(it.to, host)
                wrong = self._unlike(it, reached, nobody)
                yield _says(not wrong, "; ".join(wrong), host)

    def _ends(self, to: str, host: str) -> tuple[set[str], set[str]]:
        """Where mail ends that comes to a host for an address, and what addresses on the way nobody has.

        As Postfix looks up virtual_alias_maps (virtual(5)): the whole address, without its extension, the domain's
        catch-all; until an address leads to itself, or to nothing.
        """
        reached, nobody = set[str](), set[str]()
        todo, seen = [(host, to)], set[tuple[str, str]]()
        while todo:
            at, address = todo.pop()
            if (at, address) in seen:
                continue
            seen.add((at, address))
            self._work.add(1)
            here, base = self.render(at), without_extension(address)
            keys = (address, base, f"@{domain_of(address)}")
            targets = next((here.aliases[key] for key in keys if key in here.aliases), None)
            if targets is not None and any(without_extension(target) != base for target in targets):
                todo += [(at, target) for target in targets if without_extension(target) != base]
                targets = tuple(target for target in targets if without_extension(target) == base)
                if not targets:
                    continue
            if domain_of(base) in here.domains:
                (reached if base in here.mailboxes else nobody).add(base)
            elif other := self._server(domain_of(base)):
                todo.append((other, address))
            else:
                reached.add(address)
        return reached, nobody

    def _server(self, domain: str) -> str:
        """A host that serves a domain; "" where none that is declared does."""
        found = self.spec.domains.get(domain)
        return found.hosts[0] if found is not None and not found.hosted_by and found.hosts else ""

    @staticmethod
    def _unlike(it: Delivery, reached: set[str], nobody: set[str]) -> list[str]:
        """What there is instead of what is expected."""
        if not it.reaches:
            return [f"it reaches {some(sorted(reached), _SHOWN)}"] if reached else []
        if not reached:
            return [f"nobody has the address {some(sorted(nobody), _SHOWN)}"]
        missing, more = sorted({*it.reaches} - reached), sorted(reached - {*it.reaches})
        told = (("it does not reach", missing), ("it reaches", more))
        return [f"{words} {some(names, _SHOWN)}" for words, names in told if names]

    # --- what a port answers

    def _port(self, it: Port, port: int, here: Rendered) -> Finding:
        reached, listener = self._admitted_to(here, port), here.listeners.get(port)
        admitted = reached & it.sources
        if listener is None:
            return self._other(it, port, here, admitted)
        protocol, mode = listener[0], "tls" if listener[1] == "tls" else "starttls"
        answer = f"port {port} answers {mode} ({protocol})"
        if it.answers == "closed":
            what = f"{answer} to {admitted}" if admitted else f"only {reached} reaches port {port}"
            return _says(not admitted, what, here.name)
        if (it.answers, it.protocol or protocol) != (mode, protocol):
            return _says(False, answer, here.name)
        if not it.sources.within(reached):
            return _says(False, f"only {reached} reaches port {port}", here.name)
        return _says(True, answer, here.name)

    def _admitted_to(self, here: Rendered, port: int) -> Sources:
        """Who reaches a port; kept for those that somebody may reach, which are declared one by one."""
        if here.rules is None or (here.name, port) in self._admitted:
            return self._admitted.get((here.name, port), EVERYWHERE)
        found = here.admitted(port)
        if found:
            self._admitted[here.name, port] = found
        return found

    @staticmethod
    def _other(it: Port, port: int, here: Rendered, admitted: Sources) -> Finding:
        """Of a port at which mailprov opens no listener."""
        no_mail = f"no listener is declared at port {port}"
        if it.answers != "closed":
            if it.protocol or not admitted:
                return _says(False, no_mail if admitted else f"port {port} is closed", here.name)
            return _says(None, f"{no_mail}, and what else may be there is not declared", here.name)
        if port in here.ssh:
            return _says(False, f"SSH is reached at port {port}, and stays so", here.name)
        if here.rules is None:
            why = "and a firewall that mailprov does not manage decides what else is reached"
            return _says(None, f"{no_mail}, {why}", here.name)
        what = f"the firewall lets {admitted} in at port {port}" if admitted else f"port {port} is closed"
        return _says(not admitted, what, here.name)


def _says(holds: bool | None, what: str, host: str = "") -> Finding:
    return Finding(Witness.DECLARATION, holds, what, host)
