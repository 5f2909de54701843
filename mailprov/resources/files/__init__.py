"""Files and folders under /etc and elsewhere, owned whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import Backup, Change, Effect, Key, Phase, Query, State, Step, fingerprint, listing
from mailprov.resources import common

KIND = "file"
SECTIONS = ("files",)
REMOVED = True


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder: `mode` in octal text ("644"), `sha256` of its content in hex ("" for a folder).

    `content` is there when known. `secret` keeps it out of every text. `services` read the file: a change wants them
    reloaded, or restarted where the value of one of `restart_settings` changes ("NAME WORD": where that word comes into
    its value). What is `lasting` is made before anything that is served changes. A `late` one names what must be there
    before it is read. `kept` is where the host has kept the copy from which it is put back.
    """

    path: str
    mode: str
    owner: str
    group: str
    type: listing.Type = "file"
    sha256: str = ""
    content: bytes | None = field(default=None, repr=False, compare=False)
    secret: bool = field(default=False, compare=False)
    services: tuple[str, ...] = field(default=(), compare=False)
    restart_settings: tuple[str, ...] = field(default=(), compare=False)
    lasting: bool = field(default=False, compare=False)
    late: bool = field(default=False, compare=False)
    kept: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """Its path."""
        return Key(KIND, self.path)

    @property
    def fingerprint(self) -> str:
        """Of type, mode, owner, group and content."""
        return fingerprint(KIND, self.path, self.type, self.mode, self.owner, self.group, self.sha256)


def text_file(path: str, text: str, **more: object) -> File:
    """A desired file with this text, root's and readable by all unless `more` says otherwise."""
    data = text.encode()
    wanted = File(path, "644", "root", "root", "file", hashlib.sha256(data).hexdigest(), data)
    return replace(wanted, **more)  # type: ignore[arg-type]


def folder(path: str, mode: str = "755", owner: str = "root", group: str = "root", *, lasting: bool = False) -> File:
    """A desired folder."""
    return File(path, mode, owner, group, "directory", lasting=lasting)


activation = common.no_steps
behind = common.never_behind
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
lasting = common.nothing_lasts
off = common.never_off
made = common.nothing_made
moved = common.unlike_asked
pending = common.no_steps
risk_queries = common.no_risk_queries
risks = common.no_risks
runs = common.never_runs
same = common.equal


def queries(desired: Sequence[File]) -> tuple[Query, ...]:
    """One: type, mode, owner, group and digest of each path, and of every path that was managed before."""
    return (Query("files", "files", tuple(file.path for file in desired)),)


def read(sections: Mapping[str, str]) -> Mapping[Key, File]:
    """What is there, links not followed."""
    found = listing.read(sections.get("files", ""))
    files = [File(item.path, item.mode, item.owner, item.group, item.type, item.sha256) for item in found]
    return {file.key: file for file in files}


def detail_query(live: File, desired: File | None) -> Query | None:
    """A file's content; not that of a secret one."""
    secret = live.secret or (desired is not None and desired.secret)
    return Query("content", "content", (live.path,)) if live.type == "file" and not secret else None


def with_details(live: File, desired: File | None, text: str) -> File:
    """With its content. Raises HostError when that is not base64."""
    return replace(live, content=common.content(text, live.path))


@dataclass(frozen=True, slots=True)
class FileChange:
    """How a file or folder differs: the two themselves."""

    before: File | None
    after: File | None

    @property
    def summary(self) -> str:
        """What changes."""
        before, after = self.before, self.after
        if after is None:
            return "remove"
        if before is None:
            noun = "folder" if after.type == "directory" else "file"
            return f"create {noun}, mode {after.mode}, {after.owner}:{after.group}"
        return ", ".join(self._parts.values())

    @property
    def aspects(self) -> frozenset[str]:
        """Which of type, mode, owner (or group) and content differ."""
        return frozenset(self._parts)

    @property
    def _parts(self) -> Mapping[str, str]:
        """What differs of one that is there and stays, in words."""
        before, after = self.before, self.after
        if before is None or after is None:
            return {}
        pairs = (
            ("type", before.type, after.type),
            ("mode", before.mode, after.mode),
            ("owner", f"{before.owner}:{before.group}", f"{after.owner}:{after.group}"),
        )
        found = {name: f"{name} {old} → {new}" for name, old, new in pairs if old != new}
        differs = before.sha256 != after.sha256 and after.type == "file"
        return {**found, "content": "content"} if differs else found

    @property
    def detail(self) -> tuple[str, ...]:
        """A unified diff where both contents are known and may be shown."""
        return () if self.after is None else _diff(self.before, self.after)


def delta(before: File | None, after: File | None) -> FileChange:
    """The two, for people to read what changes between them."""
    return FileChange(before, after)


def _diff(before: File | None, after: File) -> tuple[str, ...]:
    if after.secret or (before and before.secret) or after.content is None or (before and before.content is None):
        return ()
    new = common.lines(after.content)
    old = _masked(common.lines(before.content), set(new)) if before and before.content is not None else None
    return common.unified(after.path, old, new)


