"""The one place where a command becomes shell text."""

from __future__ import annotations

import shlex

from mailprov.model import Command


def line(command: Command) -> str:
    """`command` as one line of POSIX shell that runs exactly these words."""
    return shlex.join(command)
