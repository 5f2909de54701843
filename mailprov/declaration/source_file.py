"""A declaration's files: the main one and those that it includes, each read and checked for its shape."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

from mailprov.declaration import schema
from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.files import Surroundings, declaration
from mailprov.declaration.patterns import MAX_SEEN, WILD, Names, matching
from mailprov.declaration.positions import Document, Map, Seq
from mailprov.declaration.schema_check import MAIN, MAX_PROBLEMS, PART, TRUSTED, problems
from mailprov.declaration.schema_messages import Problem
from mailprov.declaration.yamltext import read_on
from mailprov.errors import Diagnostic, Origin, SpecError
from mailprov.model import some

MAX_PARTS: Final = 10_000
"""files that one declaration may include"""
MOST_NEAR = 20_000
"""files and folders that are looked at for what is nearly included"""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a declaration."""

    document: Document
    surroundings: Surroundings
    unusable: frozenset[tuple[str | int, ...]]
    """the paths at or below which the shape is wrong: complained about already, not to be interpreted"""
    format_errors: tuple[Problem, ...]
    """departures from a format, to be told unless whoever interprets the value has told more"""

    @property
    def trusted(self) -> bool:
        """Whether this is the operator's file: the main one, or one that it marks as such."""
        return self.surroundings.trusted

    def origin(self, *path: str | int, of_key: bool = False) -> Origin:
        """The place of what is at `path`."""
        return self.document.origin(path, of_key=of_key)

    def usable(self, *path: str | int) -> bool:
        """Whether what is at `path` has the schema's shape throughout."""
        return path not in self.unusable

    def sound(self, node: Any, *path: str | int) -> dict[str, Any]:
        """Those members of the mapping `node` at `path` that have the schema's shape."""
        return {key: value for key, value in node.items() if (*path, key) not in self.unusable}

    def items(self, key: str) -> Iterator[tuple[int, Any]]:
        """The items of the top-level list `key` with their numbers, usable or not; nothing where there is no list."""
        found = self.document.root.get(key)
        if isinstance(found, Seq):
            yield from enumerate(found)

    def mapping(self, key: str) -> Map:
        """The top-level mapping `key`; empty where there is none."""
        found = self.document.root.get(key)
        return found if isinstance(found, Map) else Map()


@dataclass(frozen=True, slots=True)
class Complete:
    """Whether all that is declared was read: all of it, and all that may say something of hosts."""

    everything: bool
    hosts: bool


def parts(path: Path, near: Surroundings, diagnostics: Diagnostics) -> tuple[list[SourceFile], Complete]:
    """The main file at `path`, then what it includes, in the order of the patterns and then of the names.

    `near` is what the main file may refer to.

    Also says whether that is all of it: an included file that cannot be read is complained about and left out.
    Raises SpecError where the main file is no mailprov file at all; other complaints go to the `diagnostics`.
    """
    unread = set[bool]()
    main = _part(declaration(path, near.root), path, near, diagnostics, MAIN)
    found = [main]
    for file, trusted in _included(main, path, diagnostics):
        if len(diagnostics.errors) >= MAX_PROBLEMS:
            raise SpecError(diagnostics.errors)
        around = replace(near, folder=file.parent, trusted=trusted)
        try:
            found.append(_part(declaration(file, near.root), file, around, diagnostics, TRUSTED if trusted else PART))
        except SpecError as error:
            diagnostics.errors.extend(diagnostic for diagnostic in error.errors if diagnostic not in diagnostics.errors)
            unread.add(trusted)
    unread |= {each.trusted for each in found if each.document.partial}
    return found, Complete(not unread, True not in unread)


def _part(text: str, path: Path, surroundings: Surroundings, diagnostics: Diagnostics, kind: str) -> SourceFile:
    if kind != MAIN and not text.strip():
        text = "{}"
    document = read_on(text, str(path))
    diagnostics.errors.extend(document.faults)
    if not isinstance(document.root, Map):
        raise SpecError([*document.faults, _not_mailprov(document, text)])
    known = schema.document()["properties"]
    if document.root and not any(key in known for key in document.root):
        raise SpecError([*document.faults, *(() if document.doubtful else (_not_mailprov(document, text),))])
    unusable: set[tuple[str | int, ...]] = set()
    format_errors: list[Problem] = []
    found = problems(document.root, kind)
    for problem in found:
        if not problem.grave:
            format_errors.append(problem)
            continue
        diagnostics.complain(document.origin(problem.path, of_key=problem.of_key), problem.what, problem.fix)
        unusable.update(problem.path[:length] for length in range(len(problem.path) + 1))
    if len(found) >= MAX_PROBLEMS:
        diagnostics.complain(
            document.origin(()), f"checking stopped after {MAX_PROBLEMS:,} errors", "correct these first"
        )
        raise SpecError(diagnostics.errors)
    return SourceFile(document, surroundings, frozenset(unusable), tuple(format_errors))


