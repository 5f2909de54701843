"""Secrets of a declaration that are not here: who needs them is told so before anything is done, others go on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from mailprov.errors import Diagnostic, Origin, SpecError
from mailprov.model import HostSpec, Purpose, Secret, Spec, User, domain_of

NOTHING: frozenset[Purpose] = frozenset()
SESSION = frozenset({Purpose.SUDO})
PLAN = frozenset({Purpose.SUDO, Purpose.KEY, Purpose.HASH, Purpose.OUTGOING})
APPLY = PLAN | {Purpose.INITIAL}
EVERY = frozenset(Purpose)
_PLACES = 5
"""places that a message names beside the first"""


def lacking(spec: Spec, purposes: Collection[Purpose]) -> tuple[Diagnostic, ...]:
    """What could not be had of the secrets for these purposes, each once, in file order.

    An initial password is left out: it may be gone once its account exists, and a plan tells where it would be needed.
    """
    return _sorted(_lacking(spec.hosts.values(), spec.users, purposes))


def require(spec: Spec, chosen: Sequence[HostSpec], purposes: Collection[Purpose]) -> None:
    """Raises SpecError with every secret that could not be had and that these hosts need for these purposes."""
    domains = {domain.name for host in chosen for domain in spec.domains_of(host.name)}
    without = [user for user in spec.users if user.password.lacking is not None]
    users = [user for user in without if domain_of(user.address) in domains]
    found = _sorted(_lacking(chosen, users, purposes))
    if found:
        raise SpecError(found)


def _lacking(hosts: Collection[HostSpec], users: Sequence[User], purposes: Collection[Purpose]) -> Iterator[Diagnostic]:
    for host in hosts:
        if Purpose.SUDO in purposes and host.lacking is not None:
            yield host.lacking
        if Purpose.KEY in purposes:
            yield from host.tls.lacking
        if Purpose.OUTGOING in purposes:
            yield from (relay.lacking for relay in host.outgoing.relays if relay.lacking is not None)
    if Purpose.HASH in purposes:
        for user in users:
            if user.password.lacking is not None and user.password.ownership == "managed":
                yield user.password.lacking


def _sorted(found: Iterator[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each fault once, in file order; what is wrong in several places is told at the first, with the others."""
    places: dict[tuple[str, str], set[Origin]] = {}
    for each in found:
        places.setdefault((each.what, each.fix), set()).add(each.origin)
    told = [_told(what, fix, sorted(origins)) for (what, fix), origins in places.items()]
    return tuple(sorted(told, key=lambda each: each.origin))


def _told(what: str, fix: str, origins: Sequence[Origin]) -> Diagnostic:
    first, others = origins[0], origins[1:]
    if others:
        more = f" and {len(others) - _PLACES:,} more places" if len(others) > _PLACES else ""
        what += f"; the same at {', '.join(map(str, others[:_PLACES]))}{more}"
    return Diagnostic(first, what, fix)


def with_guess(spec: Spec, host: HostSpec, guess: Secret) -> tuple[Spec, HostSpec]:
    """The declaration and one of its hosts, with `guess` in place of each managed hash and key that is not here.

    What is made of that for a host is not what the host should have wherever it depends on the guess.
    """
    tls = host.tls
    if tls.source == "file" and (tls.key is None or not tls.chain):
        host = replace(host, tls=replace(tls, chain=tls.chain or guess.reveal(), key=tls.key or guess))
    host = replace(host, outgoing=host.outgoing.with_password(guess))
    if any(map(_unread, spec.users)):
        users = [_with(user, guess) if _unread(user) else user for user in spec.users]
        spec = replace(spec, users=users)
    return spec, host


def _unread(user: User) -> bool:
    return user.password.hash is None and user.password.ownership == "managed"


def _with(user: User, guess: Secret) -> User:
    return replace(user, password=replace(user.password, hash=guess))
