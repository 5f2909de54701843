"""Where complaints and warnings are handed in while a declaration is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Final

from mailprov.errors import Diagnostic, Origin, SpecError
from mailprov.errors import brief as brief

MAX_COMPLAINTS: Final = 1000
"""complaints after which a table of users is not read any further"""


class InvalidValue(ValueError):
    """A text is not what it should be: `what` is wrong with it, and the `fix`. Its reader adds the place."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def meant(text: str, known: Iterable[str]) -> str:
    """ "did you mean …?", where something known is close. Only the first few thousand are compared."""
    close = get_close_matches(text, list(islice(known, 5000)), 1, 0.7)
    return f"did you mean `{close[0]}`?" if close else ""


def abridged(circle: Sequence[str]) -> list[str]:
    """The stations of a circle, not too many for a message."""
    return list(circle) if len(circle) <= 12 else [*circle[:6], "…", *circle[-5:]]


class Diagnostics:
    """Gathers what there is to say about a declaration, so that everything can be said at once."""

    def __init__(self) -> None:
        self.errors: list[Diagnostic] = []
        self._warnings: list[Diagnostic] = []

    def complain(self, origin: Origin, what: str, fix: str = "") -> None:
        """Hand in something wrong."""
        self.errors.append(Diagnostic(origin, what, fix))

    def refuse(self, origin: Origin, wrong: InvalidValue) -> None:
        """Hand in `wrong`, found at `origin`."""
        self.errors.append(Diagnostic(origin, wrong.what, wrong.fix))

    def stop_when_full(self) -> None:
        """Raise SpecError with everything so far, where there is too much of it to go on."""
        if len(self.errors) >= MAX_COMPLAINTS:
            last = max(diagnostic.origin for diagnostic in self.errors)
            self.complain(last, f"checking stopped after {MAX_COMPLAINTS:,} errors", "correct these first")
            raise SpecError(self.errors)

    def warn(self, origin: Origin, what: str, fix: str = "") -> None:
        """Hand in something allowed that is probably not meant."""
        self._warnings.append(Diagnostic(origin, what, fix))

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Every warning, in file order."""
        return tuple(sorted(self._warnings, key=lambda warning: warning.origin))