def _not_mailprov(document: Document, text: str) -> Diagnostic:
    what = "this is not a mailprov file"
    fix = "a declaration begins with `mailprov: 1`"
    first = text.removeprefix("\ufeff").lstrip().partition("\n")[0]
    if not first:
        what = "this file is empty"
    elif isinstance(document.root, str) and any(mark in first for mark in ",;\t"):
        what += "; it looks like a table (CSV)"
    elif isinstance(document.root, Seq):
        what += "; it is a list"
    elif document.root is None:
        what = "this file declares nothing"
    return Diagnostic(document.origin(()), what, fix)


def _included(main: SourceFile, path: Path, diagnostics: Diagnostics) -> Iterator[tuple[Path, bool]]:
    """The files that the main file includes, each once, and whether it marks them as the operator's own."""
    own = os.path.realpath(path)
    seen: dict[str, bool] = {own: True}
    looked_at = count()
    patterns: dict[str, Origin] = {}
    for number, item in main.items("include"):
        if not main.usable("include", number):
            continue
        pattern, trusted = (item, False) if isinstance(item, str) else (item["files"], item.get("trusted", False))
        place = main.origin("include", number)
        try:
            files = matches(path.parent, pattern, main.surroundings.root, looked_at)
        except InvalidValue as wrong:
            diagnostics.refuse(place, wrong)
            continue
        patterns.setdefault(pattern, place)
        for file in files:
            if (real := os.path.realpath(file)) in seen:
                if real != own and seen[real] != trusted:
                    what = f"{brief(str(file), 200)} is included twice: as your own (trusted), and as people's"
                    diagnostics.complain(place, what, "write patterns that do not overlap")
                continue
            seen[real] = trusted
            if len(seen) > MAX_PARTS:
                diagnostics.complain(place, f"more than {MAX_PARTS:,} files match", "name fewer")
                return
            yield file, trusted
    _tell_near(path.parent, patterns, main.surroundings.root, seen, diagnostics)


def _tell_near(
    folder: Path, patterns: Mapping[str, Origin], root: Root | None, taken: Iterable[str], diagnostics: Diagnostics
) -> None:
    """Warn of files that are nearly included: by another suffix of YAML, by another case, or a folder deeper."""
    told = {*taken}
    looked_at = count(MAX_SEEN - MOST_NEAR)  # so few, for all patterns
    for pattern, place in patterns.items():
        found: list[Path] = []
        if near := _near(pattern):
            with suppress(InvalidValue):  # it is told where that is too much, or leads elsewhere, for parts only
                found = matches(folder, near, root, looked_at)
        missed = [
            str(file)
            for file in found
            if _SUFFIX.search(file.name) and not file.name.startswith(".") and os.path.realpath(file) not in told
        ]
        if missed:
            told |= {os.path.realpath(file) for file in missed}
            are = "is" if len(missed) == 1 else "are"
            names = some([brief(name, 200) for name in missed], 5)
            what = f"{names} {are} not included: no pattern fits {'its name' if are == 'is' else 'their names'}"
            diagnostics.warn(place, what, "include them, too (`**/` is any folders), or move them elsewhere")


def _near(pattern: str) -> str:
    """A pattern for what somebody may take for a file of `pattern`; "" where that names one file, or is for the folder
    of the main file, where there are others."""
    *folders, last = [step for step in pattern.split("/") if step not in ("", ".")]
    stem, _, suffix = last.rpartition(".")
    if not folders or not _SUFFIX.fullmatch(f".{suffix}") or not WILD.search(stem):
        return ""
    return "/".join((*folders, "**", f"{stem}.[yY]*[mM][lL]"))


_SUFFIX: Final = re.compile(r"\.ya?ml\Z", re.I)


def matches(folder: Path, pattern: str, root: Root | None, looked_at: Iterator[int]) -> list[Path]:
    """The files below `folder` that match, in name order. Raises Wrong where there is none, or one leads elsewhere."""
    if pattern.startswith(("/", "~")) or ".." in pattern.split("/") or "\\" in pattern:
        raise InvalidValue("only files below this file's folder can be included", "write a relative path without `..`")
    enter = root.enter if root else partial(_entered, folder)
    found = matching(pattern, enter, links=root is None, seen=looked_at)
    files = sorted(folder.joinpath(*names) for names in islice(found, MAX_PARTS + 1))
    if not files:
        raise InvalidValue("no file matches", "check the pattern; it is relative to this file")
    if len(files) > MAX_PARTS:
        raise InvalidValue(f"more than {MAX_PARTS:,} files match", "name fewer")
    inside = Path(os.path.realpath(folder))
    for file in files:
        if not Path(os.path.realpath(file)).is_relative_to(inside):
            raise InvalidValue(
                f"{brief(str(file), 200)} leads out of this file's folder", "copy the file, or leave it out"
            )
    return files


def _entered(folder: Path, names: Names) -> int:
    return os.open(folder.joinpath(*names), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
