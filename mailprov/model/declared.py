"""What is declared: hosts, domains, users, aliases, certificates, listeners, the firewall."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from operator import attrgetter
from pathlib import Path
from typing import Literal

from mailprov.errors import Diagnostic, Origin
from mailprov.model.filtering import Incoming, Sieve
from mailprov.model.secret import Secret
from mailprov.model.sending import Outgoing, Relay
from mailprov.model.signing import Signing

Network = IPv4Network | IPv6Network

HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
"""what a host or a group may be called in a declaration, if there is no `..` in it"""

Protocol_ = Literal["pop3", "imap", "submission"]
PROTOCOLS: tuple[Protocol_, ...] = ("pop3", "imap", "submission")


def may_use(given: Collection[str], protocol: str) -> bool:
    """Whether who was given these protocols may log in by that one: ManageSieve is for whoever reads mail."""
    return protocol in given or (protocol == "sieve" and not {"pop3", "imap"}.isdisjoint(given))


class Purpose(StrEnum):
    """What a secret of a declaration is for: only the act that needs it reads it."""

    SUDO = "sudo"
    KEY = "key"
    HASH = "hash"
    INITIAL = "initial"
    RELAY = "relay"
    """to hand out by mail"""
    OUTGOING = "outgoing"
    """for a host, to pass its users' mail on"""


