"""Where complaints and warnings are handed in while a declaration is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Final

from mailprov.errors import Complaint, Origin, SpecError

MAX_COMPLAINTS: Final = 1000
"""complaints after which a table of users is not read any further"""


class Wrong(ValueError):
    """A text is not what it should be: `what` is wrong with it, and the `cure`. Its reader adds the place."""

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure


def brief(text: str, limit: int = 80) -> str:
    """`text`, short enough for a message and without anything that could move a terminal's cursor."""
    clean = text[: limit + 1]
    if not clean.isprintable():
        clean = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in clean)
    return clean if len(text) <= limit else clean[: limit - 1] + "…"


def meant(text: str, known: Iterable[str]) -> str:
    """ "did you mean …?", where something known is close. Only the first few thousand are compared."""
    close = get_close_matches(text, list(islice(known, 5000)), 1, 0.7)
    return f"did you mean `{close[0]}`?" if close else ""


def abridged(circle: Sequence[str]) -> list[str]:
    """The stations of a circle, not too many for a message."""
    return list(circle) if len(circle) <= 12 else [*circle[:6], "…", *circle[-5:]]


class Desk:
    """Gathers what there is to say about a declaration, so that everything can be said at once."""

    def __init__(self) -> None:
        self.complaints: list[Complaint] = []
        self._warnings: list[Complaint] = []

    def complain(self, origin: Origin, what: str, cure: str = "") -> None:
        """Hand in something wrong."""
        self.complaints.append(Complaint(origin, what, cure))

    def refuse(self, origin: Origin, wrong: Wrong) -> None:
        """Hand in `wrong`, found at `origin`."""
        self.complaints.append(Complaint(origin, wrong.what, wrong.cure))

    def stop_when_full(self) -> None:
        """Raise SpecError with everything so far, where there is too much of it to go on."""
        if len(self.complaints) >= MAX_COMPLAINTS:
            last = max(complaint.origin for complaint in self.complaints)
            self.complain(last, f"checking stopped after {MAX_COMPLAINTS:,} errors", "correct these first")
            raise SpecError(self.complaints)

    def warn(self, origin: Origin, what: str, cure: str = "") -> None:
        """Hand in something allowed that is probably not meant."""
        self._warnings.append(Complaint(origin, what, cure))

    def warnings(self) -> tuple[str, ...]:
        """Every warning with its place, in file order."""
        ordered = sorted(self._warnings, key=lambda warning: warning.origin)
        return tuple(f"{w.origin}: {w.what}" + (f" ({w.cure})" if w.cure else "") for w in ordered)
