"""The words of the provider catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

Protocol = Literal["pop3", "imap", "submission"]
Credential = Literal["password", "authorization_code", "client_password", "app_password", "oauth2"]

CREDENTIALS: dict[Credential, str] = {
    "password": "the mailbox password",
    "authorization_code": "an authorization code (授权码)",
    "client_password": "a password for clients (客户端专用密码)",
    "app_password": "an app password",
    "oauth2": "OAuth2 (a sign-in at the provider)",
}
"""each kind, as it is told"""


@dataclass(frozen=True, slots=True)
class Words:
    """The same in English and in Simplified Chinese."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Server:
    """Where a client connects: `tls` from the first byte, or `starttls` (RFC 8314 §3)."""

    host: str
    port: int
    mode: Literal["tls", "starttls"]


@dataclass(frozen=True, slots=True)
class MxRecord:
    """An MX record that a customer's domain gets (RFC 5321 §5.1)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Provider:
    """What is documented of one provider; nothing of it was tried out.

    The first server of a protocol is the preferred one; () is "has none", None "nothing is documented". `cluster`:
    which server is right differs between customers. `credentials`: what a client logs in with, the preferred kind
    first. `mx` are patterns of its MX hosts' names, `mx_records` the exact ones where they are known. `unverified`
    names the fields that rest on third-party pages, `checked_on` is when the sources were read. `local_part_login` are
    the protocols whose user name is what stands before the @.
    """

    id: str
    name: Words
    pop3: tuple[Server, ...] | None
    imap: tuple[Server, ...] | None
    submission: tuple[Server, ...] | None
    credentials: tuple[Credential, ...]
    enable: Words
    sources: tuple[str, ...]
    checked_on: date
    aliases: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    cluster: bool = False
    notes: tuple[Words, ...] = ()
    mx: tuple[str, ...] = ()
    mx_records: tuple[MxRecord, ...] = ()
    spf: str = ""
    unverified: frozenset[str] = frozenset()
    local_part_login: frozenset[str] = frozenset()

    def servers(self, protocol: Protocol) -> tuple[Server, ...] | None:
        """The servers of one protocol."""
        return {"pop3": self.pop3, "imap": self.imap, "submission": self.submission}[protocol]

    @property
    def hosts(self) -> frozenset[str]:
        """The names of all its servers for clients."""
        every = (self.pop3, self.imap, self.submission)
        return frozenset(server.host for servers in every for server in servers or ())

    @property
    def takes_password(self) -> bool:
        """Whether a client can log in with anything that is typed in; else it signs in by the browser (OAuth2) only."""
        return set(self.credentials) != {"oauth2"}

    def receives_at(self, mx_host: str) -> bool:
        """Whether the name of an MX host is one of this provider's."""
        name = mx_host.lower().removesuffix(".")
        return any(fnmatchcase(name, pattern) for pattern in self.mx)
