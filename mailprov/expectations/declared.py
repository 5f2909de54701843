"""What a declaration says of expectations, by what it renders to: logins, deliveries, ports, limits (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.declaration.addresses import without_extension
from mailprov.declaration.diagnostics import meant
from mailprov.errors import MailprovError
from mailprov.expectations.model import (
    AnExpectation,
    Delivery,
    Finding,
    Limit,
    Login,
    Port,
    Witness,
    counted,
    matches,
)
from mailprov.expectations.networks import Sources
from mailprov.expectations.rendered import Means, Rendered, allowed
from mailprov.model import Protocol_, Spec, User, domain_of, some
from mailprov.resources.accounts.row import size

MOST_WORK = 500_000
"""times that accounts which are alike are held against an expectation of all accounts"""
_SHOWN = 5


@dataclass(slots=True)
class Declared:
    """The declaration as a witness; `render` gives what a host would have, and `chosen` are the hosts to look at."""

    spec: Spec
    chosen: Sequence[str]
    render: Callable[[str], Rendered]
    _means: dict[str, Mapping[tuple[str, Means], list[str]]] = field(default_factory=dict)
    _reach: dict[tuple[str, str], Sources] = field(default_factory=dict)
    _sources: dict[tuple[str, ...], Sources] = field(default_factory=dict)
    _work: int = 0

    def findings(self, it: AnExpectation) -> list[Finding]:
        """What it says; nothing of what only a plan, a host or DNS can tell. Raises MailprovError where that would
        take too long."""
        match it:
            case Login():
                found = [self._login(it, host) for host in self._hosts(it) if self._serves(host, it.user)]
                return found or self._unserved(it)
            case Delivery():
                return list(self._delivery(it))
            case Port():
                return [self._port(it, port, self.render(host)) for host in self._hosts(it) for port in it.ports]
            case Limit():
                return [self._limit(it)] if self._hosts(it) else []
            case _:
                return []

    def _hosts(self, it: AnExpectation) -> list[str]:
        return [name for name in self.chosen if it.about(name)]

    # --- who can log in

    def _serves(self, host: str, user: str) -> bool:
        """Whether a host has a domain that `user` may be in."""
        domains = [domain.name for domain in self.spec.domains_of(host)]
        return bool(domains) if user == "*" else domain_of(user) in domains

    def _unserved(self, it: Login) -> list[Finding]:
        """Of somebody whose domain no host here serves."""
        domain = self.spec.domains.get(domain_of(it.user))
        if domain is not None and domain.hosted_by:
            return [_says(None, f"{domain.hosted_by} has the accounts of {domain.name}")]
        if domain is not None or it.user == "*":
            return []
        return [_says(not it.allowed, f"the domain {domain_of(it.user)} is not declared")]

    def _login(self, it: Login, host: str) -> Finding:
        here = self.render(host)
        if it.user.startswith("*"):
            every = self._groups(here).items()
            pairs = [(means, names) for (domain, means), names in every if it.user in ("*", f"*@{domain}")]
        else:
            pairs = [(here.means(it.user), [it.user])] if it.user in here.rows else []
        if not pairs:
            return self._nobody(it, here)
        wrong: dict[str, list[str]] = {}
        for (networks, protocols), names in pairs:
            for protocol in it.by:
                able = self._able(here, networks, protocols, protocol)
                if it.sources.within(able) if it.allowed else not it.sources & able:
                    continue
                why = self._why(here, protocol, protocols, able) if it.allowed else f"can by {protocol} from {able}"
                wrong.setdefault(why, []).extend(names)
        told = [f"{some(names, 3)}: {why}" if it.user.startswith("*") else why for why, names in wrong.items()]
        more = f"; and {len(told) - _SHOWN:,} more" if len(told) > _SHOWN else ""
        return _says(not wrong, "; ".join(told[:_SHOWN]) + more, host)

    @staticmethod
    def _nobody(it: Login, here: Rendered) -> Finding:
        """Of an account that is not there: it cannot log in. Of all that there are, nothing is told where none is."""
        what = "there is no such account"
        if it.allowed and it.user.startswith("*"):
            return _says(None, what, here.name)
        fix = meant(it.user, here.rows) if it.allowed else ""
        return _says(not it.allowed, f"{what}: {fix}" if fix else what, here.name)

    def _groups(self, here: Rendered) -> Mapping[tuple[str, Means], list[str]]:
        """The accounts of a host by domain and by what they may log in by: there may be many, and most are alike."""
        if here.name not in self._means:
            made: dict[tuple[str, Means], list[str]] = {}
            for address in here.rows:
                made.setdefault((domain_of(address), here.means(address)), []).append(address)
            self._means[here.name] = made
        found = self._means[here.name]
        self._work += len(found)
        if self._work > MOST_WORK:
            what = "there is too much to judge: too many expectations of all accounts, for accounts that differ so much"
            raise MailprovError(what, fix="write fewer with `*`, or judge fewer hosts: --limit")
        return found

    def _able(
        self, here: Rendered, networks: tuple[str, ...], protocols: frozenset[Protocol_], protocol: Protocol_
    ) -> Sources:
        """Where somebody can log in from by a protocol."""
        if protocol not in protocols:
            return Sources()
        if networks not in self._sources:
            self._sources[networks] = allowed(networks)
        listener = here.name, protocol
        if listener not in self._reach:
            self._reach[listener] = here.reach(protocol)
        return self._reach[listener] & self._sources[networks]

    @staticmethod
    def _why(here: Rendered, protocol: Protocol_, protocols: frozenset[Protocol_], able: Sources) -> str:
        """Where somebody can log in from, in words that say why from nowhere."""
        if able:
            return f"by {protocol} from {able} only"
        if protocol not in protocols:
            return f"not by {protocol}: it is none of the account's protocols"
        if not any(name == protocol for name, _ in here.listeners.values()):
            return f"not by {protocol}: no listener of it is declared"
        return f"not by {protocol}: no network may, and reaches it"

    # --- where mail goes

    def _delivery(self, it: Delivery) -> Iterator[Finding]:
        name = domain_of(it.to)
        domain = self.spec.domains.get(name)
        if domain is None:
            own = [host.name for host in self.spec.hosts.values() if host.hostname == name]
            if own:
                yield _says(None, f"{name} is {own[0]} itself: /etc/aliases there says who gets its mail", own[0])
            else:
                yield _says(not it.reaches, f"the domain {name} is not declared: no host takes mail for it")
            return
        if domain.hosted_by:
            yield _says(None, f"{domain.hosted_by} has the mailboxes of {name}")
            return
        for host in self._hosts(it):
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
        admitted, listener = here.admitted(port) & it.sources, here.listeners.get(port)
        if listener is None:
            return self._other(it, port, here, admitted)
        protocol, mode = listener[0], "tls" if listener[1] == "tls" else "starttls"
        answer = f"port {port} answers {mode} ({protocol})"
        if it.answers == "closed":
            what = f"{answer} to {admitted}" if admitted else f"only {here.admitted(port)} reaches port {port}"
            return _says(not admitted, what, here.name)
        if (it.answers, it.protocol or protocol) != (mode, protocol):
            return _says(False, answer, here.name)
        if not it.sources.within(here.admitted(port)):
            return _says(False, f"only {here.admitted(port)} reaches port {port}", here.name)
        return _says(True, answer, here.name)

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

    # --- policy

    def _limit(self, it: Limit) -> Finding:
        hosts = self._hosts(it)
        if it.of == "quota":
            return self._quota(it)
        found = self._counted(it, hosts)
        many = {
            "accounts": ("account", "accounts"),
            "catch_alls": ("catch-all", "catch-alls"),
            "addresses_elsewhere": ("address", "addresses"),
        }.get(it.of, ("listener", "listeners"))
        names = f": {some(found, _SHOWN)}" if found and it.of != "accounts" else ""
        return _says(len(found) <= it.at_most, f"{counted(len(found), *many)}{names}")

    def _counted(self, it: Limit, hosts: Sequence[str]) -> list[str]:
        """What there is of it, by name."""
        domains = {domain.name: domain for host in hosts for domain in self.spec.domains_of(host)}
        match it.of:
            case "accounts":
                return [user.address for user in self._users(it)]
            case "catch_alls":
                return sorted(name for name, domain in domains.items() if domain.catch_all)
            case "addresses_elsewhere":
                caught = [(f"*@{name}", (it_.catch_all,)) for name, it_ in domains.items() if it_.catch_all]
                leading = [(a.address, a.to) for a in self.spec.aliases if domain_of(a.address) in domains]
                away = ((name, to) for name, to in [*leading, *caught] if any(map(self._leaves, to)))
                return sorted(name for name, _ in away)
            case "starttls_listeners":
                ports = (
                    (host, port, self.render(host).listeners[port]) for host in hosts for port in self._ports(host)
                )
                return [f"{name} {port} on {host}" for host, port, (name, mode) in ports if mode == "starttls"]
            case _:  # whatever a declaration says, no login is taken without TLS
                return []

    def _ports(self, host: str) -> list[int]:
        return sorted(self.render(host).listeners)

    def _leaves(self, target: str) -> bool:
        return domain_of(target) not in self.spec.domains

    def _users(self, it: Limit) -> Iterator[User]:
        """The accounts that a limit is about, each once."""
        served = {domain.name for host in self._hosts(it) for domain in self.spec.domains_of(host)}
        return (u for u in self.spec.users if domain_of(u.address) in served and matches(it.user, u.address))

    def _quota(self, it: Limit) -> Finding:
        over: list[str] = []
        hosts, checked = self._hosts(it), 0
        for user in self._users(it):
            host = next(name for name in hosts if name in self.spec.domains[domain_of(user.address)].hosts)
            quota = self.render(host).quota(user.address)
            checked += 1
            if quota is None or quota > it.at_most:
                over.append(f"{user.address} {size(quota)}" + (f" ({user.origin})" if user.origin else ""))
        if not checked:
            return _says(None, "there is no such account")
        return _says(not over, f"above it: {some(over, _SHOWN)}" if over else counted(checked, "account", "accounts"))


def _says(holds: bool | None, what: str, host: str = "") -> Finding:
    return Finding(Witness.DECLARATION, holds, what, host)
