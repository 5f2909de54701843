"""Where the shipped data files are: `schemas/` and `templates/`, and the scripts that hosts run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mailprov.errors import MailprovError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `name` of shipped data.

    A wheel carries it inside the package; a checkout and an editable install have it beside the package.
    Raises MailprovError when it is in neither place.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (found := parent / name).is_dir():
            return found
    raise MailprovError(
        f"the data folder {name}/ is missing",
        where=str(_PACKAGE),
        why="the installation is incomplete",
        fix="install mailprov again",
    )


def text(where: str, name: str) -> str:
    """The shipped file `name` in the folder `where` of shipped data. Raises MailprovError as `folder` does."""
    return (folder(where) / name).read_text(encoding="utf-8")


def files(where: str) -> Mapping[str, bytes]:
    """The contents of every file below the folder `where` of shipped data, by its path there, in order.

    Raises MailprovError as `folder` does.
    """
    root = folder(where)
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return dict(sorted(found.items()))


@cache
def script(path: str) -> str:
    """The shell at `path` in the package ("engine/probe.sh"), without its comments; "" where there is none.

    It travels to a host with each plan: a third of it would be words that nobody there reads.
    """
    file = _PACKAGE / path
    shell = file.read_text(encoding="utf-8") if file.is_file() else ""
    return re.sub(r"\n{2,}", "\n", re.sub(r"(?m)^[ \t]*#.*\n", "", shell))
