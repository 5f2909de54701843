"""Patterns of OpenSSH's files (ssh_config(5), PATTERNS): `*` is anything, `?` one character, all else itself."""

from __future__ import annotations

from collections.abc import Iterable


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether one of `patterns` fits `name`, in whatever case, and none that begins with `!` does."""
    found, name = False, name.lower()
    for pattern in patterns:
        if fits(pattern.removeprefix("!").lower(), name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def fits(pattern: str, name: str) -> bool:
    """Whether `pattern` fits the whole of `name`. Not fnmatch: [ ] are themselves, as in "[host]:2222"."""
    # A regular expression would try every way to share the name out among the stars. Only the last star that was met
    # is ever asked to take more: what an earlier one could take instead, this one can.
    at = here = 0
    star, resume = -1, 0
    while here < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")
