"""Debian packages. They are installed when missing, never removed, and upgraded only where an installation needs it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.errors import HostError
from mailprov.model import Action, Change, Effect, Key, Phase, Question, Reason, Step, Words, fingerprint

KIND = "package"


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package; `version` is what the host has, "" where any will do."""

    name: str
    version: str = ""

    @property
    def key(self) -> Key:
        """Its name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Installed is installed: an upgrade by the host's own means is not drift."""
        return fingerprint(KIND, self.name)


def questions(desired: Sequence[Package]) -> tuple[Question, ...]:
    """One: which of the packages are installed."""
    return (Question("packages", "packages", tuple(package.name for package in desired)),)


def read(sections: Mapping[str, str]) -> Mapping[Key, Package]:
    """The fully installed ones (dpkg status "ii")."""
    rows = (line.split("|") for line in sections.get("packages", "").splitlines())
    found = [Package(row[1], row[2]) for row in rows if len(row) == 3 and row[0].strip() == "ii"]
    return {package.key: package for package in found}


def same(desired: Package, live: Package, made: str) -> bool:
    """Always: what is installed stays as it is."""
    return desired.name == live.name


def moved(live: Package, asked: str, made: str) -> bool:
    """It is not what was asked for."""
    return live.fingerprint != asked


def made(live: Package) -> str:
    """Nothing: the declaration says all."""
    return ""


def delta(before: Package | None, after: Package | None) -> Words:
    """What is installed or upgraded, and that this is not undone."""
    version = f" {after.version}" if after and after.version else ""
    if before is None:
        return Words(f"install{version} (an undo leaves packages installed)")
    return Words(f"upgrade {before.version} →{version} (apt brings it along)")


def effects(before: Package | None, after: Package | None) -> Mapping[str, Effect]:
    """A running daemon does not survive its own upgrade, nor that its files were taken away and come again.

    One that does not run is started when its configuration is in place.
    """
    whole = after is not None and (before is not None or after.name in ("dovecot-core", "postfix"))
    name = daemon(after.name) if after and whole else ""
    return {name: Effect.RESTART} if name else {}


def daemon(package: str) -> str:
    """The service that this package is a part of: "dovecot" of dovecot-imapd; "" where it is part of none."""
    name = package.partition("-")[0]
    return name if name in ("dovecot", "postfix") else ""


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """One apt-get for all, before anything that is served changes."""
    names = tuple(change.key.name for change in changes if change.action is Action.CREATE)
    if not names:
        return ()
    install, undo = ("install_packages", "@", *names), ("former_packages", "@")
    return (Step(Phase.PREPARE, f"install {', '.join(names)}", install, undo),)


# --- what an installation brings along


def simulation(missing: Sequence[str]) -> tuple[Question, ...]:
    """What apt would do to install these, where there are any."""
    return (Question(SIMULATION, "installation", tuple(missing)),) if missing else ()


SIMULATION = "apt"

# "Inst dovecot-core [1:2.3.19] (1:2.3.21 Debian:12.1/stable [amd64]) []"; what is new has no first bracket
_INST = re.compile(r"Inst (\S+)(?: \[([^]\s]+)\])? \(([^)\s]+)")


def brought(text: str) -> Mapping[str, tuple[str, str]]:
    """By package: from which version ("": it is new) to which one, in the answer to `simulation`."""
    found = (_INST.match(line) for line in text.splitlines())
    return {match[1]: (match[2] or "", match[3]) for match in found if match}


def along(text: str, wanted: Sequence[str]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Beside the packages that are `wanted`: a change for each that is upgraded, and a line for each that is new."""
    told = {name: pair for name, pair in brought(text).items() if name not in wanted}
    upgraded = ((Package(name, old), Package(name, new)) for name, (old, new) in sorted(told.items()) if old)
    changes = tuple(
        Change(after.key, Action.UPDATE, Reason.PENDING, before, after, delta(before, after), effects(before, after))
        for before, after in upgraded
    )
    return changes, tuple(f"+ {name} {new}" for name, (old, new) in sorted(told.items()) if not old)


def untold(text: str, missing: Sequence[str]) -> str:
    """Why apt cannot tell what installing `missing` brings along; "" where it does."""
    # "Conf" alone: one that is unpacked already.
    if {line.split()[1] for line in text.splitlines() if line.startswith(("Inst ", "Conf "))}.issuperset(missing):
        return ""
    said = next((line[3:] for line in text.splitlines() if line.startswith("E: ")), "it says nothing")
    return f"what else installing {', '.join(missing)} changes is not known: apt on the host says: {said}"


def refuse_crossing(text: str, host: str) -> None:
    """Raises HostError where an installation would bring another Dovecot that reads no configuration of this one."""
    for name, (old, new) in brought(text).items():
        if name == "dovecot-core" and old and _syntax(old) != _syntax(new):
            raise HostError(
                f"installing packages would upgrade Dovecot from {old} to {new}, which reads another configuration",
                where=host,
                why="between the upgrade and the new configuration nobody could log in, and there is no way back",
                cure=f"install what is missing in the version that is there (apt-get install NAME={old}), or upgrade "
                "Dovecot by hand at a quiet time (apt-get install dovecot-core) and apply right after that",
            )


def _syntax(version: str) -> str:
    """ "2.3" of "1:2.3.19.1+dfsg1-2.1"."""
    return ".".join(version.rpartition(":")[2].split(".")[:2])
