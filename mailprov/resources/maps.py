"""Postfix lookup tables: a text and the hash database that postmap makes of it. Postfix sees a new one by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import Change, Effect, Key, Phase, Question, Step, fingerprint
from mailprov.resources import listing, rows

KIND = "map"
MODE = ("640", "root", "postfix")


@dataclass(frozen=True, slots=True)
class Map:
    """The table at `path`: `digest` of its sorted rows, `rows` when known.

    `database` is the digest of the `.db` beside it, "" while that is missing or older than its text.
    """

    path: str
    digest: str
    attributes: tuple[str, str, str] = MODE
    database: str = ""
    rows: rows.Table | rows.Seen | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> Key:
        """Its path."""
        return Key(KIND, self.path)

    @property
    def fingerprint(self) -> str:
        """Of rows, attributes and database."""
        return fingerprint(KIND, self.path, self.digest, self.database, *self.attributes)


def table(path: str, lines: Iterable[str]) -> Map:
    """The desired map with these rows."""
    made = rows.table(lines, " ")
    return Map(path, made.digest(), rows=made)


def questions(desired: Sequence[Map]) -> tuple[Question, ...]:
    """One: digests and attributes of all."""
    return (Question("maps", "maps", tuple(item.path for item in desired)),)


def read(sections: Mapping[str, str]) -> Mapping[Key, Map]:
    """The live ones."""
    text = sections.get("maps", "")
    databases = {line[66:-3]: line[:64] for line in text.splitlines() if line[64:66] == "  " and line.endswith(".db")}
    found = [
        Map(file.path, file.sha256, (file.mode, file.owner, file.group), databases.get(file.path, ""))
        for file in listing.read(text)
        if file.type == "file"
    ]
    return {item.key: item for item in found}


def same(desired: Map, live: Map, applied: Map | None) -> bool:
    """Equal rows, and a database that is there, fresh, and the one that was compiled."""
    compiled = bool(live.database) and (applied is None or live.database == applied.database)
    return compiled and (desired.digest, desired.attributes) == (live.digest, live.attributes)


def closer(live: Map, desired: Map | None) -> Question | None:
    """The rows."""
    return rows.question(live.path, " ", desired.rows if desired else None)


def closely(live: Map, desired: Map | None, text: str) -> Map:
    """With its rows."""
    return replace(live, rows=rows.answered(text, " ", desired.rows if desired else None))


def delta(before: Map | None, after: Map | None) -> rows.RowsChange:
    """Which entries change."""
    besides = "remove" if after is None else ""
    if before is not None and after is not None and before.digest == after.digest:
        besides = "compile again" if before.attributes == after.attributes else "mode and owner"
    return rows.change("entries", before.rows if before else None, after.rows if after else None, besides=besides)


def effects(before: Map | None, after: Map | None) -> Mapping[str, Effect]:
    """None: a Postfix daemon that meets a new database starts afresh by itself (DATABASE_README)."""
    return {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """One merge a map, compiled where it is staged; text and database are put in place together."""
    made: list[Step] = []
    for change in changes:
        after = change.after
        if not isinstance(after, Map) or after.rows is None or not isinstance(change.delta, rows.RowsChange):
            continue
        put, undo = ("put_map", "@", after.path, *after.attributes), ("former_map", "@", after.path)
        stage = ("merge_map", "@", after.path, after.digest)
        changed = rows.payload(change.delta, after.rows.reveal())
        made.append(Step(Phase.COMMIT, f"write {after.path}", put, undo, stage, changed))
    return tuple(made)
