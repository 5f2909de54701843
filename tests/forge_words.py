"""Conditions and expressions of recipes, as forges read them: GitHub's `${{ … }}` and GitLab's rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>&&|\|\||==|!=|=~|!|\(\)|\(|\))|'(?P<one>[^']*)'|"(?P<two>[^"]*)"|/(?P<pattern>[^/]+)/"""
    r"""|(?P<name>\$?[\w.-]+))"""
)
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")

Look = Callable[[str], Any]


def value(text: str, look: Look) -> Any:
    """What an expression comes to; `look` says what a name means, and what a function such as `always` gives."""
    found = [*_TOKEN.finditer(text.strip())]
    assert "".join(each[0] for each in found) == text.strip(), text
    made = _Reader(found, look)
    result = made.either()
    assert not made.left, text
    return result


def filled(text: str, look: Look) -> str:
    """A text with its `${{ … }}` filled in."""
    return _EXPRESSION.sub(lambda found: _text(value(found[1], look)), text)


def within(text: str) -> str:
    """A condition without the `${{ }}` that it may stand in."""
    whole = _EXPRESSION.fullmatch(text.strip())
    return whole[1] if whole else text


def at(context: Mapping[str, Any], name: str) -> Any:
    """What is at `a.b.c` of nested mappings; "" where nothing is."""
    found: Any = context
    for step in name.split("."):
        found = found.get(step, "") if isinstance(found, Mapping) else ""
    return found


def _text(found: Any) -> str:
    return "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


class _Reader:
    def __init__(self, left: list[re.Match[str]], look: Look) -> None:
        self.left, self.look = left, look

    def _next(self, *marks: str) -> str:
        if self.left and self.left[0]["mark"] in marks:
            return str(self.left.pop(0)["mark"])
        return ""

    def either(self) -> Any:
        found = self._both()
        while self._next("||"):
            other = self._both()
            found = found or other
        return found

    def _both(self) -> Any:
        found = self._compared()
        while self._next("&&"):
            other = self._compared()
            found = found and other
        return found

    def _compared(self) -> Any:
        found = self._one()
        mark = self._next("==", "!=", "=~")
        if not mark:
            return found
        other = self._one()
        if mark == "=~":
            return re.search(other, _text(found)) is not None
        return (_text(found) == _text(other)) == (mark == "==")

    def _one(self) -> Any:
        if self._next("!"):
            return not self._one()
        if self._next("("):
            found = self.either()
            assert self._next(")")
            return found
        token = self.left.pop(0)
        for kind in ("one", "two", "pattern"):
            if token[kind] is not None:
                return token[kind]
        name = token["name"] + self._next("()")
        return self.look(name)