# Somebody may have written a password into a file that holds none of ours: "name_password = value" in any spelling.
_PASSWORD = re.compile(r"(?i)((?:pass|secret|token|api[_-]?key)\w*[\s=:]+)\S.*")


def _masked(lines: list[str], ours: set[str]) -> list[str]:
    return [line if line in ours else _PASSWORD.sub(r"\1<secret>", line) for line in lines]


def effects(before: File | None, after: File | None) -> Mapping[str, Effect]:
    """A reload of every service that reads it, or a restart where a setting changes that no reload takes up."""
    if after is None:
        return {"systemd": Effect.RELOAD} if before and before.path.startswith("/etc/systemd/") else {}
    restart = before is not None and any(_restarts(before, after, name) for name in after.restart_settings)
    return dict.fromkeys(after.services, Effect.RESTART if restart else Effect.RELOAD)


def _restarts(before: File, after: File, name: str) -> bool:
    name, _, word = name.partition(" ")
    was, will = (_setting(side.content, name) for side in (before, after))
    return word not in (was or "").split() and word in (will or "").split() if word else was != will


def _setting(content: bytes | None, name: str) -> str | None:
    """The value of a `name = value` line that is within no section; the last one counts (postconf(5))."""
    values = re.findall(rf"^{re.escape(name)}\s*=\s*(.*?)\s*$", (content or b"").decode("utf-8", "replace"), re.M)
    return values[-1] if values else None


def paths(item: File) -> tuple[str, ...]:
    """Its own."""
    return (item.path,)


def obstacles(before: File | None, after: File | None, there: State) -> tuple[tuple[str, str], ...]:
    """A link, a FIFO and the like; a folder where a file is wanted, or the reverse."""
    if before is None:
        return ()
    right = before.type == after.type if after else before.type in ("file", "directory")
    return () if right else ((before.path, listing.NOUNS[before.type]),)


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Folders from the outside in, then files; removals last, from the inside out."""
    made = [_step(change) for change in sorted(changes, key=_order)]
    return tuple(made)


def _order(change: Change) -> tuple[int, int, str]:
    path, after = change.key.name, change.after
    if after is None:
        return (2, -path.count("/"), path)
    return (0 if isinstance(after, File) and after.type == "directory" else 1, 0, path)


def _step(change: Change) -> Step:
    path, before, after = change.key.name, change.before, change.after
    key, restore = change.key, ("restore", "@", path)
    if not isinstance(after, File):
        if isinstance(before, File) and before.type == "directory":
            drop, again = ("drop_folder", "@", path), ("folder_again", "@", path)
            return Step(Phase.COMMIT, f"remove {path}", drop, again, key=key, late=3)
        return Step(Phase.COMMIT, f"remove {path}", ("drop", "@", path), restore, key=key, late=2)
    attributes = (after.mode, after.owner, after.group)
    if after.type == "directory":
        phase = Phase.PREPARE if after.lasting and before is None else Phase.COMMIT
        make, former = ("folder", "@", path, *attributes), ("former_folder", "@", path)
        return Step(phase, f"folder {path}", make, former, key=key)
    if after.kept:
        take = ("take", "@", after.kept, after.sha256)
        put_back = ("put_back", "@", path)
        return Step(Phase.COMMIT, f"put back {path}", put_back, restore, take, key=key, late=int(after.late))
    put, copy = ("put", "@", path, *attributes), ("copy", "@")
    return Step(Phase.COMMIT, f"write {path}", put, restore, copy, after.content, key, late=int(after.late))


# --- the way back


def bare(name: str) -> File:
    """A path."""
    return File(name, "", "", "")


def restored(backup: Backup, live: File | None) -> File | None:
    """A folder with the owner that it had, or a file that is put back from its copy."""
    if (found := _folder(backup)) is not None:
        return found
    copy = backup.copies.get("")
    if copy is None or copy.type != "file":
        return None
    known = backup.known if isinstance(backup.known, File) else bare(backup.key.name)
    return replace(
        known,
        mode=copy.mode,
        owner=copy.owner,
        group=copy.group,
        sha256=copy.sha256,
        kept=backup.where,
        secret=known.secret or copy.mode[-1:] not in "4567",
    )


_NOTED = re.compile(r"([0-7]{3,4}) ([0-9]{1,10}):([0-9]{1,10})(?: (\S+) (\S+))?")


def _folder(backup: Backup) -> File | None:
    """A folder that was there before: its owner by number, where the number has no name."""
    found = _NOTED.fullmatch(backup.notes.get(".folder", ""))
    if found:
        owner, group = (
            ("root" if number == "0" else number) if name in (None, "UNKNOWN") else name
            for number, name in ((found[2], found[4]), (found[3], found[5]))
        )
        return folder(backup.key.name, found[1], owner, group)
    if backup.do[:1] == ("former_folder",) and backup.undo[:1] == ("folder",) and len(backup.undo) == 6:
        return folder(*backup.undo[2:])
    return None


def kept_query(item: File) -> Query | None:
    """The copy's content; not that of a secret one."""
    return Query("content", "content", (item.kept,)) if item.kept and not item.secret else None


def with_kept(item: File, text: str) -> File:
    """With its content. Raises HostError when that is not base64."""
    return with_details(item, None, text)
