"""Every error that mailprov raises on purpose.

MailprovError                 exit 1
├── SpecError                 exit 3   the YAML is invalid (holds every complaint, each with its place)
│   └── ExpectationsError     exit 3   so is that of `mailprov test`
├── FileError                 exit 3   a file of this machine is not what it should be, or cannot be read or written
├── KeptPlanError             exit 3   a file that should hold a kept plan does not, or not as it was written
├── ConnectError              exit 1   no session with the host (name, route, key, host key, sudo)
├── HostError                 exit 1   the host answered, but not as a Debian mail host would
├── InterruptionError         exit 1   Ctrl-C or SIGTERM during an apply: says what each host does now
├── StalePlanError            exit 4   the plan is not what declaration and host give now; nothing was touched
├── MovedError                exit 9   applied and confirmed, and changed by somebody else meanwhile
├── ConsentError              exit 5   the plan is unsafe without an explicit consent, or was answered with no
├── RevertedError             exit 6   applied, found wanting, and put back
├── LockedError               exit 8   another apply holds the host's lock
├── VerifyError               exit 9   the host does not serve what was declared
└── LabError                  exit 1   a disposable host could not be made (mailprov.lab)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Exit(IntEnum):
    """The exit codes of every verb; the table in README.md is this one."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    INVALID = 3
    STALE = 4
    UNSAFE = 5
    REVERTED = 6
    PARTIAL = 7
    LOCKED = 8
    UNVERIFIED = 9


def brief(text: str, limit: int = 80) -> str:
    """`text`, short enough for a message and without anything that could move a terminal's cursor."""
    clean = visible(text[: limit + 1])
    return clean if len(text) <= limit else clean[: limit - 1] + "…"


def visible(name: object) -> str:
    """`name` in one line, without anything that could move a terminal's cursor: a file may be called anything."""
    text = str(name)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


class MailprovError(Exception):
    """An error that a user can act on.

    `what` went wrong, `where` (host, file:line:column, item), `why`, and the `fix`: what to do next.
    """

    exit = Exit.ERROR

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix
        self.host = ""
        """the declared host that it is about; "" where it is about none"""

    def at(self, host: str) -> None:
        """Say which host this is about, unless it says so already."""
        self.host = self.host or host
        self.where = self.where or host

    def __str__(self) -> str:
        head = f"{visible(self.where)}: {self.what}" if self.where else self.what
        return "\n".join([head, *(f"  {label}: {text}" for label, text in self._notes() if text)])

    def _notes(self) -> tuple[tuple[str, str], ...]:
        return (("why", self.why), ("to do", self.fix))


class Origin(NamedTuple):
    """A place in a declaration file; line and column count from 1. There may be one for each of 100,000 users."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{visible(self.file)}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong with the declaration: where, what, and what would be right."""

    origin: Origin
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.what}" + (f"\n  to do: {self.fix}" if self.fix else "")

    @property
    def warning(self) -> str:
        """It in one line, where it is no error."""
        return f"{self.origin}: {self.what}" + (f" ({self.fix})" if self.fix else "")


class SpecError(MailprovError):
    """The declaration is invalid; `errors` holds every reason, `warnings` what is doubtful beside, in file order."""

    exit = Exit.INVALID
    whole = "the declaration"

    def __init__(self, errors: Sequence[Diagnostic], warnings: Sequence[Diagnostic] = ()) -> None:
        self.errors = tuple(sorted(errors, key=lambda diagnostic: diagnostic.origin))
        self.warnings = tuple(warnings)
        count = len(self.errors)
        super().__init__(f"{count} error{'s' if count != 1 else ''} in {self.whole}")

    def __str__(self) -> str:
        return "\n".join([*map(str, self.errors), self.what])


class ExpectationsError(SpecError):
    """A file of expectations is invalid, as a declaration is."""

    whole = "the expectations"


class FileError(MailprovError):
    """A file of this machine cannot be read or written: since there is none (`absent`), or it may not be (`denied`)."""

    exit = Exit.INVALID

    def __init__(
        self, what: str, *, where: str = "", why: str = "", fix: str = "", absent: bool = False, denied: bool = False
    ) -> None:
        super().__init__(what, where=where, why=why, fix=fix)
        self.absent, self.denied = absent, denied


class KeptPlanError(MailprovError):
    """A file is no kept plan of this version, or not to the letter as it was written."""

    exit = Exit.INVALID


class ConnectError(MailprovError):
    """No usable session with the host could be made."""


class HostError(MailprovError):
    """The host could be reached, but cannot be read or changed as asked."""


class UndecidedError(HostError):
    """The work was handed over, and the host has not said how it ended, or has not ended it yet."""


class InterruptionError(MailprovError):
    """Somebody interrupted this program; `what` says what each host does that was at work."""


class StalePlanError(MailprovError):
    """The plan is not what the declaration and the host give now; nothing was touched.

    `settled`: because an apply that was cut off has been settled first.
    """

    exit = Exit.STALE
    settled = False


class MovedError(MailprovError):
    """What was asked for was done and confirmed; by now somebody else has changed some of it."""

    exit = Exit.UNVERIFIED


class ConsentError(MailprovError):
    """The plan does something dangerous that was not consented to."""

    exit = Exit.UNSAFE


class RevertedError(MailprovError):
    """The change was applied, failed its checks, and the former state was put back."""

    exit = Exit.REVERTED


class LockedError(MailprovError):
    """Another apply holds the host's lock."""

    exit = Exit.LOCKED


class VerifyError(MailprovError):
    """The host does not serve what was declared; `what` names the failing step."""

    exit = Exit.UNVERIFIED


def locked(where: str, holder: str) -> LockedError:
    """The error of a host on which somebody else's apply is at work; `holder` says whose."""
    fix = "wait for it to end (`mailprov status` says until when it waits), then run this again"
    return LockedError("another apply is at work on this host", where=where, why=holder, fix=fix)
