"""Sieve scripts of the operator's and the binaries that sievec(1) makes of them, beside which deliveries look."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import Backup, Change, Key, Phase, Query, State, Step, fingerprint, listing
from mailprov.resources import common

KIND = "script"
SECTIONS = ("scripts",)
REMOVED = True
MODE = ("644", "root", "root")
SUFFIX = ".sieve"


@dataclass(frozen=True, slots=True)
class Script:
    """The script at `path` (NAME.sieve): the digest of its text, which is `content` where that is known.

    `binary` is the digest of NAME.svbin beside it, "" while that is missing or not newer than the text; `beside` is
    what it is, with mode, owner and group. `kept` is where the host has kept the copy from which it is put back.
    """

    path: str
    digest: str
    attributes: tuple[str, str, str] = MODE
    binary: str = ""
    type: listing.Type = "file"
    beside: tuple[listing.Type, str, str, str] | None = ("file", *MODE)
    content: bytes | None = field(default=None, repr=False, compare=False)
    kept: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """Its path."""
        return Key(KIND, self.path)

    @property
    def fingerprint(self) -> str:
        """Of text, attributes and binary."""
        odd = (self.type, self.beside) if (self.type, self.beside) != ("file", ("file", *MODE)) else ()
        return fingerprint(KIND, self.path, self.digest, self.binary, *self.attributes, *odd)


def script(path: str, text: str) -> Script:
    """The desired script with this text."""
    data = text.encode()
    return Script(path, hashlib.sha256(data).hexdigest(), content=data)


def binary_of(path: str) -> str:
    """Where deliveries look for what was made of a script."""
    return f"{path.removesuffix(SUFFIX)}.svbin"


activation = common.no_steps
behind = common.never_behind
effects = common.no_effects  # each delivery reads it
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
lasting = common.nothing_lasts
off = common.never_off
pending = common.no_steps
risk_queries = common.no_risk_queries
risks = common.no_risks
runs = common.never_runs


def queries(desired: Sequence[Script]) -> tuple[Query, ...]:
    """One: digests and attributes of all, and of every one that was managed before."""
    return (Query("scripts", "scripts", tuple(item.path for item in desired)),)


def read(sections: Mapping[str, str]) -> Mapping[Key, Script]:
    """The live ones."""
    text = sections.get("scripts", "")
    fresh = {line[66:]: line[:64] for line in text.splitlines() if line[64:66] == "  "}
    there = {file.path: file for file in listing.read(text)}
    found = [
        Script(
            file.path,
            file.sha256,
            (file.mode, file.owner, file.group),
            fresh.get(binary_of(file.path), ""),
            file.type,
            listing.beside(there.get(binary_of(file.path))),
        )
        for file in there.values()
        if file.path.endswith(SUFFIX)
    ]
    return {item.key: item for item in found}


def same(desired: Script, live: Script, made: str) -> bool:
    """The same text, and a binary that is there, fresh, and the one that was compiled."""
    return bool(live.binary) and live.binary == made and replace(desired, binary=made) == live


def moved(live: Script, asked: str, made: str) -> bool:
    """Another text or other attributes than were asked for, or another binary than was compiled."""
    return live.binary != made or replace(live, binary="").fingerprint != asked


def made(live: Script) -> str:
    """Its binary's digest: what sievec makes depends on its version."""
    return live.binary


def paths(item: Script) -> tuple[str, ...]:
    """Its own."""
    return (item.path,)


def detail_query(live: Script, desired: Script | None) -> Query | None:
    """Its text."""
    return Query("content", "content", (live.path,)) if live.type == "file" else None


def with_details(live: Script, desired: Script | None, text: str) -> Script:
    """With its text. Raises HostError where that is not base64."""
    return replace(live, content=common.content(text, live.path))


@dataclass(frozen=True, slots=True)
class ScriptChange:
    """How a script differs, or what was made of it: the two themselves."""

    before: Script | None
    after: Script | None

    @property
    def summary(self) -> str:
        """What changes."""
        if self.before is None or self.after is None:
            return "remove" if self.after is None else "create, and compile"
        return ", ".join([*sorted(self.aspects - {"compiled"}), "compile"])

    @property
    def aspects(self) -> frozenset[str]:
        """Which of content, mode and owner differ; where none does, it is what was compiled."""
        if self.before is None or self.after is None:
            return frozenset()
        before, after = self.before, self.after
        differs = {
            "content": before.digest != after.digest,
            "mode": before.attributes[0] != after.attributes[0],
            "owner": before.attributes[1:] != after.attributes[1:],
        }
        return frozenset(name for name, other in differs.items() if other) or frozenset(("compiled",))

    @property
    def detail(self) -> tuple[str, ...]:
        """A unified diff of the texts."""
        before, after = self.before, self.after
        if after is None or after.content is None or (before is not None and before.content is None):
            return ()
        old = common.lines(before.content) if before is not None and before.content is not None else None
        return common.unified(after.path, old, common.lines(after.content))


def delta(before: Script | None, after: Script | None) -> ScriptChange:
    """The two, for people to read what changes between them."""
    return ScriptChange(before, after)


def obstacles(before: Script | None, after: Script | None, there: State) -> tuple[tuple[str, str], ...]:
    """What is in the place of the text or of its binary, and no plain file."""
    if before is None:
        return ()
    pairs = ((before.path, before.type), *([(binary_of(before.path), before.beside[0])] if before.beside else []))
    return tuple((path, listing.NOUNS[found]) for path, found in pairs if found != "file")


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Each is compiled where it is staged, so that one with a mistake ends the apply before anything changes."""
    return tuple(_step(change) for change in sorted(changes, key=lambda change: change.key))


def _step(change: Change) -> Step:
    path, after, key = change.key.name, change.after, change.key
    undo = ("former_script", "@", path)
    if not isinstance(after, Script):
        return Step(Phase.COMMIT, f"remove {path}", ("drop_script", "@", path), undo, key=key, late=2)
    if after.kept:
        take, do = ("take_script", "@", after.kept, after.digest, path), ("put_back_script", "@", path)
        return Step(Phase.COMMIT, f"put back {path}", do, undo, take, key=key)
    put = ("put_script", "@", path, *after.attributes)
    return Step(Phase.COMMIT, f"compile and write {path}", put, undo, ("compile_script", "@", path), after.content, key)


# --- the way back


def bare(name: str) -> Script:
    """A path."""
    return Script(name, "")


def restored(backup: Backup, live: Script | None) -> Script | None:
    """As the copies of text and binary are; where there was no binary, it is made."""
    copy, binary = backup.copies.get(""), backup.copies.get(".svbin")
    if copy is None or copy.type != "file":
        return None
    attributes = (copy.mode, copy.owner, copy.group)
    digest = binary.sha256 if binary else ""
    beside = listing.beside(binary) or ("file", *attributes)
    return Script(backup.key.name, copy.sha256, attributes, digest, beside=beside, kept=backup.where)


def kept_query(item: Script) -> Query | None:
    """The copy's text."""
    return Query("content", "content", (item.kept,)) if item.kept else None


def with_kept(item: Script, text: str) -> Script:
    """With its text. Raises HostError where that is not base64."""
    return with_details(item, None, text)
