"""What workflows tell while they are at work: events as data. Who watches decides what is shown; report has the words.

A workflow prints nothing and reads no terminal. It has an `Observer`, and several threads may tell it things at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol

from mailprov.errors import ConsentError, MailprovError
from mailprov.model import Plan

if TYPE_CHECKING:
    from mailprov.checks import Check
    from mailprov.engine.rollout import Result


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong; the error names the host, where it is one's."""

    error: MailprovError


@dataclass(frozen=True, slots=True)
class Planned:
    """What differs on the hosts that were looked at, before anybody is asked."""

    plans: Sequence[Plan]


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one host."""

    result: Result
    expected: bool = False
    """whether something was to be changed there"""
    plan: Plan | None = None
    """what was carried out, where that is known here"""


@dataclass(frozen=True, slots=True)
class PlannedBack:
    """What differs from before the apply `oldest`; `past` says what that was, if a roll-back itself."""

    plan: Plan
    oldest: str
    past: str = ""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A roll-back was carried out, in so many seconds."""

    plan: Plan
    seconds: float


@dataclass(frozen=True, slots=True)
class StepBegun:
    """A host has begun a step of its transaction: `number` of `total`."""

    host: str
    number: int
    total: int
    what: str


@dataclass(frozen=True, slots=True)
class PartBegun:
    """A host's transaction has come to a part that is no step: "validate", "health", "await" or "revert"."""

    host: str
    part: str


@dataclass(frozen=True, slots=True)
class Complaints:
    """What a client found on a host that waits for its confirmation; only what is not well matters."""

    host: str
    checks: Sequence[Check]


@dataclass(frozen=True, slots=True)
class NotConfirmed:
    """A host could not be confirmed; it puts everything back by itself."""

    host: str
    error: MailprovError


@dataclass(frozen=True, slots=True)
class SettledFirst:
    """An apply that was cut off has been settled on a host; `plan` is what is to be done there now."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Begun:
    """What follows is about these hosts; it may be none."""

    hosts: Sequence[str]


@dataclass(frozen=True, slots=True)
class BatchBegun:
    """These hosts are changed now."""

    hosts: Sequence[str]


@dataclass(frozen=True, slots=True)
class StillAtWork:
    """Somebody interrupted: `count` hosts are waited for; `lines` says what those do that have said something."""

    count: int
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class PasswordsOverdue:
    """`count` generated passwords are kept in `where` longer than they should be, the first of them since `until`."""

    count: int
    where: str
    until: date


@dataclass(frozen=True, slots=True)
class PasswordsUnreadable:
    """The folder with generated passwords cannot be read."""

    error: MailprovError


@dataclass(frozen=True, slots=True)
class PasswordsLost:
    """Whose generated passwords nobody keeps after a roll-back."""

    addresses: Sequence[str]


@dataclass(frozen=True, slots=True)
class PasswordsKept:
    """`count` generated passwords wait in `where`; of `unsure` of them it is not known whether a host took them."""

    count: int
    unsure: int
    where: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to know that ends nothing."""

    text: str


Event = (
    Failed
    | Planned
    | Ended
    | PlannedBack
    | RolledBack
    | StepBegun
    | PartBegun
    | Complaints
    | NotConfirmed
    | SettledFirst
    | Begun
    | BatchBegun
    | StillAtWork
    | PasswordsOverdue
    | PasswordsUnreadable
    | PasswordsLost
    | PasswordsKept
    | Remark
)


class Observer(Protocol):
    """Who watches a workflow, and who is asked."""

    def tell(self, event: Event) -> None:
        """Take notice of `event`."""

    def during(self, text: str) -> AbstractContextManager[None]:
        """Show that `text` ("looking at mail1") is under way until the block ends."""

    def counting(self, total: int, text: str) -> AbstractContextManager[Callable[[], None]]:
        """Show how many of `total` are done; gives a function to call when one more is."""

    def agree(self, question: str, where: str, *, act: str, untouched: str = "touched", fix: str = "add --yes") -> None:
        """Ask before something is `act` ("applied"). Raises ConsentError where nobody is there, or says no."""


class Unobserved:
    """Nobody watches, and nobody is there to be asked."""

    def tell(self, event: Event) -> None:
        """Nothing."""

    def during(self, text: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def counting(self, total: int, text: str) -> AbstractContextManager[Callable[[], None]]:
        """Nothing."""
        return nullcontext(lambda: None)

    def agree(self, question: str, where: str, *, act: str, untouched: str = "touched", fix: str = "add --yes") -> None:
        """Raises ConsentError."""
        raise ConsentError(f"there is nobody to ask; nothing was {untouched}", where=where, fix=fix)
