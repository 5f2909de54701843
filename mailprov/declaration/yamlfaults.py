"""What is wrong with a text that is no YAML, and what to try."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

import yaml

from mailprov.errors import Diagnostic, Origin

MAX_COMPLAINTS: Final = 100
"""complaints about one text before reading stops"""

MAX_DEPTH: Final = 64
"""levels of nesting, aliases followed"""

TOO_DEEP: Final = (f"nested more than {MAX_DEPTH} levels deep", "a declaration needs fewer than ten")


_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
STAND_IN: Final = "\ufffd"
"""what is read in place of a character that no declaration may hold"""


def without_unwanted(text: str) -> str:
    """`text`, as long as before, without the characters that `unwanted` complains about."""
    return _CONTROL.sub(STAND_IN, text)


def unwanted(text: str, file: str) -> Iterator[Diagnostic]:
    """Complaints about characters that no declaration may hold (YAML 1.2 §5.1, and those that hide text)."""
    for found in islice(_CONTROL.finditer(text), MAX_COMPLAINTS):
        start = text.rfind("\n", 0, found.start()) + 1
        line = text.count("\n", 0, start) + 1
        yield Diagnostic(
            Origin(file, line, found.start() - start + 1),
            f"the invisible character U+{ord(found[0]):04X} is not allowed here",
            "delete it",
        )


def syntax(error: yaml.YAMLError, text: str, file: str) -> Diagnostic:
    """The complaint about a text that is no YAML."""
    problem = getattr(error, "problem", None) or "it cannot be read"
    begun, seen = getattr(error, "context_mark", None), getattr(error, "problem_mark", None)
    # Where a quotation mark is not closed, libyaml sees that at the end of the file, far from it.
    mark = begun if begun and "unexpected end of stream" in problem else seen or begun
    line, column = (mark.line, mark.column) if mark else (0, 0)
    if "exceeded maximum nesting depth" in problem:  # newer libyaml has a limit of its own, and looks ahead
        return Diagnostic(Origin(file, line + 1, column + 1), *TOO_DEEP)
    context = getattr(error, "context", None)
    lines = text.splitlines()
    here = lines[line] if line < len(lines) else ""
    what = f"not valid YAML: {problem}" + (f" {context}" if context else "")
    around = {line - 1, line, begun.line if begun else line}
    wide = _wide({number: lines[number] for number in sorted(around) if 0 <= number < len(lines)})
    return Diagnostic(Origin(file, line + 1, column + 1), what, wide or _advice(here, column, problem))


_WIDE: Final = dict(zip("：，｛｝［］＂“”‘’\u3000", (*':,{}[]"""\'\'', "a blank"), strict=True))
"""what an input method for Chinese or Japanese writes in place of what YAML knows"""


def _wide(lines: Mapping[int, str]) -> str:
    for number, text in lines.items():
        for column, char in enumerate(text):
            if char in _WIDE:
                return f"the `{char}` at {number + 1}:{column + 1} means nothing to YAML: write {_WIDE[char]}"
    return ""


_UNQUOTED_HASH: Final = re.compile(r"\{[A-Za-z0-9-]+\}\$?")


def _advice(here: str, column: int, problem: str) -> str:
    """What to try about a line that libyaml rejects."""
    if "\t" in here[: column + 1]:
        return "indent with spaces; YAML allows no tabs there"
    if _UNQUOTED_HASH.search(here):
        return "put the password hash in quotes: a `{` at the beginning means a mapping to YAML"
    if "mapping values are not allowed" in problem:
        return "put a text that holds `: ` in quotes, or check the indentation"
    if "could not find expected ':'" in problem:
        return "a key needs `: ` behind it; check the line above, too"
    if "that cannot start any token" in problem:
        return "put a text that begins with @, ` or % in quotes"
    return "check the indentation, quotes and brackets here and in the line above"
