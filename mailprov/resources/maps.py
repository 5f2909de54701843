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

    `database` is the digest of the `.db` beside it, "" while that is missing or older than its text; `beside` is what
    it is, with mode, owner and group. `kept` is where the host has kept the copy of both from which it is put back.
    """

    path: str
    digest: str
    attributes: tuple[str, str, str] = MODE
    database: str = ""
    type: listing.Type = "file"
    beside: tuple[listing.Type, str, str, str] | None = ("file", *MODE)
    rows: rows.Table | rows.Seen | None = field(default=None, repr=False, compare=False)
    kept: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """Its path."""
        return Key(KIND, self.path)

    @property
    def fingerprint(self) -> str:
        """Of rows, attributes and database."""
        odd = (self.type, self.beside) if (self.type, self.beside) != ("file", ("file", *MODE)) else ()
        return fingerprint(KIND, self.path, self.digest, self.database, *self.attributes, *odd)

    @property
    def obstacles(self) -> tuple[tuple[str, listing.Type], ...]:
        """What is there and cannot be replaced: a database is made anew, so a link in its place goes."""
        text = ((self.path, self.type),) if self.type != "file" else ()
        database = ((f"{self.path}.db", self.beside[0]),) if self.beside else ()
        return (*text, *(pair for pair in database if pair[1] not in ("file", "symlink")))


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
    there = {file.path: file for file in listing.read(text)}
    found = [
        Map(
            file.path,
            file.sha256,
            (file.mode, file.owner, file.group),
            databases.get(file.path, ""),
            file.type,
            _beside(there.get(f"{file.path}.db")),
        )
        for file in there.values()
        if not file.path.endswith(".db")
    ]
    return {item.key: item for item in found}


def _beside(database: listing.Listed | None) -> tuple[listing.Type, str, str, str] | None:
    return (database.type, database.mode, database.owner, database.group) if database else None


def same(desired: Map, live: Map, made: str) -> bool:
    """Equal rows, and a database that is there, fresh, and the one that was compiled."""
    return bool(live.database) and live.database == made and replace(desired, database=made) == live


def moved(live: Map, asked: str, made: str) -> bool:
    """Other rows or attributes than were asked for, or another database than was compiled."""
    return live.database != made or replace(live, database="").fingerprint != asked


def made(live: Map) -> str:
    """Its database's digest: no two runs of postmap give the same bytes."""
    return live.database


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
        alike = before.attributes == after.attributes and before.beside in (None, after.beside)
        besides = "compile again" if alike else "mode and owner"
    return rows.change("entries", before.rows if before else None, after.rows if after else None, besides=besides)


def effects(before: Map | None, after: Map | None) -> Mapping[str, Effect]:
    """None: a Postfix daemon that meets a new database starts afresh by itself (DATABASE_README)."""
    return {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """One merge a map, compiled where it is staged; text and database are put in place together."""
    made: list[Step] = []
    for change in changes:
        after, path, undo = change.after, change.key.name, ("former_map", "@", change.key.name)
        if not isinstance(after, Map):
            made.append(Step(Phase.COMMIT, f"remove {path}", ("drop_map", "@", path), undo, key=change.key))
            continue
        if after.kept:
            take, do = ("take_map", "@", after.kept, after.digest, path), ("put_back_map", "@", path)
            made.append(Step(Phase.COMMIT, f"put back {path}", do, undo, take, key=change.key))
            continue
        if after.rows is None or not isinstance(change.delta, rows.RowsChange):
            continue
        put = ("put_map", "@", after.path, *after.attributes)
        stage = ("merge_map", "@", after.path, after.digest)
        changed = rows.payload(change.delta, after.rows.reveal())
        made.append(Step(Phase.COMMIT, f"write {after.path}", put, undo, stage, changed, change.key))
    return tuple(made)
