"""System users: the one that owns the mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.model import Change, Effect, Key, Phase, Question, Step, fingerprint

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


def same(desired: SystemUser, live: SystemUser, made: str) -> bool:
    """Equal in home and shell."""
    return desired == live


def moved(live: SystemUser, asked: str, made: str) -> bool:
    """It is not what was asked for."""
    return live.fingerprint != asked


def made(live: SystemUser) -> str:
    """Nothing: the declaration says all."""
    return ""


def describe(before: SystemUser | None, after: SystemUser | None) -> tuple[str, tuple[str, ...]]:
    """The home and shell that it gets."""
    if after is None:
        return "remove, unless it owns mail", ()
    if before is None:
        return f"create, home {after.home}", ()
    return f"home {before.home} → {after.home}, shell {before.shell} → {after.shell}", ()


def effects(before: SystemUser | None, after: SystemUser | None) -> Mapping[str, Effect]:
    """None."""
    return {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """useradd or usermod; one that was made goes again, unless it owns mail by then."""
    made: list[Step] = []
    for change in changes:
        name, user = change.key.name, change.after
        if isinstance(user, SystemUser):
            make, former = ("system_user", "@", name, user.home, user.shell), ("former_user", "@", name)
            made.append(Step(Phase.PREPARE, f"system user {name}", make, former, key=change.key))
        else:
            what = f"remove the system user {name}, unless it owns mail"
            made.append(Step(Phase.ACTIVATE, what, ("no_user", "@", name), ("user_again", "@", name), key=change.key))
    return tuple(made)
