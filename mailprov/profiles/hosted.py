"""From a provider's facts to what its customers type into a mail program."""

from __future__ import annotations

from mailprov.model import Domain, Protocol_, User
from mailprov.profiles.settings import ANYBODY, Profile, Server, split
from mailprov.providers import Provider


def servers(provider: Provider) -> tuple[Server, ...]:
    """The documented servers, the preferred one of each protocol first."""
    names: tuple[Protocol_, ...] = ("pop3", "imap", "submission")
    return tuple(
        Server(name, found.mode, found.host, found.port, name in provider.local_part_login)
        for name in names
        for found in provider.servers(name) or ()
    )


def of_user(user: User, provider: Provider, served: tuple[Server, ...], prefer: Protocol_ = "pop3") -> Profile | None:
    """What `user` uses of the servers `served` by `provider`; None where nothing of it lets the user fetch mail."""
    incoming, outgoing = split((server for server in served if server.protocol in user.protocols), prefer)
    return Profile(user.address, user.name, incoming, outgoing, provider=provider) if incoming else None


def of_domain(
    domain: Domain, provider: Provider, served: tuple[Server, ...], prefer: Protocol_ = "pop3"
) -> Profile | None:
    """What anybody in `domain` uses; None where no mail can be fetched, or where the domain is the provider's own."""
    incoming, outgoing = split(served, prefer)
    if not incoming or domain.name in provider.domains:
        return None
    return Profile(f"{ANYBODY}@{domain.name}", "", incoming, outgoing, provider=provider)
