"""Debian packages. They are installed when missing, never upgraded and never removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.model import Change, Effect, Key, Phase, Question, Step, Words, fingerprint

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


def same(desired: Package, live: Package, applied: Package | None) -> bool:
    """Always: what is installed stays as it is."""
    return desired.name == live.name


def delta(before: Package | None, after: Package | None) -> Words:
    """That it is installed, and that this is not undone."""
    return Words("install (an undo leaves packages installed)")


def effects(before: Package | None, after: Package | None) -> Mapping[str, Effect]:
    """None: the package's service is started when its configuration is in place, and not before."""
    return {}


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """One apt-get for all, before anything that is served changes."""
    names = tuple(change.key.name for change in changes)
    if not names:
        return ()
    return (Step(Phase.PREPARE, f"install {', '.join(names)}", ("install_packages", *names), ("keep",)),)
