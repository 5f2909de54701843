"""The one place where a command becomes shell text."""

from __future__ import annotations

import shlex

from mailprov.model import Command


def line(command: Command) -> str:
    """`command` as POSIX shell that runs exactly these words.

    Raises ValueError for a NUL, at which a shell would cut the word short.
    """
    if any("\0" in word for word in command):
        raise ValueError("a command's word holds a NUL")
    return shlex.join(command)
