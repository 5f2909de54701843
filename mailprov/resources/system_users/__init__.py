"""System users: the one that owns the mail."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.model import Backup, Change, Command, Key, Phase, Query, Step, Words, fingerprint
from mailprov.resources import common

KIND = "user"
SECTIONS = ("users",)
REMOVED = False


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user of the operating system that nobody logs in as, with a group of the same name."""

    name: str
    home: str
    shell: str = "/usr/sbin/nologin"
    group: str = ""
    """its primary group, of the same name; "" where that does not exist"""
    uid: int | None = field(default=None, compare=False)
    """the host's choice"""
    kept: str = field(default="", compare=False)
    """where the host has noted it as it was, to make it so again"""

    @property
    def key(self) -> Key:
        """Its name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of name, home, shell and group; the numbers are the host's choice."""
        return fingerprint(KIND, self.name, self.home, self.shell, *([] if self.group == self.name else [self.group]))


activation = common.no_steps
behind = common.never_behind
detail_query = common.no_details
effects = common.no_effects
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
kept_query = common.no_kept_query
lasting = common.nothing_lasts
off = common.never_off
with_kept = common.without_kept
made = common.nothing_made
moved = common.unlike_asked
obstacles = common.nothing_in_the_way
paths = common.no_paths
pending = common.no_steps
risk_queries = common.no_risk_queries
risks = common.no_risks
runs = common.never_runs
same = common.equal
with_details = common.without_details


def queries(desired: Sequence[SystemUser]) -> tuple[Query, ...]:
    """Their lines in passwd(5), and which folders of mail below their homes they could not enter."""
    if not desired:
        return ()
    trees = (Query("mail", "mail_tree", (user.name, user.home)) for user in desired if user.home)
    return (Query("users", "system_users", tuple(user.name for user in desired)), *trees)


def read(sections: Mapping[str, str]) -> Mapping[Key, SystemUser]:
    """Those that exist."""
    lines = sections.get("users", "").splitlines()
    groups = dict(line.split(" ", 1) for line in lines if " " in line and ":" not in line)
    rows = (line.split(":") for line in lines)
    found = [
        SystemUser(
            row[0], row[5], row[6], groups.get(row[0], ""), int(row[2]) if re.fullmatch("[0-9]{1,10}", row[2]) else None
        )
        for row in rows
        if len(row) == 7
    ]
    return {user.key: user for user in found}


def delta(before: SystemUser | None, after: SystemUser | None) -> Words:
    """The home, shell and group that it gets."""
    if after is None:
        return Words("remove, unless it owns mail")
    if before is None:
        return Words(f"create, home {after.home}")
    pairs = (
        ("home", before.home, after.home),
        ("shell", before.shell, after.shell),
        ("group", before.group or "none", after.group),
    )
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    told = ", ".join(f"{name} {old} → {new}" for name, old, new in differing)
    return Words(told, aspects=frozenset(name for name, _, _ in differing))


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """useradd or usermod; one that was made goes again, unless it owns mail by then."""
    made: list[Step] = []
    for change in changes:
        name, user = change.key.name, change.after
        if isinstance(user, SystemUser):
            phase = Phase.PREPARE if change.before is None else Phase.COMMIT
            make: Command = ("system_user", "@", name, user.home, user.shell)
            if user.kept:
                make = ("user_again_as", "@", name, user.kept)
            former = ("former_user", "@", name)
            made.append(Step(phase, f"system user {name}", make, former, key=change.key, in_etc=not user.kept))
        else:
            what = f"remove the system user {name}, unless it owns mail"
            made.append(Step(Phase.ACTIVATE, what, ("no_user", "@", name), ("user_again", "@", name), key=change.key))
    return tuple(made)


def bare(name: str) -> SystemUser:
    """A name."""
    return SystemUser(name, "")


def restored(backup: Backup, live: SystemUser | None) -> SystemUser | None:
    """As its line in passwd(5) was noted."""
    row = backup.notes.get("", "").split(":")
    if len(row) != 7:
        return None
    group = backup.notes.get(".group", f"{backup.key.name}:").partition(":")[0]
    return SystemUser(backup.key.name, row[5], row[6], group, kept=backup.where)
