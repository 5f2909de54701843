"""Renamees whose address changes: their folder moves with the name, while mail comes in and is fetched.

The folder and a link change places, so that each of both names leads to it until nobody uses the old one any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from mailprov.model import Backup, Change, Key, Phase, Query, Risk, Step, Words, fingerprint
from mailprov.resources import common

KIND = "rename"
SECTIONS = ("mailboxes",)
REMOVED = False

_TO = " to "
Place = Literal["new", "old", "both", "accounts", "other"]


@dataclass(frozen=True, slots=True)
class Rename:
    """A mailbox whose address was `old` and is to be `new`.

    `place`: at which of them it is; at the "new" one, too, where there is none. A roll-back wants it at the "old" one.
    Nothing moves where each address has a mailbox ("both") or an account ("accounts"), or is somebody's link ("other").
    """

    old: str
    new: str
    place: Place = "new"

    @property
    def key(self) -> Key:
        """Both addresses."""
        return Key(KIND, f"{self.old}{_TO}{self.new}")

    @property
    def fingerprint(self) -> str:
        """Of where it is."""
        return fingerprint(KIND, self.old, self.new, self.place)


activation = common.no_steps
behind = common.never_behind
detail_query = common.no_details
effects = common.no_effects
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
kept_query = common.no_kept_query
lasting = common.nothing_lasts
made = common.nothing_made
moved = common.unlike_asked
off = common.never_off
paths = common.no_paths
pending = common.no_steps
risk_queries = common.no_risk_queries
runs = common.never_runs
same = common.equal
with_details = common.without_details
with_kept = common.without_kept


def queries(desired: Sequence[Rename]) -> tuple[Query, ...]:
    """One: where the mailboxes are."""
    words = tuple(word for item in desired for word in (item.old, item.new))
    return (Query("mailboxes", "mailboxes", words),) if words else ()


def read(sections: Mapping[str, str]) -> Mapping[Key, Rename]:
    """Where each one is that was asked about."""
    lines = (line.split(" ") for line in sections.get("mailboxes", "").splitlines())
    found = (Rename(words[1], words[2], _PLACES.get(words[0], "new")) for words in lines if len(words) == 3)
    return {item.key: item for item in found}


_PLACES: Mapping[str, Place] = {place: place for place in get_args(Place)}


def obstacles(before: Rename | None, after: Rename | None, there: object) -> tuple[tuple[str, str], ...]:
    """Two mailboxes of which one would be lost, two people of whom one would get the other's mail, or a link."""
    if before is None:
        return ()
    found = {
        "both": (_home(before.new), f"mailbox already, beside that of {before.old}"),
        "accounts": (before.new, f"name with an account of its own, and would get the mailbox of {before.old}"),
        "other": (_home(before.old), f"symlink, or {_home(before.new)} is one"),
    }.get(before.place)
    return (found,) if found else ()


def _home(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"/var/vmail/{domain}/{local}"


def delta(before: Rename | None, after: Rename | None) -> Words:
    """Which way it moves."""
    if after is None:
        return Words("stays where it is")
    return Words("the mailbox moves with the name" if after.place == "new" else "the mailbox moves back with the name")


def risks(change: Change, sections: Mapping[str, str]) -> tuple[Risk, ...]:
    """Who logs in by another name from then on."""
    if not isinstance(change.after, Rename):
        return ()
    old, new = _ways(change.after)
    return (Risk("renames", f"renames {old} to {new}: sessions end, and logins as {old} are refused"),)


def _ways(item: Rename) -> tuple[str, str]:
    """From where to where it moves."""
    return (item.old, item.new) if item.place == "new" else (item.new, item.old)


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Before the first file changes both names lead to the mailbox; in the end only one does."""
    made: list[Step] = []
    for change in changes:
        if not isinstance(change.after, Rename):
            continue
        words = ("@", *_ways(change.after))
        move, undo = ("move_mailbox", *words), ("return_mailbox", *words)
        made.append(Step(Phase.RETIRE, f"move the mailbox of {words[1]} to {words[2]}", move, undo, key=change.key))
        leave, undo = ("leave_name", *words), ("take_name", *words)
        made.append(Step(Phase.ACTIVATE, f"leave the name {words[1]}", leave, undo))
    return tuple(made)


def bare(name: str) -> Rename:
    """One of which it is not known where the mailbox is."""
    old, _, new = name.partition(_TO)
    return Rename(old, new)


def restored(backup: Backup, live: Rename | None) -> Rename | None:
    """At the address that it came from."""
    there = bare(backup.key.name)
    return replace(there, place="old" if backup.do[2:3] == (there.old,) else "new")
