"""The nftables table that is loaded in the kernel. Its text is a plain file, loading it is a service's reload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.model import Change, Effect, Key, Phase, Question, Step, Words, fingerprint

KIND = "firewall"
SERVICE = "mailprov-firewall"
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Table:
    """The loaded table; `digest` of nft's own listing of it, whose form differs by version, "" for a desired one."""

    name: str = "inet mailprov"
    digest: str = ""
    kept: str = field(default="", compare=False)
    """the script with which the host has kept it, and from which it is put back"""

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


def same(desired: Table, live: Table, made: str) -> bool:
    """Loaded as it was meant; whether its text has changed is the file's question."""
    return live.digest == made


def moved(live: Table, asked: str, made: str) -> bool:
    """Something else is loaded than was meant."""
    return live.digest != made


def made(live: Table) -> str:
    """The digest of its listing, which the kernel alone can tell."""
    return live.digest


def delta(before: Table | None, after: Table | None) -> Words:
    """Whether it is loaded, loaded again or unloaded."""
    if after is None:
        return Words("unload")
    if after.kept:
        return Words("load as it was")
    return Words("load" if before is None else "load again: what is loaded is not what was applied")


def effects(before: Table | None, after: Table | None) -> Mapping[str, Effect]:
    """The service that loads it."""
    return {SERVICE: Effect.RELOAD} if after is not None else {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Unloading, and loading what was kept; otherwise loading is the service's activation."""
    made: list[Step] = []
    for change in changes:
        name, undo = change.key.name, ("former_firewall", "@")
        if change.after is None:
            made.append(Step(Phase.ACTIVATE, f"unload table {name}", ("unload_firewall", "@"), undo, key=change.key))
        elif isinstance(change.after, Table) and change.after.kept:
            put = ("put_table", "@", change.after.kept)
            made.append(Step(Phase.ACTIVATE, f"load table {name} as it was", put, undo, key=change.key))
    return tuple(made)
