"""The nftables table that is loaded in the kernel. Its text is a plain file, loading it is a service's reload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.model import Change, Effect, Key, Phase, Question, Step, Words, fingerprint

KIND = "firewall"
SERVICE = "mailprov-firewall"
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Table:
    """The loaded table; `digest` of nft's own listing of it, whose form differs by version, "" for a desired one."""

    name: str = "inet mailprov"
    digest: str = ""

    @property
    def key(self) -> Key:
        """Its family and name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of what is loaded."""
        return fingerprint(KIND, self.name, self.digest)


def questions(desired: Sequence[Table]) -> tuple[Question, ...]:
    """One: the digest of the listing."""
    return (Question("firewall", "firewall"),)


def read(sections: Mapping[str, str]) -> Mapping[Key, Table]:
    """The table, if it is loaded."""
    digest = sections.get("firewall", "").partition(" ")[0]
    return {} if digest in ("", _NOTHING) else {Table().key: Table(digest=digest)}


def same(desired: Table, live: Table, applied: Table | None) -> bool:
    """Loaded as the last apply left it; whether its text has changed is the file's question."""
    return applied is not None and applied.digest == live.digest


def delta(before: Table | None, after: Table | None) -> Words:
    """Whether it is loaded, loaded again or unloaded."""
    if after is None:
        return Words("unload")
    return Words("load" if before is None else "load again: what is loaded is not what was applied")


def effects(before: Table | None, after: Table | None) -> Mapping[str, Effect]:
    """The service that loads it."""
    return {SERVICE: Effect.RELOAD} if after is not None else {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Unloading; loading is the service's activation."""
    return tuple(
        Step(Phase.ACTIVATE, f"unload table {change.key.name}", ("unload_firewall", "@"), ("former_firewall", "@"))
        for change in changes
        if change.after is None
    )
