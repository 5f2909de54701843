"""Postfix lookup tables: a text and the hash database that postmap makes of it. Postfix sees a new one by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import Backup, Change, FieldChange, Key, Phase, Query, RowsChange, State, Step, fingerprint, listing
from mailprov.resources import common, rows

KIND = "map"
SECTIONS = ("maps",)
REMOVED = True
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


activation = common.no_steps
behind = common.never_behind
effects = common.no_effects
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
lasting = common.nothing_lasts
off = common.never_off
paths = common.no_paths
pending = common.no_steps
risk_queries = common.no_risk_queries
risks = common.no_risks
runs = common.never_runs


def queries(desired: Sequence[Map]) -> tuple[Query, ...]:
    """One: digests and attributes of all."""
    return (Query("maps", "maps", tuple(item.path for item in desired)),)


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


def detail_query(live: Map, desired: Map | None) -> Query | None:
    """The rows."""
    return rows.query(live.path, " ", desired.rows if desired else None)


def with_details(live: Map, desired: Map | None, text: str) -> Map:
    """With its rows."""
    return replace(live, rows=rows.answered(text, " ", desired.rows if desired else None))


def delta(before: Map | None, after: Map | None) -> RowsChange:
    """Which entries change."""
    besides = "remove" if after is None else ""
    if before is not None and after is not None and before.digest == after.digest:
        alike = before.attributes == after.attributes and before.beside in (None, after.beside)
        besides = "compile again" if alike else "mode and owner"
    old, new = (side.rows if side else None for side in (before, after))
    return rows.change("entries", old, new, _fields, besides)


_TARGETS = re.compile(r"[^\s:,]+@[A-Za-z0-9.-]+(?:, ?[^\s:,]+@[A-Za-z0-9.-]+)*|OK")


def _fields(was: str, will: str) -> tuple[FieldChange, ...]:
    """Where an entry leads. What is no address is not shown: in a live table it may be anything."""
    values = (row.partition(" ")[2].strip() for row in (was, will))
    before, after = (value if _TARGETS.fullmatch(value) else "unreadable" for value in values)
    return (FieldChange("to", before, after),)


def obstacles(before: Map | None, after: Map | None, there: State) -> tuple[tuple[str, str], ...]:
    """What is in the place of the text or of its database."""
    return tuple((path, listing.NOUNS[type_]) for path, type_ in before.obstacles) if before else ()


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
        if after.rows is None or not isinstance(change.delta, RowsChange):
            continue
        put = ("put_map", "@", after.path, *after.attributes)
        stage = ("merge_map", "@", after.path, after.digest)
        changed = rows.payload(change.delta, after.rows.reveal())
        made.append(Step(Phase.COMMIT, f"write {after.path}", put, undo, stage, changed, change.key))
    return tuple(made)


# --- the way back


def bare(name: str) -> Map:
    """A path."""
    return Map(name, "")


def restored(backup: Backup, live: Map | None) -> Map | None:
    """As the copies of text and database are; where the database was missing, it is made."""
    copy, database = backup.copies.get(""), backup.copies.get(".db")
    if copy is None or copy.type != "file":
        return None
    attributes = (copy.mode, copy.owner, copy.group)
    beside = _beside(database) or ("file", *attributes)
    digest = database.sha256 if database else ""
    return Map(backup.key.name, copy.sha256, attributes, digest, beside=beside, kept=backup.where)


def kept_query(item: Map) -> Query | None:
    """The copy's rows."""
    return rows.query(item.kept, " ", None) if item.kept else None


def with_kept(item: Map, text: str) -> Map:
    """With its rows."""
    return replace(item, rows=rows.table(rows.lines(text, " "), " "))
