"""Debian packages. They are installed when missing, never removed, and upgraded only where an installation needs it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from mailprov.errors import HostError
from mailprov.model import Action, Change, Command, Daemon, Effect, Key, Phase, Query, Reason, Step, Words, fingerprint
from mailprov.resources import common

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


@dataclass(frozen=True, slots=True)
class Packages:
    """The kind, which knows which daemon a package is a part of."""

    daemons: tuple[Daemon, ...]

    KIND: ClassVar[str] = KIND
    SECTIONS: ClassVar[tuple[str, ...]] = ("packages",)
    REMOVED: ClassVar[bool] = False

    moved = staticmethod(common.unlike_asked)
    made = staticmethod(common.nothing_made)
    behind = staticmethod(common.never_behind)
    runs = staticmethod(common.never_runs)
    risk_queries = staticmethod(common.no_risk_queries)
    risks = staticmethod(common.no_risks)
    paths = staticmethod(common.no_paths)
    obstacles = staticmethod(common.nothing_in_the_way)
    former = staticmethod(common.as_itself)
    detail_query = staticmethod(common.no_details)
    with_details = staticmethod(common.without_details)
    pending = staticmethod(common.no_steps)
    activation = staticmethod(common.no_steps)
    restored = staticmethod(common.never_restored)
    kept_query = staticmethod(common.no_kept_query)
    with_kept = staticmethod(common.without_kept)
    off = staticmethod(common.never_off)

    def queries(self, desired: Sequence[Package]) -> tuple[Query, ...]:
        """One: which of the packages are installed, and of those that bring a daemon."""
        names = [package.name for package in desired] + [daemon.core for daemon in self.daemons if daemon.serves]
        return (Query("packages", "packages", tuple(dict.fromkeys(names))),)

    def read(self, sections: Mapping[str, str]) -> Mapping[Key, Package]:
        """The fully installed ones: "ii", or "hi" where an administrator holds the version (dpkg-query(1))."""
        rows = (line.split("|") for line in sections.get("packages", "").splitlines())
        found = [Package(row[1], row[2]) for row in rows if len(row) == 3 and row[0].strip() in ("ii", "hi")]
        return {package.key: package for package in found}

    def same(self, desired: Package, live: Package, made: str) -> bool:
        """Always: what is installed stays as it is."""
        return desired.name == live.name

    def delta(self, before: Package | None, after: Package | None) -> Words:
        """What is installed or upgraded, and that this is not undone."""
        version = f" {after.version}" if after and after.version else ""
        if before is None:
            return Words(f"install{version} (an undo leaves packages installed)")
        return Words(f"upgrade {before.version} →{version} (apt brings it along)")

    def effects(self, before: Package | None, after: Package | None) -> Mapping[str, Effect]:
        """A running daemon does not survive its own upgrade, nor that its files were taken away and come again.

        One that does not run is started when its configuration is in place.
        """
        daemon = self.daemon(after.name) if after else None
        whole = after is not None and daemon is not None and (before is not None or after.name == daemon.core)
        return {daemon.name: Effect.RESTART} if daemon and whole else {}

    def daemon(self, package: str) -> Daemon | None:
        """The daemon that this package is a part of: dovecot of dovecot-imapd."""
        name = package.partition("-")[0]
        return next((daemon for daemon in self.daemons if daemon.serves and daemon.name == name), None)

    def steps(self, changes: Sequence[Change]) -> tuple[Step, ...]:
        """One apt-get for all, before anything that is served changes."""
        names = tuple(change.key.name for change in changes if change.action is Action.CREATE)
        if not names:
            return ()
        install, undo = ("install_packages", "@", *names), ("former_packages", "@")
        return (Step(Phase.PREPARE, f"install {', '.join(names)}", install, undo),)

    def bare(self, name: str) -> Package:
        """A name."""
        return Package(name)

    def lasting(self, do: Command) -> tuple[str, ...]:
        """Packages stay installed."""
        return tuple(word for word in do[1:] if not word.isdecimal()) if do[:1] == ("install_packages",) else ()

    def foresight(self, missing: Sequence[str]) -> tuple[Query, ...]:
        """What apt would do to install these, where there are any."""
        return (Query(SIMULATION, "installation", tuple(missing)),) if missing else ()

    def foreseen(
        self, changes: Sequence[Change], sections: Mapping[str, str], host: str
    ) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """With the versions that come, what else does, and what is upgraded. Raises HostError for a Dovecot that reads
        another configuration, and where something else would have to go."""
        missing = [change.key.name for change in changes]
        if not missing:
            return (), ()
        text = sections.get(SIMULATION, "")
        refuse_crossing(text, host)
        refuse_removal(text, missing, host)
        versions = brought(text)
        upgraded, further = self.along(text, missing)
        made = [self._coming(change, versions.get(change.key.name, ("", ""))[1]) for change in changes]
        made[0] = replace(made[0], delta=Words(made[0].summary, further))
        return (*made, *upgraded), tuple(filter(None, [untold(text, missing)]))

    def _coming(self, change: Change, version: str) -> Change:
        after = Package(change.key.name, version)
        return replace(change, after=after, delta=self.delta(None, after))

    def along(self, text: str, wanted: Sequence[str]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """Beside the packages that are `wanted`: a change for each that is upgraded, and a line for each new one."""
        told = {name: pair for name, pair in brought(text).items() if name not in wanted}
        pairs = ((Package(name, old), Package(name, new)) for name, (old, new) in sorted(told.items()) if old)
        upgraded = tuple(
            Change(
                old.key,
                Action.UPDATE,
                Reason.PENDING,
                old,
                new,
                self.delta(old, new),
                self.effects(old, new),
                brought_along=True,
            )
            for old, new in pairs
        )
        return upgraded, tuple(f"+ {name} {new}" for name, (old, new) in sorted(told.items()) if not old)


# --- what an installation brings along


SIMULATION = "apt"

# "Inst dovecot-core [1:2.3.19] (1:2.3.21 Debian:12.1/stable [amd64]) []"; what is new has no first bracket
_INST = re.compile(r"Inst (\S+)(?: \[([^]\s]+)\])? \(([^)\s]+)")


def brought(text: str) -> Mapping[str, tuple[str, str]]:
    """By package: from which version ("": it is new) to which one, in the answer to `simulation`."""
    found = (_INST.match(line) for line in text.splitlines())
    return {match[1]: (match[2] or "", match[3]) for match in found if match}


def untold(text: str, missing: Sequence[str]) -> str:
    """Why apt cannot tell what installing `missing` brings along; "" where it does."""
    # "Conf" alone: one that is unpacked already.
    if {line.split()[1] for line in text.splitlines() if line.startswith(("Inst ", "Conf "))}.issuperset(missing):
        return ""
    said = next((line[3:] for line in text.splitlines() if line.startswith("E: ")), "it says nothing")
    until = "until an apply or `apt-get update` there fetches new package lists"
    return f"what else installing {', '.join(missing)} changes is not known, {until}: apt on the host says: {said}"


def refuse_crossing(text: str, host: str) -> None:
    """Raises HostError where an installation would bring another Dovecot that reads no configuration of this one."""
    for name, (old, new) in brought(text).items():
        if name == "dovecot-core" and old and _syntax(old) != _syntax(new):
            raise HostError(
                f"installing packages would upgrade Dovecot from {old} to {new}, which reads another configuration",
                where=host,
                why="between the upgrade and the new configuration nobody could log in, and there is no way back",
                fix=f"install what is missing in the version that is there (apt-get install NAME={old}), or upgrade "
                "Dovecot by hand at a quiet time (apt-get install dovecot-core) and apply right after that",
            )


def refuse_removal(text: str, missing: Sequence[str], host: str) -> None:
    """Raises HostError where apt would have to remove packages, as another mail server's to make room for Postfix."""
    words = (word for line in text.splitlines() if line.startswith("Remv ") for word in line.split()[1:])
    removed = [re.sub(r"[^a-z0-9.+:-]", "", word) for word in words]
    if removed:
        what = f"installing {', '.join(missing)} would remove {', '.join(removed)}, and mailprov removes no packages"
        why = "what they serve, and the mail that waits in their queue, is somebody's"
        fix = f"where nobody needs them any more: apt-get remove {' '.join(removed)}; then plan again"
        raise HostError(what, where=host, why=why, fix=fix)


def _syntax(version: str) -> str:
    """ "2.3" of "1:2.3.19.1+dfsg1-2.1"."""
    return ".".join(version.rpartition(":")[2].split(".")[:2])
