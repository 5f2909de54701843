"""Optional parts of mailprov that are not installed here: what to type to have them, however mailprov was installed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

_OF_EXTRA = re.compile(r"([^;]+?)\s*;\s*extra\s*==\s*[\"']([\w-]+)[\"']\s*")


def install(extra: str) -> str:
    """How the packages of `extra` are added to the very Python that runs mailprov.

    They are named one by one, for `mailprov[extra]` means nothing to an installer that has mailprov from a folder.
    """
    wanted = shlex.join(requirements(extra))
    if not wanted:
        return f"install mailprov with its extra `{extra}`"
    if "pipx" in Path(sys.prefix).parts:
        how = f"pipx inject mailprov {wanted}"
    elif find_spec("pip") is None:
        how = f"uv pip install --python {shlex.quote(sys.executable)} {wanted}"
    else:
        how = f"{shlex.quote(sys.executable)} -m pip install {wanted}"
    return f"{how} (the extra `{extra}`)"


def requirements(extra: str) -> tuple[str, ...]:
    """What `extra` asks for, in pip's words; () where mailprov was not installed as a package."""
    from importlib.metadata import PackageNotFoundError, requires  # costly, and seldom wanted

    try:
        declared = requires("mailprov") or ()
    except PackageNotFoundError:
        return ()
    return tuple(_of(extra, declared))


def _of(extra: str, declared: Iterable[str]) -> Iterator[str]:
    for line in declared:
        found = _OF_EXTRA.fullmatch(line)
        if found and found[2] == extra:
            yield found[1]
