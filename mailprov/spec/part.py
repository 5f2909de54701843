"""A declaration's files: the main one and those that it includes, each read and checked for its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mailprov import schema
from mailprov.errors import Complaint, Origin, SpecError
from mailprov.spec.desk import Desk, Wrong, brief
from mailprov.spec.files import Surroundings, declaration
from mailprov.spec.places import Document, Map, Seq
from mailprov.spec.shape import MAX_PROBLEMS, problems
from mailprov.spec.wording import Problem
from mailprov.spec.yamltext import read

MAX_PARTS: Final = 10_000
"""files that one declaration may include"""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a declaration."""

    document: Document
    surroundings: Surroundings
    unusable: frozenset[tuple[str | int, ...]]
    """the paths at or below which the shape is wrong: complained about already, not to be interpreted"""
    slips: tuple[Problem, ...]
    """departures from a format, to be told unless whoever interprets the value has told more"""

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


def parts(path: Path, environ: Mapping[str, str], desk: Desk) -> tuple[list[Part], bool]:
    """The main file at `path`, then what it includes, in the order of the patterns and then of the names.

    Also says whether that is all of it: an included file that cannot be read is complained about and left out.
    Raises SpecError where the main file is no mailprov file at all; other complaints go to the `desk`.
    """
    complete = True
    main = _part(declaration(path), path, Surroundings(path.parent, environ), desk, included=False)
    found = [main]
    for file in _included(main, path, desk):
        if len(desk.complaints) >= MAX_PROBLEMS:
            raise SpecError(desk.complaints)
        try:
            found.append(_part(declaration(file), file, Surroundings(file.parent, environ), desk, included=True))
        except SpecError as error:
            desk.complaints.extend(complaint for complaint in error.complaints if complaint not in desk.complaints)
            complete = False
    return found, complete


def _part(text: str, path: Path, surroundings: Surroundings, desk: Desk, *, included: bool) -> Part:
    if included and not text.strip():
        text = "{}"
    document = read(text, str(path))
    if not isinstance(document.root, Map):
        raise SpecError([_not_mailprov(document, text)])
    known = schema.document()["properties"]
    if document.root and not any(key in known for key in document.root):
        raise SpecError([_not_mailprov(document, text)])
    unusable: set[tuple[str | int, ...]] = set()
    slips: list[Problem] = []
    found = problems(document.root, part=included)
    for problem in found:
        if not problem.grave:
            slips.append(problem)
            continue
        desk.complain(document.origin(problem.path, of_key=problem.of_key), problem.what, problem.cure)
        unusable.update(problem.path[:length] for length in range(len(problem.path) + 1))
    if len(found) >= MAX_PROBLEMS:
        desk.complain(document.origin(()), f"checking stopped after {MAX_PROBLEMS:,} errors", "correct these first")
        raise SpecError(desk.complaints)
    return Part(document, surroundings, frozenset(unusable), tuple(slips))


def _not_mailprov(document: Document, text: str) -> Complaint:
    what = "this is not a mailprov file"
    cure = "a declaration begins with `mailprov: 1`"
    first = text.removeprefix("\ufeff").lstrip().partition("\n")[0]
    if not first:
        what = "this file is empty"
    elif isinstance(document.root, str) and any(mark in first for mark in ",;\t"):
        what += "; it looks like a table (CSV)"
    elif isinstance(document.root, Seq):
        what += "; it is a list"
    elif document.root is None:
        what = "this file declares nothing"
    return Complaint(document.origin(()), what, cure)


def _included(main: Part, path: Path, desk: Desk) -> Iterator[Path]:
    """The files that the main file includes, each once."""
    seen = {path.resolve()}
    for number, pattern in main.items("include"):
        if not main.usable("include", number):
            continue
        try:
            files = _matches(path.parent, pattern)
        except Wrong as wrong:
            desk.refuse(main.origin("include", number), wrong)
            continue
        for file in files:
            if (real := file.resolve()) in seen:
                continue
            seen.add(real)
            if len(seen) > MAX_PARTS:
                desk.complain(main.origin("include", number), f"more than {MAX_PARTS:,} files match", "name fewer")
                return
            yield file


def _matches(folder: Path, pattern: str) -> list[Path]:
    """The files below `folder` that match, in name order. Raises Wrong where there is none, or one leads elsewhere."""
    steps = [step for step in pattern.split("/") if step not in ("", ".")]
    if pattern.startswith(("/", "~")) or ".." in steps or "\\" in pattern:
        raise Wrong("only files below this file's folder can be included", "write a relative path without `..`")
    if not steps:
        raise Wrong("this pattern names no file", "for example teams/*.yaml")
    try:
        found = sorted(file for file in folder.glob("/".join(steps)) if not file.is_dir())
    except (ValueError, IndexError, NotImplementedError, OSError, RecursionError):
        raise Wrong("this is not a pattern for file names", "for example teams/*.yaml") from None
    if not found:
        raise Wrong("no file matches", "check the pattern; it is relative to this file")
    inside = folder.resolve()
    for file in found:
        if not file.resolve().is_relative_to(inside):
            raise Wrong(f"{brief(str(file), 200)} leads out of this file's folder", "copy the file, or leave it out")
    return found
