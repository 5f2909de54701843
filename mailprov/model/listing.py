"""What stat(1) and sha256sum(1) say of paths, as the probe asks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mailprov.model.changes import Item

Type = Literal["file", "directory", "symlink", "other"]

_TYPES: Mapping[str, Type] = {
    "regular file": "file",
    "regular empty file": "file",
    "directory": "directory",
    "symbolic link": "symlink",
}


NOUNS: Mapping[Type, str] = {
    "file": "file",
    "directory": "directory",
    "symlink": "symlink",
    "other": "FIFO, socket or device",
}
"""what each is called"""


def noun(item: Item) -> str:
    """What an item at a path is called."""
    return NOUNS[getattr(item, "type", "file")]


@dataclass(frozen=True, slots=True)
class Listed:
    """One path, links not followed: `mode` in octal text ("644"), `sha256` of a plain file's content in hex."""

    path: str
    type: Type
    mode: str
    owner: str
    group: str
    sha256: str = ""


def beside(found: Listed | None) -> tuple[Type, str, str, str] | None:
    """What is beside a file, as its kind compares it; None where nothing is."""
    return (found.type, found.mode, found.owner, found.group) if found else None


def read(text: str) -> tuple[Listed, ...]:
    """The paths in the output of stat(1) with '%F|%a|%U|%G|%n' and of sha256sum(1), each once."""
    lines = text.splitlines()
    digests = {line[66:]: line[:64] for line in lines if re.match(r"[0-9a-f]{64}  ", line)}
    found: dict[str, Listed] = {}
    for line in lines:
        row = line.split("|", 4)
        if len(row) == 5:
            kind = _TYPES.get(row[0], "other")
            found[row[4]] = Listed(
                row[4], kind, row[1], row[2], row[3], digests.get(row[4], "") if kind == "file" else ""
            )
    return tuple(found.values())
