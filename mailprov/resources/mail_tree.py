"""Folders of mail that Dovecot could not enter: whose they are is for a person to say, so they are not changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from mailprov.errors import HostError

SECTION = "mail"

_ROW = re.compile(r"([0-9]{1,10}) (\S+) ([0-7]{1,4}) (/.*)")  # number, name, mode, path


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of mail; `owner` is the name of its user, or the number again where nobody has it."""

    path: str
    uid: int
    owner: str
    mode: str


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that all mail belongs to, and the folder that holds it; `uid` is None while the user is not there."""

    name: str
    home: str
    uid: int | None


def read(text: str) -> tuple[Folder, ...]:
    """The answer, each folder once."""
    rows = filter(None, map(_ROW.fullmatch, text.splitlines()))
    found = [Folder(row[4].rstrip("/"), int(row[1]), row[2], row[3]) for row in rows]
    return tuple({folder.path: folder for folder in found}.values())


def refuse(text: str, host: str, owner: Owner, served: Callable[[str, str], bool]) -> None:
    """Raises HostError where the mail's owner could not enter a folder that is `served` (domain, name or "").

    Where that user is still to be made, it gets the number that its home belongs to, if nobody else has that.
    """
    folders = read(text)
    home = next((folder for folder in folders if folder.path == owner.home), None)
    unowned = home.uid if home and home.owner == str(home.uid) else None
    uid = unowned if owner.uid is None else owner.uid
    found = [each for each in folders if _served(each, owner.home, served) and _closed(each, uid)]
    inner = tuple(f"{folder.path}/" for folder in found)
    found = [folder for folder in found if not folder.path.startswith(inner)]
    if not found:
        return
    first, more = found[0], f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
    if first.uid == uid:
        what, act = f"its mode is {first.mode}", "chmod u+rwx"
    else:
        name = "which no user has" if first.owner == str(first.uid) else first.owner
        own = "is not there yet" if uid is None else f"is uid {uid}"
        what = f"it belongs to uid {first.uid} ({name}), {owner.name} {own}"
        act = f"chown -R {owner.name}:{owner.name}"
    made = f"useradd --system --user-group --home-dir {owner.home} --shell /usr/sbin/nologin {owner.name} && "
    paths = " ".join(shlex.quote(folder.path) for folder in found[:5])
    raise HostError(
        f"Dovecot could not enter {first.path}{more}: {what}",
        where=host,
        why="who logs in there would get an internal error, and new mail would wait",
        fix=f"if this is the mail of the accounts: {made if uid is None else ''}{act} {paths}; or move it away",
    )


def _closed(folder: Folder, uid: int | None) -> bool:
    return folder.uid != uid or not int(folder.mode[-3:-2] or "0", 8) & 1


def _served(folder: Folder, home: str, served: Callable[[str, str], bool]) -> bool:
    inside = folder.path.removeprefix(f"{home}/")
    domain, _, name = inside.partition("/")
    return inside != folder.path and served(domain, name)
