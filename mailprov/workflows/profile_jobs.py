"""For whom profiles are made, in which language, and with which servers: of a host here, or of a provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from mailprov import profiles as made
from mailprov.checks import Endpoint, Trust, check_listener
from mailprov.errors import MailprovError, VerifyError
from mailprov.model import LANGUAGES, Domain, HostSpec, Protocol_, Spec, User, domain_of
from mailprov.observer import Observer, Remark
from mailprov.providers import Provider, serving
from mailprov.workflows import client_view
from mailprov.workflows.selection import meant


@dataclass(frozen=True, slots=True)
class How:
    """For whom, and what the files are like.

    Without `languages` each person gets their own, without `helpdesk` guides name the declared one.
    """

    users: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    prefer: Protocol_ = "pop3"
    verified: bool = False
    roots: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    helpdesk: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """Files that `files` makes, to go below one folder; `host` serves the mailbox, where no provider does."""

    below: PurePosixPath
    files: Callable[[made.Profile, made.RenderContext], made.Files]
    profile: made.Profile
    host: str = ""
    languages: tuple[str, ...] = ()


def users_of(spec: Spec, addresses: Sequence[str]) -> tuple[User, ...]:
    """The users that are asked for. Raises MailprovError for one that is not declared."""
    if not addresses:
        return tuple(spec.users)
    declared = {user.address: user for user in spec.users}
    for address in addresses:
        if address not in declared:
            fix = meant(address, tuple(declared)) if len(declared) <= 1000 else "use a declared mailbox's address"
            raise MailprovError(f"{address} is not declared", where="--user", fix=fix)
    return tuple(declared[address] for address in dict.fromkeys(addresses))


_Served = Mapping[str | Provider, tuple[made.Server, ...]]
"""what each host (by its name) and each provider, as a customer sees it, offers to people"""


def served_by(
    spec: Spec, users: Sequence[User], chosen: Sequence[HostSpec], how: How, observer: Observer, *, hosted: bool
) -> _Served:
    """What is offered, as declared or documented or, on demand, what of that can be seen from here to be so."""
    found: dict[str | Provider, tuple[made.Server, ...]] = {}
    for host in chosen:
        found[host.name] = made.servers(host)
        if how.verified:
            looked_at = [each for each in client_view.reached(host) if each.protocol != "smtp"]
            trusted = client_view.trust(host, "", how.roots)
            found[host.name] = _verified(host.name, looked_at, trusted, found[host.name], observer)
    names = {domain_of(user.address) for user in users} if how.users else spec.domains.keys()
    providers = {_provider_of(spec.domains[each]) for each in names if hosted}
    for provider in sorted(filter(None, providers), key=lambda each: each.id):
        if provider.cluster:
            continue
        servers = made.hosted.servers(provider)
        if how.verified:
            looked_at = [Endpoint(each.protocol, each.mode, each.host, each.port, each.host) for each in servers]
            servers = _verified(provider.name.en, looked_at, Trust(roots=how.roots), servers, observer)
        found[provider] = servers
    return found


def _verified(
    name: str,
    looked_at: Sequence[Endpoint],
    trusted: Trust,
    servers: tuple[made.Server, ...],
    observer: Observer,
) -> tuple[made.Server, ...]:
    now = datetime.now(UTC)

    def fault(endpoint: Endpoint) -> str:
        failed = [check for check in check_listener(endpoint, trusted, now=now, brief=True) if check.failed]
        return f"{failed[0].step} failed: {failed[0].detail}" if failed else ""

    with observer.during(f"looking at {name} as a client"), ThreadPoolExecutor(max_workers=8) as pool:
        faults = dict(zip(looked_at, pool.map(fault, looked_at), strict=True))
    for endpoint, why in faults.items():
        if why:
            observer.tell(Remark(f"! {name}: {endpoint} is left out: {why}"))
    wrong = {(endpoint.protocol, endpoint.port) for endpoint, why in faults.items() if why}
    found = made.without(servers, wrong)
    if not found:
        raise VerifyError("no listener could be verified from here", where=name, fix="run `mailprov doctor`")
    return found


def people(
    spec: Spec, chosen: Sequence[HostSpec], users: Sequence[User], served: _Served, how: How
) -> tuple[list[Job], list[str]]:
    """What to make for whom, and why some get nothing."""
    jobs: list[Job] = []
    left_out: list[str] = []
    for user in users:
        domain = spec.domains[domain_of(user.address)]
        host = host_of(domain, chosen)
        provider = _provider_of(domain)
        profile = None
        if host is not None:
            profile = made.of_user(user, host, served[host.name], how.prefer)
        elif provider is not None and provider in served:
            profile = made.hosted.of_user(user, provider, served[provider], how.prefer)
        elif provider is not None and provider.cluster:
            left_out.append(f"{user.address}: {_unclear(provider)}")
            continue
        else:
            if how.users:
                left_out.append(f"{user.address}: none of the hosts asked for serves its domain")
            continue
        if profile is None:
            why = "no listener that lets it fetch mail" if user.protocols else "nobody may log in to it"
            left_out.append(f"{user.address}: {why}")
            continue
        below = PurePosixPath("people") / made.folder_of(user.address)
        jobs.append(Job(below, made.person, profile, host.name if host else "", _languages(spec, user, how)))
    return jobs, left_out


def _provider_of(domain: Domain) -> Provider | None:
    return serving(domain.hosted_by, domain.servers) if domain.hosted_by else None


def _unclear(provider: Provider) -> str:
    return f"customers of {provider.name.en} have different servers: say in `domains` which, {{servers: […]}}"


def _languages(spec: Spec, user: User, how: How) -> tuple[str, ...]:
    own = user.language or spec.handout.language
    return how.languages or ((own,) if own else LANGUAGES)


def domains_of(spec: Spec, chosen: Sequence[HostSpec], served: _Served, how: How) -> Iterator[Job]:
    """What to publish for each domain whose mail can be fetched."""
    for _, domain in sorted(spec.domains.items()):
        host = host_of(domain, chosen)
        profile = None
        if host is not None:
            profile = made.of_domain(domain, served[host.name], how.prefer)
        elif (provider := _provider_of(domain)) is not None and provider in served:
            profile = made.hosted.of_domain(domain, provider, served[provider], how.prefer)
        if profile is not None:
            yield Job(PurePosixPath("publish"), made.domain, profile)


def host_of(domain: Domain, chosen: Sequence[HostSpec]) -> HostSpec | None:
    """Where a domain's mail is fetched: the first of its hosts, for each of several has mailboxes of its own."""
    return next((host for host in chosen if host.name in domain.hosts), None)
