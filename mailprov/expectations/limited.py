"""What a declaration says of limits: how much of something it asks for (pure)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mailprov.expectations.model import Finding, Limit, Witness, counted
from mailprov.expectations.rendered import Rendered
from mailprov.expectations.work import Work
from mailprov.model import Spec, User, domain_of, some
from mailprov.resources.accounts.row import size

_SHOWN = 5
_UNLIMITED = 1 << 62
_WORDS = {
    "accounts": ("account", "accounts"),
    "domains": ("domain", "domains"),
    "catch_alls": ("catch-all", "catch-alls"),
    "addresses_elsewhere": ("address", "addresses"),
}
Quotas = tuple[Sequence[int], Sequence[User]]
"""accounts, those with the largest quota first, and the negative of each one's quota"""


@dataclass
class Limited:
    """A declaration; `render` gives what a host would have. What was counted once is kept."""

    spec: Spec
    render: Callable[[str], Rendered]
    work: Work
    _names: dict[tuple[str, str, str], Sequence[str]] = field(default_factory=dict)
    _sizes: dict[tuple[str, str], Quotas] = field(default_factory=dict)

    def findings(self, it: Limit, hosts: Sequence[str]) -> list[Finding]:
        """What there is of it on the `hosts` that it is about; nothing where it is about none of them."""
        if not hosts:
            return []
        if it.user != "*":
            known = self._domain_of(it, hosts)
            if known is not None:
                return known
        if it.of == "quota":
            return [self._quota(it, hosts)]
        found = self._counted(it, hosts)
        if not found and it.at_most and it.user != "*" and not it.user.startswith("*"):
            return [_says(None, self._nobody(it.user))]
        names = f": {some(found, _SHOWN)}" if found and it.of != "accounts" else ""
        words = _WORDS.get(it.of, ("listener", "listeners"))
        return [_says(len(found) <= it.at_most, f"{counted(len(found), *words)}{names}")]

    # --- whose

    def _domain_of(self, it: Limit, hosts: Sequence[str]) -> list[Finding] | None:
        """What there is to say of accounts that none of these hosts has; None where one may have them."""
        name = domain_of(it.user)
        domain = self.spec.domains.get(name)
        if domain is None:
            gone = it.of == "accounts" and not it.at_most  # that there is none is just what is expected
            fix = "" if gone else self.work.meant(name, self.spec.domains)
            return [_says(True if gone else None, f"the domain {name} is not declared{fix}")]
        if domain.hosted_by:
            return [_says(None, f"{domain.hosted_by} has the accounts of {name}")]
        self.work.add(1)
        return None if not {*domain.hosts}.isdisjoint(hosts) else []

    def _nobody(self, user: str) -> str:
        fix = "" if user.startswith("*") else self.work.meant(user, self._by_address)
        return f"there is no such account{fix}"

    @cached_property
    def _by_address(self) -> Mapping[str, User]:
        return {user.address: user for user in self.spec.users}

    @cached_property
    def _by_domain(self) -> Mapping[str, Sequence[User]]:
        made: dict[str, list[User]] = {}
        for user in self.spec.users:
            made.setdefault(domain_of(user.address), []).append(user)
        return made

    def _users(self, user: str, hosts: Sequence[str]) -> Iterator[User]:
        """The accounts that a limit is about, each once."""
        if user.startswith("*@"):
            yield from self._by_domain.get(domain_of(user), ())
        elif user != "*":
            yield from (self._by_address[name] for name in (user,) if name in self._by_address)
        else:
            for name in self._served(hosts):
                yield from self._by_domain.get(name, ())

    def _served(self, hosts: Sequence[str]) -> Sequence[str]:
        """The domains that these hosts have, in name order."""
        here = frozenset(hosts)
        self.work.add(len(self.spec.domains) // 10)
        return sorted(name for name, domain in self.spec.domains.items() if not here.isdisjoint(domain.hosts))

    # --- how many

    def _counted(self, it: Limit, hosts: Sequence[str]) -> Sequence[str]:
        """What there is of it, by name."""
        key = it.of, it.on, it.user
        if key not in self._names:
            self._names[key] = self._listed(it, hosts)
            self.work.add(1 + len(self._names[key]) // 10)
        return self._names[key]

    def _listed(self, it: Limit, hosts: Sequence[str]) -> Sequence[str]:
        match it.of:
            case "accounts":
                return [user.address for user in self._users(it.user, hosts)]
            case "domains":
                return self._served(hosts)
            case "catch_alls":
                return [name for name in self._served(hosts) if self.spec.domains[name].catch_all]
            case "addresses_elsewhere":
                domains = {name: self.spec.domains[name] for name in self._served(hosts)}
                caught = [(f"*@{name}", (it_.catch_all,)) for name, it_ in domains.items() if it_.catch_all]
                leading = [(a.address, a.to) for a in self.spec.aliases if domain_of(a.address) in domains]
                self.work.add(len(self.spec.aliases) // 10)
                return sorted(name for name, to in [*leading, *caught] if any(map(self._leaves, to)))
            case "starttls_listeners":
                return [f"{name} {port} on {host}" for host in hosts for port, name in self._starttls(host)]
            case _:  # whatever a declaration says, no login is taken without TLS
                return []

    def _starttls(self, host: str) -> Iterator[tuple[int, str]]:
        self.work.add(1)
        return (
            (port, name) for port, (name, mode) in sorted(self.render(host).listeners.items()) if mode == "starttls"
        )

    def _leaves(self, target: str) -> bool:
        domain = self.spec.domains.get(domain_of(target))
        return domain is None or bool(domain.hosted_by)

    # --- how much

    def _quota(self, it: Limit, hosts: Sequence[str]) -> Finding:
        key = it.on, it.user
        if key not in self._sizes:
            self._sizes[key] = self._largest(it.user, hosts)
        quotas, users = self._sizes[key]
        if not users:
            return _says(None, self._nobody(it.user))
        over = bisect_left(quotas, -it.at_most)
        if not over:
            return _says(True, counted(len(users), "account", "accounts"))
        told = [
            f"{user.address} {size(None if -quota == _UNLIMITED else -quota)}"
            + (f" ({user.origin})" if user.origin else "")
            for quota, user in zip(quotas, users[: min(over, _SHOWN)], strict=False)
        ]
        more = f" and {over - _SHOWN:,} more" if over > _SHOWN else ""
        return _says(False, f"above it: {', '.join(told)}{more}")

    def _largest(self, user: str, hosts: Sequence[str]) -> Quotas:
        """The accounts, those with the largest quota first."""
        here, found = frozenset(hosts), list[tuple[int, User]]()
        first: dict[str, Rendered] = {}
        for each in self._users(user, hosts):
            domain = domain_of(each.address)
            if domain not in first:
                first[domain] = self.render(next(name for name in self.spec.domains[domain].hosts if name in here))
            quota = first[domain].quota(each.address)
            found.append((-_UNLIMITED if quota is None else -quota, each))
        self.work.add(len(found))
        found.sort(key=lambda pair: pair[0])
        return [quota for quota, _ in found], [each for _, each in found]


def _says(holds: bool | None, what: str) -> Finding:
    return Finding(Witness.DECLARATION, holds, what)
