"""What guides say of providers and is wrong, or no longer so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from mailprov.providers.catalogue import document
from mailprov.providers.plain import plain
from mailprov.providers.words import Words


@dataclass(frozen=True, slots=True)
class Correction:
    """What was `said`, what is `right` instead, `why`, and the id of the provider that it is about."""

    said: str
    right: str
    why: Words
    provider: str

    def __str__(self) -> str:
        return f"`{self.said}`: {self.why.en} Right is: {self.right}"


def corrected(text: str) -> Correction | None:
    """The correction of the first wrong thing that `text` says of a provider; None where it says none.

    Case and width do not matter. A name counts only where it stands by itself: `mail.tenxun.com` in
    `pop3://mail.tenxun.com:110`, and not in `mymail.tenxun.com`.
    """
    found = [
        (match.start(), -len(match[0]), made) for pattern, made in _known() if (match := pattern.search(plain(text)))
    ]
    return min(found, key=lambda each: each[:2])[2] if found else None


@cache
def _known() -> tuple[tuple[re.Pattern[str], Correction], ...]:
    return tuple(
        (_pattern(said), Correction(said, node["right"], Words(node["why"]["en"], node["why"]["zh"]), node["provider"]))
        for node in document()["corrections"]
        for said in node["said"]
    )


def _pattern(said: str) -> re.Pattern[str]:
    """`said` as a whole word. Chinese has no blanks between words, so there nothing need stand around it."""
    wanted = plain(said)
    inside = "[a-z0-9._-]"
    before = rf"(?<!{inside})" if wanted[0].isascii() else ""
    after = r"(?![a-z0-9_-]|\.[a-z0-9])" if wanted[-1].isascii() else ""
    return re.compile(before + re.escape(wanted) + after)
