"""System users: the one that owns the mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.model import Change, Effect, Key, Phase, Question, Step, Words, fingerprint

KIND = "user"


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user of the operating system that nobody logs in as, with a group of the same name."""

    name: str
    home: str
    shell: str = "/usr/sbin/nologin"

    @property
    def key(self) -> Key:
        """Its name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of name, home and shell; the number is the host's choice."""
        return fingerprint(KIND, self.name, self.home, self.shell)


def questions(desired: Sequence[SystemUser]) -> tuple[Question, ...]:
    """One: their lines in passwd(5)."""
    return (Question("users", "system_users", tuple(user.name for user in desired)),)


def read(sections: Mapping[str, str]) -> Mapping[Key, SystemUser]:
    """Those that exist."""
    rows = (line.split(":") for line in sections.get("users", "").splitlines())
    found = [SystemUser(row[0], row[5], row[6]) for row in rows if len(row) == 7]
    return {user.key: user for user in found}


def same(desired: SystemUser, live: SystemUser, applied: SystemUser | None) -> bool:
    """Equal in home and shell."""
    return desired == live


def delta(before: SystemUser | None, after: SystemUser | None) -> Words:
    """The home and shell that it gets."""
    if after is None:
        return Words("stays")
    if before is None:
        return Words(f"create, home {after.home}")
    return Words(f"home {before.home} → {after.home}, shell {before.shell} → {after.shell}")


def effects(before: SystemUser | None, after: SystemUser | None) -> Mapping[str, Effect]:
    """None."""
    return {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """useradd or usermod; the undo of a creation keeps the user, who may own mail by then."""
    return tuple(
        Step(
            Phase.PREPARE,
            f"system user {user.name}",
            ("system_user", "@", user.name, user.home, user.shell),
            ("former_user", "@", user.name),
        )
        for user in (change.after for change in changes)
        if isinstance(user, SystemUser)
    )
