"""Files by a pattern of names (`teams/*.yaml`): a tree that is walked once, within bounds, whatever both are like."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final

from mailprov.declaration.diagnostics import InvalidValue

MAX_SEEN: Final = 200_000
"""files and folders that are looked at for all patterns of one declaration"""
MAX_DEPTH: Final = 32
"""folders below each other, in a pattern and in the tree"""
_LONGEST: Final = 255
"""bytes of a name (NAME_MAX, limits.h)"""
_ANY: Final = "**"
WILD: Final = re.compile(r"[*?[]")

Names = tuple[str, ...]
"""the names on the way to a file or folder, from where the pattern begins"""
Enter = Callable[[Names], int]
"""opens a folder, and gives its descriptor; raises OSError"""
Steps = frozenset[int]
"""numbers of steps of a pattern; the number behind the last one is its end"""


def matching(pattern: str, enter: Enter, *, links: bool, seen: Iterator[int]) -> Iterator[Names]:
    """What is no folder and fits `pattern`, in no order. `links`: one to a folder is followed, though never by `**`.

    `seen` counts what is looked at. Raises InvalidValue for what is no pattern, and where too much would have to be
    looked at.
    """
    return _Walk(_steps(pattern), enter, seen, links=links).found()


def _steps(pattern: str) -> Names:
    steps = [step for step in pattern.split("/") if step not in ("", ".")]
    if not steps:
        raise InvalidValue("this pattern names no file", "for example teams/*.yaml")
    if any(len(step) > _LONGEST or "\0" in step or _ANY in step != _ANY for step in steps):
        raise InvalidValue("this is not a pattern for file names", "for example teams/*.yaml")
    if len(steps) > MAX_DEPTH:
        raise InvalidValue(f"this pattern has more than {MAX_DEPTH} folders", "for example teams/*.yaml")
    return (steps[0], *(step for before, step in pairwise(steps) if (before, step) != (_ANY, _ANY)))


class _Walk:
    """One walk. A folder is met with all steps of the pattern that may come next in it, so that it is looked at once,
    however many ways of sharing its path out among the `**` lead there."""

    def __init__(self, steps: Names, enter: Enter, seen: Iterator[int], *, links: bool) -> None:
        self._steps, self._enter, self._links, self._seen = steps, enter, links, seen

    def found(self) -> Iterator[Names]:
        todo: list[tuple[Names, Steps]] = [((), self._ready({0}))]
        end = len(self._steps)
        while todo:
            inside, ready = todo.pop()
            for name, folder, link in self._entries(inside, ready):
                after = self._after(ready, name, wide=not (folder and link))
                if not folder and end in after:
                    yield (*inside, name)
                elif folder and after - {end} and (self._links or not link):
                    if len(inside) >= MAX_DEPTH:
                        raise InvalidValue(f"folders lie more than {MAX_DEPTH} deep there", _NEARER)
                    todo.append(((*inside, name), after))

    def _entries(self, inside: Names, ready: Steps) -> Iterator[tuple[str, bool, bool]]:
        """What may fit in a folder: its name, whether it is a folder, and whether it is a link."""
        try:
            number = self._enter(inside)
        except (OSError, ValueError):
            return  # it went, or is not for us to read
        try:
            for name in self._names(number, ready):
                if next(self._seen) >= MAX_SEEN:
                    raise InvalidValue(f"more than {MAX_SEEN:,} files and folders would have to be looked at", _NEARER)
                with suppress(OSError, ValueError):
                    mode = os.stat(name, dir_fd=number, follow_symlinks=False).st_mode
                    link = stat.S_ISLNK(mode)
                    yield name, stat.S_ISDIR(_mode_behind(name, number) if link else mode), link
        finally:
            os.close(number)

    def _names(self, folder: int, ready: Steps) -> Iterator[str]:
        wanted = {step for at in ready for step in self._steps[at : at + 1]}
        if not any(map(WILD.search, wanted)):
            yield from wanted  # what else is there need not be looked at
            return
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if entry.name != ".git")

    def _after(self, ready: Steps, name: str, *, wide: bool) -> Steps:
        """The steps that may come behind `name`. `wide`: it may be one of those that a `**` stands for."""
        after: set[int] = set()
        for at in ready:
            for step in self._steps[at : at + 1]:
                if step == _ANY:
                    after |= {at} if wide else set()
                elif fnmatchcase(name, step):
                    after.add(at + 1)
        return self._ready(after)

    def _ready(self, steps: set[int]) -> Steps:
        """These, and what comes behind each `**`, which may stand for nothing."""
        return frozenset(steps | {at + 1 for at in steps if self._steps[at : at + 1] == (_ANY,)})


def _mode_behind(link: str, folder: int) -> int:
    try:
        return os.stat(link, dir_fd=folder).st_mode
    except OSError:
        return 0  # it leads nowhere: told by whoever reads it


_NEARER: Final = "name the folder in the pattern: teams/*.yaml"
