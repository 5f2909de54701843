"""From a declaration to what one mailbox's owner types into a mail program."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from mailprov.model import Domain, HostSpec, Protocol_, User, domain_of
from mailprov.providers import Credential, Provider

Mode = Literal["tls", "starttls"]

ANYBODY = "%EMAILADDRESS%"
"""what autoconfig clients replace by the address that was typed in (draft-ietf-mailmaint-autoconfig)"""
ANYBODY_BEFORE = "%EMAILLOCALPART%"
"""and by what stands before its @"""


@dataclass(frozen=True, slots=True)
class Server:
    """One listener as a mail program is told of it. `mode` "tls" is TLS from the first byte.

    `local_part`: the user name is what stands before the @, and not the whole address.
    """

    protocol: Protocol_
    mode: Mode
    host: str
    port: int
    local_part: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """How one mailbox is used: what receives, what sends, each with the best choice first.

    `name` may be empty; `quota` is in bytes, None is unlimited. `provider` has the mailbox, where no host here does.
    """

    address: str
    name: str
    incoming: tuple[Server, ...]
    outgoing: tuple[Server, ...]
    quota: int | None = None
    self_signed: bool = False
    """clients will not trust the host's certificate by themselves"""
    expire: int | None = None
    """after how many days the host deletes messages, fetched or not; None: never"""
    restricted: bool = False
    """some networks are kept out, by the account or by the firewall"""
    provider: Provider | None = None

    @property
    def domain(self) -> str:
        """The mail domain, in A-labels."""
        return domain_of(self.address)

    def login(self, server: Server) -> str:
        """The user name for `server`."""
        return self.address.rpartition("@")[0] if server.local_part else self.address

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """What may be logged in with, the preferred kind first."""
        return self.provider.credentials if self.provider else ("password",)

    @property
    def takes_password(self) -> bool:
        """Whether anything can be typed in to log in; else people sign in by their browser (OAuth2) only."""
        return self.provider is None or self.provider.takes_password

    @property
    def receives(self) -> Server:
        """What is set up unless somebody wants otherwise."""
        return self.incoming[0]

    @property
    def sends(self) -> Server | None:
        """What mail is sent by; None where this mailbox may not send."""
        return self.outgoing[0] if self.outgoing else None


def servers(host: HostSpec) -> tuple[Server, ...]:
    """The declared listeners that people use. Mail from other servers (`smtp`) is no affair of theirs."""
    listeners = (("pop3", host.services.pop3), ("imap", host.services.imap), ("submission", host.services.submission))
    found: list[Server] = []
    for protocol, listener in listeners:
        # TLS from the first byte comes first: RFC 8314 §3.
        for mode, port in (("tls", listener.tls), ("starttls", listener.starttls)):
            if port is not None:
                found.append(Server(protocol, mode, host.hostname, port))  # type: ignore[arg-type]
    return tuple(found)


def of_user(user: User, host: HostSpec, served: Iterable[Server], prefer: Protocol_ = "pop3") -> Profile | None:
    """What `user` uses of the listeners `served` by `host`; None where nothing of it lets the user fetch mail.

    Where both are allowed, `prefer` says whether POP3 or IMAP comes first.
    """
    incoming, outgoing = split((server for server in served if server.protocol in user.protocols), prefer)
    if not incoming:
        return None
    rules = host.firewall.allow if host.firewall.manage else ()
    narrowed = {rule.port for rule in rules if rule.sources and rule.protocol == "tcp"}
    return Profile(
        user.address,
        user.name,
        incoming,
        outgoing,
        user.quota,
        host.tls.source == "self_signed",
        user.expire,
        bool(user.allow_from) or any(server.port in narrowed for server in (*incoming, *outgoing)),
    )


def of_domain(domain: Domain, served: Iterable[Server], prefer: Protocol_ = "pop3") -> Profile | None:
    """What anybody in `domain` uses; its address is a placeholder. None where no mail can be fetched."""
    incoming, outgoing = split(served, prefer)
    return Profile(f"{ANYBODY}@{domain.name}", "", incoming, outgoing) if incoming else None


def without(served: Collection[Server], failed: Collection[tuple[str, int]]) -> tuple[Server, ...]:
    """Those of `served` that are at none of the `failed` (protocol, port)."""
    return tuple(server for server in served if (server.protocol, server.port) not in failed)


def split(served: Iterable[Server], prefer: Protocol_) -> tuple[tuple[Server, ...], tuple[Server, ...]]:
    """What receives, `prefer` first, and what sends."""
    every = tuple(served)
    outgoing = tuple(server for server in every if server.protocol == "submission")
    incoming = [server for server in every if server.protocol != "submission"]
    return tuple(sorted(incoming, key=lambda server: server.protocol != prefer)), outgoing
