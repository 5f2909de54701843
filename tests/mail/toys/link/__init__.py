"""Symbolic links in /etc/toy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.model import Backup, Change, Effect, Key, Phase, Query, Step, Words, fingerprint
from mailprov.resources import common

KIND = "link"
SECTIONS = ("links",)
REMOVED = True


@dataclass(frozen=True, slots=True)
class Link:
    """A link at `path` to `target`, which toyd reads."""

    path: str
    target: str

    @property
    def key(self) -> Key:
        return Key(KIND, self.path)

    @property
    def fingerprint(self) -> str:
        return fingerprint(KIND, self.path, self.target)


same, moved, made = common.equal, common.unlike_asked, common.nothing_made
behind, runs, paths, former = common.never_behind, common.never_runs, common.no_paths, common.as_itself
obstacles, detail_query, with_details = common.nothing_in_the_way, common.no_details, common.without_details
foresight, foreseen = common.no_foresight, common.nothing_foreseen
risk_queries, risks = common.no_risk_queries, common.no_risks
pending, activation = common.no_steps, common.no_steps
kept_query, with_kept, off, lasting = (
    common.no_kept_query,
    common.without_kept,
    common.never_off,
    common.nothing_lasts,
)


def queries(desired: Sequence[Link]) -> tuple[Query, ...]:
    return (Query("links", "links"),)


def read(sections: Mapping[str, str]) -> Mapping[Key, Link]:
    rows = (line.partition(" ") for line in sections.get("links", "").splitlines())
    found = [Link(path, target) for path, _, target in rows]
    return {item.key: item for item in found}


def delta(before: Link | None, after: Link | None) -> Words:
    return Words(f"to {after.target}" if after else "remove")


def effects(before: Link | None, after: Link | None) -> Mapping[str, Effect]:
    return {"toyd": Effect.RELOAD} if after else {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    made = []
    for change in changes:
        path, undo = change.key.name, ("former_link", "@", change.key.name)
        do = (
            ("put_link", "@", path, change.after.target) if isinstance(change.after, Link) else ("drop_link", "@", path)
        )
        made.append(Step(Phase.COMMIT, f"link {path}", do, undo, key=change.key, noted=True))
    return tuple(made)


def bare(name: str) -> Link:
    return Link(name, "")


def restored(backup: Backup, live: Link | None) -> Link | None:
    target = backup.notes.get("", "")
    return Link(backup.key.name, target) if target else None
