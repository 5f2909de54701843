"""What becomes of incoming mail: the `incoming` and the `sieve` of a level, and what they make of a host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.settings import BEFORE, DMARC, SIEVE, Key, Layer, Path, Source
from mailprov.declaration.source_file import SourceFile
from mailprov.errors import Origin
from mailprov.model import Incoming, Sieve

MAX_SCRIPT: Final = 256 * 1024
"""bytes of a Sieve script"""


def said(source_file: SourceFile, path: Path, node: Any, diagnostics: Diagnostics) -> Iterator[tuple[Key, Any]]:
    """What `sieve` at `path` says: true, false, or what is beside users' own scripts, which run then, too."""
    if isinstance(node, bool):
        yield SIEVE, node
    elif isinstance(node, Mapping):
        yield SIEVE, True
        if "before" in node:
            given = node["before"]
            where = (*path, "sieve", "before")
            if given is True:
                what, fix = "which script is to run first is not said", "for example {file: scripts/junk.sieve}"
                diagnostics.complain(source_file.origin(*where), what, fix)
            yield BEFORE, Source(source_file, where, given) if isinstance(given, Mapping) else None


def incoming(merged: Layer) -> Incoming:
    """What the host of a merged layer does with mail that fails DMARC."""
    found = merged.settings[DMARC][-1]
    return Incoming(found.value, declared=found.origin is not None)


class Scripts:
    """What hosts get of it. Each script is read once, however many hosts share it."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.known: dict[Origin, str] = {}

    def of(self, merged: Layer) -> Sieve:
        """What the host of a merged layer has."""
        source = merged.value(*BEFORE)
        on = merged.value(*SIEVE)
        return Sieve(on, self._text(source) if on and source is not None else "")

    def _text(self, source: Source) -> str:
        if source.origin not in self.known:
            self.known[source.origin] = ""
            try:
                self.known[source.origin] = _script(source)
            except InvalidValue as wrong:
                self.diagnostics.refuse(source.origin, wrong)
        return self.known[source.origin]


def _script(source: Source) -> str:
    text = source.source_file.surroundings.public(source.node, MAX_SCRIPT)
    name = brief(source.node["file"], 200)
    if not text.strip():
        raise InvalidValue(f"{name} is empty", "write a Sieve script there, or leave `before` out")
    for number, line in enumerate(text.split("\n"), 1):
        if any(char < " " and char not in "\t\r" for char in line):
            raise InvalidValue(f"line {number} of {name} has a control character", "check that it is a Sieve script")
    return text if text.endswith("\n") else f"{text}\n"