@dataclass(frozen=True, slots=True)
class Ssh:
    """How to reach a host; None leaves the choice to ~/.ssh/config and then to OpenSSH's defaults."""

    user: str | None = None
    port: int | None = None
    identity_file: Path | None = None
    known_hosts: Path | None = None
    jump: str | None = None
    connect_timeout: float = 10.0
    """seconds"""


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificate of a host, from exactly one source.

    `file`: `chain` (PEM, leaf first) and `key` travel to the host. `self_signed`: the host makes one.
    `on_host`: `certificate_path` and `key_path` exist there already (an ACME client's, say) and are only referred to.
    """

    source: Literal["file", "self_signed", "on_host"]
    min_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    chain: str = ""
    key: Secret | None = None
    certificate_path: str = ""
    key_path: str = ""
    origin: Origin | None = field(default=None, compare=False)
    until: int | None = field(default=None, compare=False)  # when `chain` ends, in seconds since the epoch
    lacking: tuple[Diagnostic, ...] = field(default=(), compare=False)  # why `chain` or `key` is not here


@dataclass(frozen=True, slots=True)
class Listener:
    """Ports of one protocol: `starttls` upgrades from cleartext, `tls` is TLS from the first byte; None is closed."""

    starttls: int | None = None
    tls: int | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """The declared listeners; one left out is closed. `smtp` is the port for mail from other servers, `sieve` that of
    ManageSieve (RFC 5804), which begins with STARTTLS."""

    pop3: Listener = Listener()
    imap: Listener = Listener()
    submission: Listener = Listener()
    smtp: int | None = None
    sieve: int | None = None

    def ports(self) -> tuple[tuple[str, str, int], ...]:
        """Every open port as (protocol, "tls" | "starttls" | "smtp", port), in protocol order."""
        found: list[tuple[str, str, int]] = []
        for name, listener in (("pop3", self.pop3), ("imap", self.imap), ("submission", self.submission)):
            if listener.starttls is not None:
                found.append((name, "starttls", listener.starttls))
            if listener.tls is not None:
                found.append((name, "tls", listener.tls))
        if self.smtp is not None:
            found.append(("smtp", "smtp", self.smtp))
        if self.sieve is not None:
            found.append(("sieve", "starttls", self.sieve))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Allow:
    """A firewall rule: `port` is open to `sources` only (empty: to everyone)."""

    port: int
    sources: tuple[Network, ...] = ()
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True)
class Firewall:
    """`manage` makes mailprov own one nftables table that opens what `services` declares plus `allow`."""

    manage: bool = False
    allow: tuple[Allow, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemMail:
    """Mail that the host's own programs write (cron, smartd, …).

    What /etc/aliases has no entry for goes `to` this address; "" leaves it in the host's own mailboxes. Only these
    local users may hand mail to sendmail(1).
    """

    to: str = ""
    submit_users: tuple[str, ...] = ("root",)


ASPECTS: Mapping[str, tuple[str, ...]] = {
    "package": (),
    "user": ("home", "shell", "group"),
    "file": ("content", "mode", "owner"),
    "certificate": ("renewed",),
    "accounts": ("rows", "mode", "owner"),
    "map": ("rows", "mode", "owner", "database"),
    "script": ("content", "mode", "owner", "compiled"),
    "dkim_key": ("content", "mode", "owner"),
    "rename": (),
    "firewall": (),
    "service": ("running", "enabled", "configuration"),
}
"""by kind of managed thing: what of it may differ by itself, beside that it is gone"""
GONE = "gone"
"""the aspect of whatever is not there any more"""


@dataclass(frozen=True, slots=True)
class Ignore:
    """Noise: what a host may change without being asked about it, of things whose name fits a pattern (fnmatch(3)).

    `only`: where nothing but these aspects of it differ; () is whatever it is.
    """

    kind: str
    name: str
    only: tuple[str, ...] = ()
    reason: str = ""
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One declared host, with the top-level defaults already merged in.

    `address` is what SSH connects to, or "local"; `hostname` is what the mail server calls itself.
    `become_password` is None where sudo asks for none, where `become` is false, and where it was not read: `lacking`
    says why it could not be.
    """

    name: str
    address: str
    hostname: str
    ssh: Ssh
    become: bool
    tls: Tls
    services: Services
    firewall: Firewall
    system_mail: SystemMail = SystemMail()
    become_password: Secret | None = None
    origin: Origin | None = field(default=None, compare=False)
    lacking: Diagnostic | None = field(default=None, compare=False)
    ignored: tuple[Ignore, ...] = ()
    outgoing: Outgoing = field(default_factory=Outgoing)
    sieve: Sieve = field(default_factory=Sieve)
    incoming: Incoming = field(default_factory=Incoming)


@dataclass(frozen=True, slots=True)
class Domain:
    """A mail domain (A-labels, lower case), the hosts that serve it, and where unknown addresses go.

    `hosted_by` is the id of the provider that has it instead (mailprov.providers): then no host serves it. `servers`
    are the names of those of the provider's servers that it uses, where that is said. `sign`: how its mail is signed;
    None: not at all.
    """

    name: str
    hosts: tuple[str, ...]
    catch_all: str | None = None
    origin: Origin | None = field(default=None, compare=False)
    hosted_by: str = ""
    servers: tuple[str, ...] = ()
    sign: Signing | None = None


@dataclass(frozen=True, slots=True)
class Password:
    """Who owns an account's password.

    `managed`: `hash` ("{SCHEME}…") is what the host must hold, always.
    `initial`: `hash` or `plaintext` is set when the account is created, and never again.
    `source` says where it came from in words ("env BOB_INITIAL"); both secrets are None while that source is absent,
    which is what is `lacking`, and where nobody needed it.
    """

    ownership: Literal["managed", "initial"]
    source: str
    hash: Secret | None = None
    plaintext: Secret | None = None
    lacking: Diagnostic | None = field(default=None, compare=False)

    @property
    def generated(self) -> bool:
        """Whether nobody declared it: mailprov makes one up when the account is created, and hands it out."""
        return self.source == _NOBODY


_NOBODY = "nobody: it is generated when the account is created"
GENERATED = Password("initial", _NOBODY)
"""the password of a user for whom none is declared"""


@dataclass(frozen=True, slots=True)
class Person:
    """What a staff list says of a mailbox's owner, beside the name. No host is told any of it.

    `contact` is an address elsewhere, where the owner can be reached before the mailbox is. `language` is the tag of
    the one that guides are in; "" leaves it to the declaration.
    """

    contact: str = ""
    department: str = ""
    title: str = ""
    mobile: str = ""
    employee_id: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A mailbox. `address` is canonical: lower case, A-label domain. `quota` in bytes, None is unlimited.

    Without `protocols` nobody can log in, and mail still arrives. `person` is None where nothing more is known.
    `expire`: the host deletes messages from the INBOX that many days after they came; None is never. `was` is the
    address that the mailbox had before, canonical, too; "" where it had none.
    """

    address: str
    password: Password
    name: str = ""
    quota: int | None = None
    protocols: frozenset[Protocol_] = frozenset(PROTOCOLS)
    allow_from: tuple[Network, ...] = ()
    aliases: tuple[str, ...] = ()
    origin: Origin | None = field(default=None, compare=False)
    person: Person | None = None
    expire: int | None = None
    was: str = ""

    @property
    def contact(self) -> str:
        """An address that the person can already read; "" where none is known."""
        return self.person.contact if self.person else ""

    @property
    def language(self) -> str:
        """The tag of the language that the person reads; "" where none is said."""
        return self.person.language if self.person else ""


@dataclass(frozen=True, slots=True)
class Alias:
    """Mail for `address` goes to every address in `to` (here or elsewhere)."""

    address: str
    to: tuple[str, ...]
    origin: Origin | None = field(default=None, compare=False)


LANGUAGES = ("en", "zh")
"""the languages that there are guides in"""


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture that was checked: it can be drawn, and refers to nothing outside itself."""

    data: bytes = field(repr=False)
    form: Literal["png", "svg"]


@dataclass(frozen=True, slots=True)
class Handout:
    """How people get what they need: `sender` writes to them through `relay`; generated passwords go after `days`.

    Guides carry the `company`'s name and its `logo`, name the `helpdesk`, and are in `language` unless the person's is
    another; "" is every language.
    """

    relay: Relay | None = None
    sender: str = ""
    days: int = 14
    company: str = ""
    logo: Logo | None = None
    helpdesk: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """The whole declaration, valid in itself."""

    hosts: Mapping[str, HostSpec]
    domains: Mapping[str, Domain]
    users: Sequence[User]
    aliases: Sequence[Alias]
    doubts: tuple[Diagnostic, ...] = ()
    """things that are allowed and probably not meant, each with its place"""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # each with its hosts
    handout: Handout = Handout()
    host_warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """of the `warnings`, those that each host is told of: what is about another host alone is not among them"""
    resolver: tuple[str, int] | None = None
    """the address and port of the DNS resolver that is asked; None: this machine's own"""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The doubts in words."""
        return tuple(doubt.warning for doubt in self.doubts)

    def domains_of(self, host: str) -> tuple[Domain, ...]:
        """The domains that `host` serves, in name order."""
        return tuple(domain for name, domain in sorted(self.domains.items()) if host in domain.hosts)

    def users_of(self, host: str) -> tuple[User, ...]:
        """The users whose domain `host` serves, in address order."""
        served = {domain.name for domain in self.domains_of(host)}
        every = len(served) == len(self.domains)
        here = self.users if every else (user for user in self.users if domain_of(user.address) in served)
        return tuple(sorted(here, key=attrgetter("address")))

    def aliases_of(self, host: str) -> tuple[Alias, ...]:
        """The aliases whose domain `host` serves, in address order."""
        served = {domain.name for domain in self.domains_of(host)}
        return tuple(sorted((a for a in self.aliases if domain_of(a.address) in served), key=lambda a: a.address))


def domain_of(address: str) -> str:
    """The part of `address` behind its last @."""
    return address.rpartition("@")[2]
