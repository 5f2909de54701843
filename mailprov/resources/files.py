"""Files and folders under /etc and elsewhere, owned whole."""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.errors import HostError
from mailprov.model import Change, Effect, Key, Phase, Question, Step, fingerprint
from mailprov.resources import listing

KIND = "file"


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder: `mode` in octal text ("644"), `sha256` of its content in hex ("" for a folder).

    `content` is there when known. `secret` keeps it out of every text. `services` read the file: a change wants them
    reloaded, or restarted where the value of one of `restart_settings` changes. What is `lasting` is made before
    anything that is served changes. `kept` is where the host has kept the copy from which it is put back.
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


def as_secret_as(live: File, desired: File) -> File:
    """`live`, kept out of every text if `desired` is."""
    return replace(live, secret=desired.secret)


def questions(desired: Sequence[File]) -> tuple[Question, ...]:
    """One: type, mode, owner, group and digest of each path, and of every path that was managed before."""
    return (Question("files", "files", tuple(file.path for file in desired)),)


def read(sections: Mapping[str, str]) -> Mapping[Key, File]:
    """What is there, links not followed."""
    found = listing.read(sections.get("files", ""))
    files = [File(item.path, item.mode, item.owner, item.group, item.type, item.sha256) for item in found]
    return {file.key: file for file in files}


def same(desired: File, live: File, made: str) -> bool:
    """Equal in everything that is managed."""
    return desired == live


def moved(live: File, asked: str, made: str) -> bool:
    """It is not what was asked for."""
    return live.fingerprint != asked


def made(live: File) -> str:
    """Nothing: the declaration says all."""
    return ""


def closer(live: File, desired: File | None) -> Question | None:
    """A file's content; not that of a secret one."""
    return Question("content", "content", (live.path,)) if live.type == "file" and not live.secret else None


def closely(live: File, desired: File | None, text: str) -> File:
    """With its content. Raises HostError when that is not base64."""
    try:
        return replace(live, content=base64.b64decode(text.strip(), validate=True))
    except ValueError as error:  # not base64, or not even ASCII
        raise HostError("the host's answer is garbled", where=live.path, why=str(error)) from error


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
        parts = [
            f"{name} {old} → {new}"
            for name, old, new in (
                ("type", before.type, after.type),
                ("mode", before.mode, after.mode),
                ("owner", f"{before.owner}:{before.group}", f"{after.owner}:{after.group}"),
            )
            if old != new
        ]
        if before.sha256 != after.sha256 and after.type == "file":
            parts.append("content")
        return ", ".join(parts)

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
    new = _lines(after.content)
    old = _masked(_lines(before.content), set(new)) if before and before.content is not None else []
    names = (after.path if before else "/dev/null", after.path)
    return tuple(difflib.unified_diff(old, new, names[0], names[1], n=2, lineterm=""))


# Somebody may have written a password into a file that holds none of ours: "name_password = value" in any spelling.
_PASSWORD = re.compile(r"(?i)((?:pass|secret|token|api[_-]?key)\w*[\s=:]+)\S.*")


def _masked(lines: list[str], ours: set[str]) -> list[str]:
    return [line if line in ours else _PASSWORD.sub(r"\1<secret>", line) for line in lines]


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def effects(before: File | None, after: File | None) -> Mapping[str, Effect]:
    """A reload of every service that reads it, or a restart where a setting changes that no reload takes up."""
    if after is None:
        return {"systemd": Effect.RELOAD} if before and before.path.startswith("/etc/systemd/") else {}
    restart = before is not None and any(
        _setting(before.content, name) != _setting(after.content, name) for name in after.restart_settings
    )
    return dict.fromkeys(after.services, Effect.RESTART if restart else Effect.RELOAD)


def _setting(content: bytes | None, name: str) -> str | None:
    """The value of a main.cf-like `name = value` line; the last one counts (postconf(5))."""
    values = re.findall(rf"^{re.escape(name)}\s*=\s*(.*?)\s*$", (content or b"").decode("utf-8", "replace"), re.M)
    return values[-1] if values else None


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
            return Step(Phase.COMMIT, f"remove {path}", drop, again, key=key)
        return Step(Phase.COMMIT, f"remove {path}", ("drop", "@", path), restore, key=key)
    attributes = (after.mode, after.owner, after.group)
    if after.type == "directory":
        phase = Phase.PREPARE if after.lasting and before is None else Phase.COMMIT
        make, former = ("folder", "@", path, *attributes), ("former_folder", "@", path)
        return Step(phase, f"folder {path}", make, former, key=key)
    if after.kept:
        take = ("take", "@", after.kept, after.sha256)
        return Step(Phase.COMMIT, f"put back {path}", ("put_back", "@", path), restore, take, key=key)
    return Step(
        Phase.COMMIT, f"write {path}", ("put", "@", path, *attributes), restore, ("copy", "@"), after.content, key
    )
