"""Postfix lookup tables: a text and the hash database that postmap makes of it. Postfix sees a new one by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
            listing.beside(there.get(f"{file.path}.db")),
        )
        for file in there.values()
        if not file.path.endswith(".db")
    ]
    return {item.key: item for item in found}


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
    return replace(rows.change("entries", old, new, _fields, besides), aspects=_aspects(before, after))


def _aspects(before: Map | None, after: Map | None) -> frozenset[str]:
    if before is None or after is None:
        return frozenset()
    text = (before.type, *before.attributes), (after.type, *after.attributes)
    database = [(before.beside, after.beside)] if before.beside and after.beside else []
    return rows.aspects((before.digest, after.digest), text, *database) or frozenset(("database",))


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
    """One merge a map, compiled where it is staged; text and database are put in place together.

    An address that moves from one map to another (a mailbox becomes an alias) is in either of them at any moment.
    """
    gainers = {change.key.name: _gainers(change, changes) for change in changes}
    made: list[Step] = []
    if any(gainers.values()) or any(map(_leads_elsewhere, changes)):
        # Mail for an address that was there before must not come to an account that is not known yet.
        wait = ("next_second", "@")
        made.append(Step(Phase.COMMIT, "wait until Dovecot has read the accounts", wait, ("keep",)))
    left, written = list(changes), set[str]()
    while left:
        ready = next((change for change in left if gainers[change.key.name] <= written), None)
        if ready is not None:
            left.remove(ready)
            made.extend(_step(ready))
        else:  # two maps exchange addresses
            ready = max((change for change in left if change.key.name not in written), key=lambda change: change.key)
            made.extend(_with_leaving(ready, changes))
        written.add(ready.key.name)
    return tuple(made)


def _leads_elsewhere(change: Change) -> bool:
    return isinstance(change.delta, RowsChange) and bool(change.delta.changed)


def _gainers(change: Change, changes: Sequence[Change]) -> set[str]:
    """The other maps that get what this one loses."""
    lost = {*change.delta.removed} if isinstance(change.delta, RowsChange) else set[str]()
    if not lost:
        return set()
    pairs = ((each.key.name, each.delta) for each in changes if each is not change)
    return {name for name, delta in pairs if isinstance(delta, RowsChange) and not lost.isdisjoint(delta.added)}


def _step(change: Change) -> Iterator[Step]:
    after, path, undo = change.after, change.key.name, ("former_map", "@", change.key.name)
    if not isinstance(after, Map):
        yield Step(Phase.COMMIT, f"remove {path}", ("drop_map", "@", path), undo, key=change.key, late=2)
    elif after.kept:
        take, do = ("take_map", "@", after.kept, after.digest, path), ("put_back_map", "@", path)
        yield Step(Phase.COMMIT, f"put back {path}", do, undo, take, key=change.key)
    elif after.rows is not None and isinstance(change.delta, RowsChange):
        put, stage = ("put_map", "@", path, *after.attributes), ("merge_map", "@", path, after.digest)
        changed = rows.payload(change.delta, after.rows.reveal())
        yield Step(Phase.COMMIT, f"write {path}", put, undo, stage, changed, change.key)


def _with_leaving(change: Change, changes: Sequence[Change]) -> Iterator[Step]:
    """The map with what comes, and with what goes to another one."""
    before, after, delta, path = change.before, change.after, change.delta, change.key.name
    if not (isinstance(before, Map) and isinstance(after, Map) and isinstance(delta, RowsChange)):
        return
    if before.rows is None or after.rows is None:
        return
    gained = {key for each in changes if isinstance(each.delta, RowsChange) for key in each.delta.added}
    there, leaving = before.rows.reveal(), gained.intersection(delta.removed)
    both = {**after.rows.reveal(), **{key: there[key] for key in leaving}}
    stage = ("merge_map", "@", path, rows.table(both.values(), " ").digest())
    put, undo = ("put_map", "@", path, *after.attributes), ("former_map", "@", path)
    rest = replace(delta, removed=tuple(key for key in delta.removed if key not in leaving))
    what = f"write {path} with what goes to another map"
    yield Step(Phase.COMMIT, what, put, undo, stage, rows.payload(rest, both), change.key)


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
    beside = listing.beside(database) or ("file", *attributes)
    digest = database.sha256 if database else ""
    return Map(backup.key.name, copy.sha256, attributes, digest, beside=beside, kept=backup.where)


def kept_query(item: Map) -> Query | None:
    """The copy's rows."""
    return rows.query(item.kept, " ", None) if item.kept else None


def with_kept(item: Map, text: str) -> Map:
    """With its rows."""
    return replace(item, rows=rows.table(rows.lines(text, " "), " "))
