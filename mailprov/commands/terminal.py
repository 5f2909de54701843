"""Who watches a workflow at a terminal or in a pipeline's log, and answers its questions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from mailprov.commands import console
from mailprov.model import Plan
from mailprov.observer import Begun, Event, Planned, PlannedBack
from mailprov.report import events


@dataclass(slots=True)
class Terminal:
    """Shows what a workflow tells: what was found on stdout (or, with `err`, on stderr), what is done on stderr.

    `details` shows plans in full; `yes` answers every question beforehand.
    """

    details: bool = False
    yes: bool = False
    err: bool = False
    several: bool = field(default=False, init=False)
    """whether this is about several hosts: then only what is not well is told of each step, with the host's name"""
    plans: list[Plan] = field(default_factory=list, init=False)
    """what was found, before anybody was asked"""

    def tell(self, event: Event) -> None:
        """Show `event`."""
        if isinstance(event, Begun):
            self.several = len(event.hosts) != 1
        elif isinstance(event, Planned):
            self.plans = [*event.plans]
        elif isinstance(event, PlannedBack):
            self.plans.append(event.plan)
        lines = events.lines(event, details=self.details, several=self.several)
        console.show(lines, err=self.err or not events.is_result(event, several=self.several))

    def during(self, text: str) -> AbstractContextManager[None]:
        """Show that `text` is under way."""
        return console.doing(text)

    def counting(self, total: int, text: str) -> AbstractContextManager[Callable[[], None]]:
        """Show how many of `total` are done."""
        return console.counting(total, text)

    def agree(self, question: str, where: str, *, act: str, untouched: str = "touched", fix: str = "add --yes") -> None:
        """Ask, unless the answer was given beforehand. Raises ConsentError."""
        if not self.yes:
            console.agree(question, where, act=act, untouched=untouched, fix=fix)
