"""How mail leaves: through which server, whose mail through another one, and who may send without a login."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from mailprov.errors import Diagnostic
from mailprov.model.secret import Secret

DIRECT = "direct"
"""what a declaration says of mail that goes to the receivers' own servers"""


@dataclass(frozen=True, slots=True)
class Relay:
    """A server that takes mail and passes it on. `user` "" logs in nowhere.

    `source` says where the password comes from; it is None while that source is absent (`lacking` says why) and where
    nobody needed it. `tls` "none" is never said of one elsewhere that wants a password.
    """

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: Secret | None = None
    source: str = ""
    lacking: Diagnostic | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What a host calls it: the same for as long as server, port, TLS and user are the same."""
        said = "\0".join((self.host, str(self.port), self.tls, self.user))
        return f"relay-{hashlib.sha256(said.encode()).hexdigest()[:8]}"

    @property
    def spelled(self) -> str:
        """In words: who, at which port, how; never the password."""
        login = f", as {self.user}" if self.user else ""
        return f"{self.host}:{self.port} ({'without TLS' if self.tls == 'none' else self.tls}{login})"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much each user may send within an hour: `messages`, and `recipients` of all of them; 0 is without a limit.

    They hold where rspamd is there anyway; `declared` ones bring it.
    """

    messages: int = 300
    recipients: int = 3000
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """How mail leaves a host: through `relay`, or directly (None).

    `senders` are envelope senders whose mail leaves another way: a canonical address or "@domain", and its relay (None:
    directly); an address goes before its domain. Whoever is in the `networks` sends without a login, as a declared
    address only. `tls`: what is asked of servers that are reached directly. Mail is tried again for `days`;
    `message_size` in bytes. `limits` keep a stolen password from sending more than its owner would.
    """

    relay: Relay | None = None
    senders: tuple[tuple[str, Relay | None], ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    tls: Literal["opportunistic", "required"] = "opportunistic"
    days: int = 5
    message_size: int = 50 * 1024**2
    limits: Limits = field(default_factory=Limits)

    @property
    def relays(self) -> tuple[Relay, ...]:
        """Each server once for each user, that of all mail first."""
        return tuple({each.name: each for each in reversed(self._ways()) if each is not None}.values())[::-1]

    def with_password(self, guess: Secret) -> Outgoing:
        """The same, with `guess` in place of each password that is not here."""
        senders = tuple((name, _with(relay, guess)) for name, relay in self.senders)
        return replace(self, relay=_with(self.relay, guess), senders=senders)

    def _ways(self) -> tuple[Relay | None, ...]:
        return (self.relay, *(relay for _, relay in self.senders))


def _with(relay: Relay | None, guess: Secret) -> Relay | None:
    return replace(relay, password=guess) if relay and relay.user and relay.password is None else relay
