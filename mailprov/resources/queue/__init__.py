"""Messages that wait in Postfix's queue when somebody else's Postfix is taken over.

They came under other rules: what those would have relayed or delivered, the new ones may bounce. So they are put on
hold (postsuper(1)), until an administrator has looked at them, or a roll-back lets them go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.model import Backup, Change, Key, Phase, Query, Step, Words, fingerprint
from mailprov.resources import common

KIND = "queue"
SECTIONS: tuple[str, ...] = ()
REMOVED = False


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits is on hold; or is let go again, where a host has noted in `kept` which messages it held."""

    name: str = "postfix"
    kept: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """Whose queue it is."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of which of the two it is."""
        return fingerprint(KIND, self.name, "let go" if self.kept else "held")


activation = common.no_steps
behind = common.never_behind
detail_query = common.no_details
effects = common.no_effects
former = common.as_itself
kept_query = common.no_kept_query
lasting = common.nothing_lasts
made = common.nothing_made
moved = common.unlike_asked
obstacles = common.nothing_in_the_way
off = common.never_off
paths = common.no_paths
pending = common.no_steps
risk_queries = common.no_risk_queries
risks = common.no_risks
runs = common.never_runs
same = common.equal
with_details = common.without_details
with_kept = common.without_kept


def queries(desired: Sequence[Queue]) -> tuple[Query, ...]:
    """None: no state of it is looked at."""
    return ()


def read(sections: Mapping[str, str]) -> Mapping[Key, Queue]:
    """Nothing: whether messages are held is nothing that could drift."""
    return {}


def foresight(missing: Sequence[str]) -> tuple[Query, ...]:
    """How many there are."""
    return (Query("waiting", "waiting"),) if missing else ()


def foreseen(
    changes: Sequence[Change], sections: Mapping[str, str], host: str
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """How many are held."""
    count = sections.get("waiting", "").strip()
    held = any(isinstance(change.after, Queue) and not change.after.kept for change in changes)
    if not held or not re.fullmatch("[1-9][0-9]{0,9}", count):
        return tuple(changes), ()
    many = "1 message waits" if count == "1" else f"{int(count):,} messages wait"
    return tuple(changes), (f"{many} in Postfix's queue: see `postqueue -p` afterwards, and `postsuper -H` lets go",)


def delta(before: Queue | None, after: Queue | None) -> Words:
    """Held or let go."""
    return Words("let go what was put on hold" if after and after.kept else "put on hold what waits in it")


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """One, before the first file changes."""
    made: list[Step] = []
    for change in changes:
        if not isinstance(change.after, Queue):
            continue
        kept = change.after.kept
        do = ("let_go_queue", "@", kept) if kept else ("hold_queue", "@")
        undo = ("hold_again", "@") if kept else ("release_queue", "@")
        what = "let go the messages that were put on hold" if kept else "put on hold the messages that wait"
        made.append(Step(Phase.ACTIVATE if kept else Phase.RETIRE, what, do, undo, key=change.key, noted=True))
    return tuple(made)


def bare(name: str) -> Queue:
    """The one queue."""
    return Queue(name)


def restored(backup: Backup, live: Queue | None) -> Queue | None:
    """Let go, where they were held; held, where they were let go."""
    return Queue(backup.key.name, backup.where if backup.do[:1] == ("hold_queue",) else "")
