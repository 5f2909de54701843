"""Signing what is sent (DKIM, RFC 6376): what is declared of it, and what hosts tell of the keys that they made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Use = Literal["waits", "signs", "signed", "retired"]
"""Of a pair of keys: it waits for its DNS records; mail is signed with it; it was, and mail that is under way is still
verified by its records; nobody needs its records any more, and its private halves are gone."""

DAY = 86400
UNDER_WAY_DAYS = 2
"""for how long a receiver may look at a signature after the message has left the queue of its sender"""


@dataclass(frozen=True, slots=True)
class Signing:
    """That a domain's mail is signed; after `rotate` days with other keys, None: with the same ones for good."""

    rotate: int | None = None


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The two keys that a host has made for a domain: one for RSA, one for Ed25519 (RFC 8463). No secret.

    `since`: from when on it has this `use`, by the host's clock, in seconds since the epoch. `public` are the halves
    that DNS shows, in base64, by algorithm. `intact`: the private halves are there, and as the host has made them.
    """

    domain: str
    name: str
    use: Use
    since: int = field(default=0, compare=False)
    public: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    intact: bool = True

    @property
    def records(self) -> tuple[tuple[str, str], ...]:
        """The names and texts of its TXT records (RFC 6376 §3.6.1, RFC 8463 §4)."""
        return tuple(
            (f"{selector(self.name, algorithm)}._domainkey.{self.domain}", f"v=DKIM1; k={algorithm}; p={value}")
            for algorithm, value in self.public
        )


ALGORITHMS = ("rsa", "ed25519")


def selector(name: str, algorithm: str) -> str:
    """Under which the public half of one of the two keys is found."""
    return f"{name}{algorithm[0]}"


@dataclass(frozen=True, slots=True)
class Wait:
    """What a host does not do yet, until something is so that mailprov cannot bring about.

    `what` is done then, by the apply after; `until` what is so; `seen` what was seen instead, "" where nobody looked.
    `since`: in seconds since the epoch; 0 where it begins now.
    """

    what: str
    until: str
    seen: str = ""
    since: int = 0
