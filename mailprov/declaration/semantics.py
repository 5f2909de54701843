"""What only shows when everything is seen together: names that nobody declared, loops, ports taken twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice
from typing import Final

from mailprov.declaration import addresses, expansion
from mailprov.declaration.accounts import CatchAll, Claim
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, abridged, brief, meant
from mailprov.declaration.hosts import Host
from mailprov.declaration.settings import MAIL_PORTS, NETWORKS, RELAY, STANDARD, SYSTEM_MAIL_TO
from mailprov.errors import Origin
from mailprov.model import Alias, Domain, User, domain_of

MAX_CYCLES: Final = 100
"""circles of aliases that are told"""
MAX_PLACES: Final = 10
"""further places that a complaint names"""
_SSH_PORT: Final = 22


Claims = Mapping[str, User | Claim]
"""Every address that somebody has. A user who has no more to say than that stands for the claim: there are many."""


def claimed(claims: Iterable[User | Claim], diagnostics: Diagnostics) -> dict[str, User | Claim]:
    """Every claimed address with its first claim; complains about any further one."""
    found: dict[str, User | Claim] = {}
    for claim in claims:
        first = found.setdefault(claim.address, claim)
        if first is not claim:
            one, other = _claim(first), _claim(claim)
            same = "" if one.spelled == other.spelled else f" as `{brief(one.spelled)}`"
            what = f"`{brief(other.spelled)}` is declared already{same} ({one.kind}, {one.origin})"
            diagnostics.complain(
                other.origin, what, "keep one of them: an address is either a mailbox or an alias, once"
            )
    return found


def _claim(claim: User | Claim) -> Claim:
    if isinstance(claim, Claim):
        return claim
    return Claim(claim.address, "user", claim.address, claim.origin or Origin("", 1, 1))


def check_domains(claims: Claims, domains: Mapping[str, Domain], diagnostics: Diagnostics) -> None:
    """Complain about addresses in domains that are not declared, once for each domain."""
    strays: dict[str, list[Claim]] = {}
    for address, claim in claims.items():
        name = domain_of(address)
        if name not in domains:
            strays.setdefault(name, []).append(_claim(claim))
    for number, (name, stray) in enumerate(strays.items()):
        fix = meant(name, domains) if number < 100 else ""
        diagnostics.complain(
            stray[0].origin,
            f"the domain {name} is not declared{_further(stray)}",
            fix or f"add it to `domains`: - name: {name}",
        )


def _further(stray: Sequence[Claim]) -> str:
    """ " (and … more addresses in it: …)", with the places of the next few."""
    if len(stray) == 1:
        return ""
    places = ", ".join(str(claim.origin) for claim in stray[1 : MAX_PLACES + 1])
    more = ", …" if len(stray) > MAX_PLACES + 1 else ""
    many = "es" if len(stray) > 2 else ""
    return f" (and {len(stray) - 1:,} more address{many} in it: {places}{more})"


def check_own_names(
    hosts: Iterable[Host],
    strangers: Set[str],
    domains: Mapping[str, Domain],
    claims: Iterable[User | Claim],
    diagnostics: Diagnostics,
) -> None:
    """Complain about domains that are hosts' own names, and about addresses in them, from the files of `strangers`.

    What a machine has to say to its owner goes to root at its own name.
    """
    names = {host.spec.hostname: host.spec.name for host in hosts}
    fix = "declare it in the main file, or include this one as `trusted`"
    taken: dict[str, list[Claim]] = {}
    for claim in claims if strangers else ():
        if claim.origin is not None and claim.origin.file in strangers and domain_of(claim.address) in names:
            taken.setdefault(domain_of(claim.address), []).append(_claim(claim))
    for name, host in names.items():
        whose = f"the hostname of `{brief(host)}`, where the machine's own mail goes"
        domain = domains.get(name)
        if domain is not None and domain.origin is not None and domain.origin.file in strangers:
            diagnostics.complain(domain.origin, f"the domain {name} is {whose}", fix)
        elif name in taken:
            first = taken[name][0]
            what = f"{first.address} is in a domain that is {whose}{_further(taken[name])}"
            diagnostics.complain(first.origin, what, fix)


def check_postmasters(claims: Claims, domains: Mapping[str, Domain], diagnostics: Diagnostics) -> None:
    """Warn of domains where mail for postmaster would be refused (RFC 5321 §4.5.1)."""
    for name, domain in domains.items():
        answered = domain.hosted_by or domain.catch_all is not None or f"postmaster@{name}" in claims
        if not answered and domain.origin is not None:
            fix = f"RFC 5321 wants one: {{address: postmaster@{name}, to: …}}"
            diagnostics.warn(domain.origin, f"{name} has no postmaster address", fix)


def with_catch_alls(
    domains: Mapping[str, Domain], found: Iterable[CatchAll], claims: Claims, diagnostics: Diagnostics
) -> dict[str, Domain]:
    """The domains with their catch-alls, which must be declared here or lie elsewhere."""
    complete = dict(domains)
    for each in found:
        try:
            target = addresses.target(each.text, domains)
        except InvalidValue as wrong:
            diagnostics.refuse(each.origin, wrong)
            continue
        served = domain_of(target) in domains and not domains[domain_of(target)].hosted_by
        if served and addresses.without_extension(target) not in claims:
            diagnostics.complain(each.origin, f"nobody has the address {target}", meant(target, claims) or "declare it")
            continue
        complete[each.domain] = replace(domains[each.domain], catch_all=target)
    return complete


def check_hosted(
    claims: Claims, domains: Mapping[str, Domain], diagnostics: Diagnostics, *, alone: bool = False
) -> None:
    """Complain about aliases in domains that others host; warn of users there, who get no mailbox here.

    `alone`: there is no host here at all, so nobody expects one.
    """
    users = {name: 0 for name, domain in domains.items() if domain.hosted_by}
    if not users:
        return
    for address, claim in claims.items():
        name = domain_of(address)
        if name not in users:
            continue
        if isinstance(claim, User) or claim.kind == "user":
            users[name] += 1
        else:
            what = f"{address} would be an alias in a domain that {domains[name].hosted_by} hosts"
            diagnostics.complain(claim.origin, what, "make it there, and drop it here")
    for name, count in users.items():
        domain = domains[name]
        if count and domain.origin is not None and not alone:
            have = "user of {} has" if count == 1 else "users of {} have"
            what = f"{count:,} {have.format(name)} no mailbox here: the domain is hosted by {domain.hosted_by}"
            diagnostics.warn(domain.origin, what, "they are for profiles and for `mailprov doctor`")


def check_served(domains: Mapping[str, Domain], hosts: Collection[str], diagnostics: Diagnostics) -> set[str]:
    """Complain about domains on undeclared hosts; the hosts that serve a domain."""
    served: set[str] = set()
    known: set[int] = set()
    for domain in domains.values():
        if id(domain.hosts) in known:
            continue  # domains on every host share one tuple
        known.add(id(domain.hosts))
        for host in domain.hosts:
            if host in hosts:
                served.add(host)
            elif domain.origin is not None:
                what = f"{domain.name} is to be served by `{brief(host)}`, which is not declared"
                diagnostics.complain(domain.origin, what, meant(host, hosts) or "add it to `hosts`")
    return served


def check_targets(
    aliases: Sequence[Alias], domains: Mapping[str, Domain], claims: Claims, diagnostics: Diagnostics
) -> None:
    """Complain about aliases to addresses that nobody has, in declared domains; and about loops."""
    unknown = 0
    for alias in aliases:
        origin = alias.origin or Origin("", 1, 1)
        for target in alias.to:
            domain = domains.get(domain_of(target))
            if domain is None or domain.hosted_by or addresses.without_extension(target) in claims:
                continue
            if domain.catch_all is not None:
                diagnostics.warn(
                    origin, f"nobody has the address {target}; the catch-all of {domain.name} gets the mail"
                )
                continue
            unknown += 1
            # Not the alias itself: that would be a circle.
            others = (name for name in claims if name != alias.address)
            fix = meant(target, others) if unknown <= 20 else ""
            diagnostics.complain(
                origin, f"{alias.address} leads to {target}, an address nobody has", fix or "declare it"
            )
    cycles = tuple(islice(_cycles(aliases, domains, claims), MAX_CYCLES))
    expansion.check(aliases, domains, claims, diagnostics, circular=bool(cycles))
    for cycle in cycles:
        _complain_of_circle(cycle, claims, diagnostics)


def check_circles(
    aliases: Sequence[Alias], domains: Mapping[str, Domain], claims: Claims, diagnostics: Diagnostics
) -> None:
    """Complain about loops of aliases alone, which are there whoever else is declared."""
    known = {alias.address for alias in aliases}
    for cycle in islice(_cycles(aliases, domains, claims), MAX_CYCLES):
        if known.issuperset(cycle):
            _complain_of_circle(cycle, claims, diagnostics)


def _complain_of_circle(cycle: Sequence[str], claims: Claims, diagnostics: Diagnostics) -> None:
    what = "these aliases lead in a circle: " + " → ".join(abridged(cycle))
    diagnostics.complain(_claim(claims[cycle[0]]).origin, what, "let one of them lead to a mailbox")


def _cycles(aliases: Sequence[Alias], domains: Mapping[str, Domain], claims: Claims) -> Iterator[tuple[str, ...]]:
    """The circles among aliases (and catch-alls), each once, from its first alias to itself again."""
    leads = expansion.Leads(aliases, domains, claims)
    following = leads.following
    done: set[str] = set()
    for start in leads:
        if start in done:
            continue
        trail: dict[str, None] = {start: None}
        pending = [following(start)]
        while pending:
            step = next(pending[-1], None)
            if step is None:
                pending.pop()
                done.add(trail.popitem()[0])
            elif step in trail:
                names = list(trail)
                yield (*names[names.index(step) :], step)
            elif step not in done:
                trail[step] = None
                pending.append(following(step))


def check_hosts(hosts: Sequence[Host], diagnostics: Diagnostics) -> None:
    """Complain about ports taken twice and rules for listeners that nobody opens; about each declaration once."""
    told: set[tuple[Origin, Origin | None]] = set()
    for host in hosts:
        for origin, other, what, fix in _port_clashes(host):
            if (origin, other) not in told:
                told.add((origin, other))
                diagnostics.complain(origin, what, fix)
        if host.spec.origin is not None and not host.spec.services.ports():
            diagnostics.warn(host.spec.origin, f"the host `{host.spec.name}` has no services", "declare `services`")
    _check_rules(hosts, diagnostics)
    _check_networks(hosts, diagnostics)
    _check_relays(hosts, diagnostics)
    _check_scripts(hosts, diagnostics)


def _check_relays(hosts: Sequence[Host], diagnostics: Diagnostics) -> None:
    """Complain about a relay that is the host itself: its mail would go round in a circle."""
    for host in hosts:
        spec, relay = host.spec, host.spec.outgoing.relay
        origin = host.layer.settings[RELAY][-1].origin
        if relay is None or origin is None:
            continue
        own = relay.port == 25 or relay.port in {port for _, _, port in spec.services.ports()}
        if relay.host in {spec.hostname, spec.address} or (own and relay.host in ("localhost", "127.0.0.1", "::1")):
            fix = f"for this host: hosts: {{{spec.name}: {{outgoing: {{relay: direct}}}}}}"
            diagnostics.complain(origin, f"`{spec.name}` would be its own relay, and mail would go in a circle", fix)


def _check_networks(hosts: Sequence[Host], diagnostics: Diagnostics) -> None:
    """Warn of networks that may send without a login where no host listens for them; of each declaration once."""
    said = [(host.layer.settings[NETWORKS][-1].origin, host) for host in hosts if host.spec.outgoing.networks]
    heard = {origin for origin, host in said if host.spec.services.smtp is not None}
    for origin in dict.fromkeys(origin for origin, _ in said if origin is not None and origin not in heard):
        what = "nobody can send from these networks: no host that this is for has `smtp`"
        diagnostics.warn(origin, what, "declare services: {smtp: true}")


def _check_scripts(hosts: Sequence[Host], diagnostics: Diagnostics) -> None:
    """Complain about a listener for scripts that would never run; about each declaration once."""
    pairs = ((host.layer.ports.get(("sieve", "starttls"), (None, None)), host) for host in hosts)
    told = {origin: host for (port, origin), host in pairs if port and origin and not host.spec.sieve.on}
    for origin, host in told.items():
        what = f"users can put Sieve scripts on `{host.spec.name}`, and none would run"
        diagnostics.complain(origin, what, "declare `sieve: true`, or leave the listener out")


def check_system_mail(
    hosts: Sequence[Host], domains: Mapping[str, Domain], claims: Claims, diagnostics: Diagnostics
) -> None:
    """Complain about system mail that goes where nobody gets it; about each declaration once."""
    names = {host.spec.hostname for host in hosts}
    told: set[Origin] = set()
    for host in hosts:
        said = host.layer.settings[SYSTEM_MAIL_TO][-1]
        if said.origin is None or said.origin in told:
            continue
        told.add(said.origin)
        to, domain = host.spec.system_mail.to, domains.get(domain_of(host.spec.system_mail.to))
        if domain is None and domain_of(to) in names:
            what = f"system mail to {to} would come back to the host, which has no mailboxes of that domain"
            diagnostics.complain(said.origin, what, "name an address of a declared domain, or one elsewhere")
            continue
        if domain is None or domain.hosted_by or domain.catch_all:
            continue
        if addresses.without_extension(addresses.target(to, domains)) not in claims:
            what = f"system mail is to go to {to}, an address nobody has"
            diagnostics.complain(said.origin, what, meant(to, claims) or "declare it")


def _port_clashes(host: Host) -> Iterator[tuple[Origin, Origin | None, str, str]]:
    """Place, the other place, what is wrong and the cure, of each port that cannot be opened."""
    name = host.spec.name
    taken: dict[int, tuple[str, Origin]] = {}
    ssh = host.spec.ssh.port or _SSH_PORT
    for (protocol, kind), (port, origin) in host.layer.ports.items():
        if port is None:
            continue
        label = protocol if protocol == "smtp" else f"{protocol} ({kind})"
        usual = f"{label} usually has port {STANDARD[protocol, kind]}"
        if port == ssh and host.spec.address != "local":
            yield origin, None, f"port {port} on `{name}` is SSH's", usual
        if port in taken:
            other, place = taken[port]
            yield origin, place, f"port {port} on `{name}` is taken by {other} already, at {place}", usual
        taken.setdefault(port, (label, origin))


def _check_rules(hosts: Sequence[Host], diagnostics: Diagnostics) -> None:
    """Complain about rules for mail ports that no host with the rule opens; warn of rules that nobody applies."""
    opened: dict[Origin, tuple[int, bool, bool]] = {}
    for host in hosts:
        ssh = host.spec.ssh.port or _SSH_PORT
        for rule, origin in host.layer.allow:
            if (rule.protocol, rule.port) == ("tcp", ssh) and rule.sources and host.spec.firewall.manage:
                what = f"SSH on {host.spec.name} stays open to everyone: this rule has no effect"
                diagnostics.warn(origin, what, "mailprov never locks you out; narrow SSH in a table of your own")
    for host in hosts:
        ports = {port for _, _, port in host.spec.services.ports()}
        for rule, origin in host.layer.allow:
            _, served, managed = opened.get(origin, (0, rule.protocol == "udp", False))
            opened[origin] = rule.port, served or rule.port in ports, managed or host.spec.firewall.manage
    for origin, (port, served, managed) in opened.items():
        if port in MAIL_PORTS and not served:
            what = f"a rule for port {port}, which no listener opens"
            diagnostics.complain(origin, what, f"add the listener to `services` ({MAIL_PORTS[port]}), or drop the rule")
        elif not managed:
            diagnostics.warn(origin, "this rule has no effect while `manage` is false", "write `manage: true`")


def check_distinct(hosts: Iterable[Host], diagnostics: Diagnostics) -> None:
    """Complain about two hosts that are the same machine."""
    seen: dict[tuple[str, int, str | None], Host] = {}
    for host in hosts:
        spec = host.spec
        first = seen.setdefault((spec.address, spec.ssh.port or _SSH_PORT, spec.ssh.jump), host)
        if first is not host and spec.origin is not None:
            what = f"`{spec.name}` and `{first.spec.name}` ({first.spec.origin}) have the same address {spec.address}"
            diagnostics.complain(spec.origin, what, "declare each machine once")
