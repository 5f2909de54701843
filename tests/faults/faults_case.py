"""What a fault is: where it strikes, what it does to a case, and what it leaves to be somebody else's business."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from faults_host import Patient, State
from faults_scenarios import Scenario
from mail_certificates import Certificate

EVERY = os.environ.get("MAILPROV_FAULTS") == "every"
SHORT = 3
"""seconds that a host waits for a confirmation that will not come"""


@dataclass(frozen=True)
class Known:
    """A scenario's two good states, the journal that leads from the one to the other, and what each step does."""

    old: State
    new: State
    journal: tuple[str, ...]
    steps: dict[str, str]
    seconds: float = 0.0
    """how long it takes"""

    def words(self, event: str) -> str:
        """The command of the step that an event is about."""
        kind, _, number = event.partition(" ")
        return self.steps.get(number.partition(" ")[0], "") if kind in ("do", "done", "undone") else ""


@dataclass
class Case:
    """One apply or rollback at its stop: who waits there, in which transaction, at which event.

    A bystander adds to `theirs` what is its own business (patterns of items and lines that are then not compared with
    the two good states), to `lasting` what stays so for good; `down`: some service does not serve, which is no fault of
    ours; `renewed`: the certificate that the host has by now; `unsure`: a plan may show something, or not.
    """

    scenario: Scenario
    patient: Patient
    known: Known
    event: str = ""
    pid: int = 0
    transaction: str = ""
    controller: subprocess.Popen[str] | None = None
    problems: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)
    lasting: list[str] = field(default_factory=list)
    down: bool = False
    unsure: bool = False
    renewed: Certificate | None = None
    others: list[subprocess.Popen[str]] = field(default_factory=list)
    """programs of ours that a bystander has started: they end well, or say whose turn it is"""


def nothing(case: Case) -> None:
    """No act."""


Act = Callable[[Case], None]


@dataclass(frozen=True)
class Fault:
    """`prepare` is done before the apply, `strike` at the stop, `mend` when the controller has ended.

    `at` says where: at each "event" of the journal, at each "step" (each act's beginning, and each station), or at
    each station and the first act of each "kind" (as `put`, `activate dovecot`), since it is the act's kind that
    decides what such a fault does to it. `before` tells the events from which on the fault can do nothing any more: it
    is tried up to the first of them. `patience`: seconds that the host waits for the confirmation. `again`: events
    (patterns) that come after the strike, at each of which it strikes once more. `leaves`: the host is of no use for
    another case. `well`: the transaction ends as if nothing had been.
    `serves`: whoever sends mail meanwhile is to notice nothing.
    """

    name: str
    title: str
    strike: Act
    prepare: Act = nothing
    mend: Act = nothing
    before: Callable[[Scenario, str, str], bool] = lambda scenario, event, words: False
    fits: Callable[[Scenario], bool] = lambda scenario: True
    at: Literal["event", "step", "kind"] = "kind"
    patience: int = 60
    again: tuple[str, ...] = ()
    leaves: bool = False
    well: bool = False
    serves: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def chains(self) -> bool:
        """Whether the host that it has struck is as good as new, where it is in the old state."""
        return not self.leaves and self.prepare is nothing

    def events(self, scenario: Scenario, journal: Sequence[str], words: Callable[[str], str]) -> list[str]:
        """The events of a journal at which it is tried."""
        if not self.fits(scenario):
            return []
        found: list[str] = []
        at = "step" if EVERY and self.at == "kind" else self.at
        kinds: set[str] = set()
        # Of an apply that is refused, what comes before has been tried with the one that is not.
        start = journal.index("failed confirm") if "failed confirm" in journal else 0
        for event in journal[start:]:
            if self.before(scenario, event, words(event)):
                break
            kind = kind_of(words(event)) if event.startswith("do ") else ""
            if at == "event" or not (event.startswith(("done ", "undone ")) or (at == "kind" and kind in kinds)):
                found.append(event)
            kinds |= {kind} - {""}
        return found


def kind_of(words: str) -> str:
    """What sort of act it is: the verb, and what it is given where that is not a path."""
    verb, _, more = words.partition(" ")
    return verb if "/" in more else f"{verb} {more}"
