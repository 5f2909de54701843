"""What each level of a declaration says about a host's settings, and the levels laid over one another.

A merged layer keeps what it lays over, so that `mailprov explain` reads the very merge that hosts are made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mailprov.declaration.source_file import SourceFile
from mailprov.errors import Origin
from mailprov.model import Allow, Incoming, Outgoing, Sieve, Ssh, SystemMail

Path = tuple[str | int, ...]
Key = tuple[str, ...]
"""a setting's keys in mail.yaml, below its host"""

DEFAULT: Final = "default"
TOP: Final = "top level"
HOST: Final = "host"

CERTIFICATE: Final[Key] = ("tls", "certificate")
"""the certificate's source, whichever it is: one setting, for it is replaced as a whole"""
MIN_VERSION: Final[Key] = ("tls", "min_version")
MANAGE: Final[Key] = ("firewall", "manage")
ALLOW: Final[Key] = ("firewall", "allow")
SYSTEM_MAIL_TO: Final[Key] = ("system_mail", "to")
SUBMIT_USERS: Final[Key] = ("system_mail", "submit_users")
IGNORE: Final[Key] = ("drift", "ignore")
RELAY: Final[Key] = ("outgoing", "relay")
"""a Source, or None: directly"""
SENDERS: Final[Key] = ("outgoing", "senders")
NETWORKS: Final[Key] = ("outgoing", "allow_from")
SENT_TLS: Final[Key] = ("outgoing", "tls")
QUEUE_DAYS: Final[Key] = ("outgoing", "keep_trying")
MESSAGE_SIZE: Final[Key] = ("outgoing", "message_size")
LIMITS: Final[Key] = ("outgoing", "limits")
"""a number for each, or False: there are none"""
DMARC: Final[Key] = ("incoming", "dmarc")
SIEVE: Final[Key] = ("sieve",)
BEFORE: Final[Key] = ("sieve", "before")
"""a Source, or None: there is none"""
BECOME: Final[Key] = ("become",)
BECOME_PASSWORD: Final[Key] = ("become_password",)
SOURCES: Final = ("certificate", "key", "self_signed", "on_host")

STANDARD: Final[dict[tuple[str, str], int]] = {
    ("pop3", "starttls"): 110,
    ("pop3", "tls"): 995,
    ("imap", "starttls"): 143,
    ("imap", "tls"): 993,
    ("submission", "starttls"): 587,
    ("submission", "tls"): 465,
    ("smtp", "port"): 25,
    ("sieve", "starttls"): 4190,
}
"""RFC 8314 §3 and §7, RFC 6409 §3.1, RFC 5321 §4.5.4.2, RFC 5804 §1.8"""

MAIL_PORTS: Final = {port: protocol for (protocol, _), port in STANDARD.items()}
"""standard port → protocol"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text comes from: the mapping that says so, and the file and place where it stands."""

    source_file: SourceFile
    path: Path
    node: Mapping[str, Any]

    @property
    def origin(self) -> Origin:
        """Where the source stands."""
        return self.at()

    def at(self, *below: str | int) -> Origin:
        """Where a part of it stands."""
        return self.source_file.origin(*self.path, *below)


@dataclass(frozen=True, slots=True)
class LevelValue:
    """What one level says about one setting. Only a default has no place."""

    value: Any
    level: str
    origin: Origin | None = None
    note: str = ""
    """what else there is to know"""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one level says, or several that were laid over one another."""

    sound: bool = True
    """false where its shape was complained about: then silence means nothing"""
    settings: Mapping[Key, tuple[LevelValue, ...]] = field(default_factory=dict)
    """what is said about each setting, the lowest level first: the last one holds"""

    def value(self, *key: str) -> Any:
        """What holds. Raises KeyError where no level says anything."""
        return self.settings[key][-1].value

    @property
    def source(self) -> Source | None:
        """Where the certificate comes from."""
        found: Source | None = self.value(*CERTIFICATE)
        return found

    @property
    def ports(self) -> dict[tuple[str, str], tuple[int | None, Origin]]:
        """(protocol, kind) → port, None where it is closed on purpose, and where that stands; of declared ones."""
        found: dict[tuple[str, str], tuple[int | None, Origin]] = {}
        for key, stack in self.settings.items():
            if key[0] == "services" and (origin := stack[-1].origin) is not None:
                found[key[1], key[2]] = stack[-1].value, origin
        return found

    @property
    def allow(self) -> tuple[tuple[Allow, Origin], ...]:
        """The firewall's rules with their places."""
        found: tuple[tuple[Allow, Origin], ...] = self.value(*ALLOW)
        return found

    def settled(self, key: Key, value: Any, note: str = "") -> Layer:
        """The same, with what was made of the value that holds for `key`."""
        *below, top = self.settings[key]
        return replace(self, settings={**self.settings, key: (*below, replace(top, value=value, note=note))})


def merged_layers(below: Layer, above: Layer) -> Layer:
    """`above` over `below`."""
    keys = {**below.settings, **above.settings}
    merged = {key: below.settings.get(key, ()) + above.settings.get(key, ()) for key in keys}
    return Layer(below.sound and above.sound, merged)


def _defaults() -> Layer:
    ssh = Ssh()
    values: dict[Key, Any] = {("ssh", key): getattr(ssh, key) for key in Ssh.__slots__}
    values |= {BECOME: False, BECOME_PASSWORD: None, CERTIFICATE: None, MIN_VERSION: "TLSv1.2"}
    values |= {("services", *listener): None for listener in STANDARD}
    values |= {MANAGE: False, ALLOW: (), IGNORE: ()}
    mail = SystemMail()
    values |= {SYSTEM_MAIL_TO: mail.to or None, SUBMIT_USERS: mail.submit_users}
    sent = Outgoing()
    values |= {RELAY: sent.relay, SENDERS: sent.senders, NETWORKS: sent.networks, SENT_TLS: sent.tls}
    values |= {QUEUE_DAYS: sent.days, MESSAGE_SIZE: sent.message_size}
    values |= {LIMITS: {"messages": sent.limits.messages, "recipients": sent.limits.recipients}}
    values |= {DMARC: Incoming().dmarc, SIEVE: Sieve().on, BEFORE: None}
    return Layer(settings={key: (LevelValue(value, DEFAULT),) for key, value in values.items()})


DEFAULTS: Final = _defaults()
"""what holds where nobody says anything"""
