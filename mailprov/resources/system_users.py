"""System users: the one that owns the mail."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.model import Change, Command, Effect, Key, Phase, Question, Step, Words, fingerprint

KIND = "user"


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


def questions(desired: Sequence[SystemUser]) -> tuple[Question, ...]:
    """One: their lines in passwd(5)."""
    return (Question("users", "system_users", tuple(user.name for user in desired)),)


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


def same(desired: SystemUser, live: SystemUser, made: str) -> bool:
    """Equal in home, shell and group."""
    return desired == live


def moved(live: SystemUser, asked: str, made: str) -> bool:
    """It is not what was asked for."""
    return live.fingerprint != asked


def made(live: SystemUser) -> str:
    """Nothing: the declaration says all."""
    return ""


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
    return Words(", ".join(f"{name} {old} → {new}" for name, old, new in pairs if old != new))


def effects(before: SystemUser | None, after: SystemUser | None) -> Mapping[str, Effect]:
    """None."""
    return {}


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
            made.append(Step(phase, f"system user {name}", make, former, key=change.key))
        else:
            what = f"remove the system user {name}, unless it owns mail"
            made.append(Step(Phase.ACTIVATE, what, ("no_user", "@", name), ("user_again", "@", name), key=change.key))
    return tuple(made)
