"""Where a host is in a transaction, from what its journal says, and that in words (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mailprov.engine.transaction import Event
from mailprov.model import Step


class Station(StrEnum):
    """The parts of a transaction, as far as they matter to whoever waits for it."""

    BEGINNING = "beginning"
    CHANGING = "changing"
    WAITING = "waiting_for_confirmation"
    CONFIRMED = "confirmed"
    REVERTING = "reverting"
    INCOMPLETE = "revert_incomplete"
    """not everything could be put back yet"""
    UNRECORDED = "unrecorded"
    """the change is in place, but that could not be written down yet"""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is: its station since `since`, and what is known of it.

    `step` is the number of the step that is carried out, 0 outside of steps; `part` what is done there; `until` when it
    stops waiting for a confirmation; `reason` what it said last of what fails; `verdict` how it ended.
    """

    station: Station = Station.BEGINNING
    since: datetime | None = None
    step: int = 0
    part: str = ""
    until: datetime | None = None
    reason: str = ""
    verdict: str = ""


_PARTS = {
    "validate": "running the staged configuration with its own programs, apart from the live service",
    "health": "checking each of its listeners",
}
_TRYING = {"mixed": Station.INCOMPLETE, "unsealed": Station.UNRECORDED}


def place(events: Iterable[Event]) -> Place:
    """Where a journal leaves its host; the journal may lack any event but the last of each name."""
    found, confirmed = Place(), False
    for event in events:
        now = datetime.fromtimestamp(event.seconds, UTC)
        confirmed = confirmed or event.name == "confirmed"
        back = event.name in ("failed", "revert") or (event.name == "settle" and not confirmed)
        if event.name == "verdict":
            station = _TRYING.get(event.text, Station.ENDED)
            since = found.since if found.station is station else now
            step = found.step if station is Station.INCOMPLETE else 0
            found = Place(station, since, step, reason=found.reason, verdict=event.text)
        elif event.name == "says":
            found = replace(found, reason=event.text)
        elif event.name == "stuck":
            found = replace(found, step=_number(event.text))
        elif back and found.station is not Station.REVERTING:
            found = Place(Station.REVERTING, now, reason=found.reason)
        elif event.name in ("confirmed", "settle") and confirmed:
            found = Place(Station.CONFIRMED, now)
        elif event.name == "await":
            seconds = _number(event.text.partition(" ")[0])
            found = Place(Station.WAITING, now, until=now + timedelta(seconds=seconds))
        elif event.name in ("do", *_PARTS) and found.station in (Station.BEGINNING, Station.CHANGING):
            step = _number(event.text) if event.name == "do" else 0
            found = Place(Station.CHANGING, now, step, _PARTS.get(event.name, ""), reason=found.reason)
    return found


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


_ENDED: Mapping[str, str] = {
    "applied": "the change is applied",
    "reverted": "everything was put back",
    "failed": "it failed, and nothing that is served was touched",
}


def words(found: Place, steps: Sequence[Step] = (), *, trying: bool = True) -> str:
    """What a host does there; `steps` are those of its transaction, where they are known; `trying`: it is at work."""
    step = f"step {found.step}"
    if 0 < found.step <= len(steps):
        step = f"step {found.step} of {len(steps)} ({steps[found.step - 1].what})"
    failing = "; ".join(text for text in (step if found.step else "", found.reason) if text)
    because = f"{': goes on trying' if trying else ''}{f': {failing}' if failing else ''}"
    told = {
        Station.BEGINNING: "at its beginning",
        Station.CHANGING: f"at {step}" if found.step else found.part or "between two steps",
        Station.WAITING: f"waiting until {clock(found.until)} for confirmation, then puts everything back",
        Station.CONFIRMED: "confirmed: the change stays, and is being written down",
        Station.REVERTING: f"putting everything back{f' ({found.reason})' if found.reason else ''}",
        Station.INCOMPLETE: f"revert incomplete{because}",
        Station.UNRECORDED: f"the change is in place, but not written down yet{because}",
        Station.ENDED: _ENDED.get(found.verdict, "it did not begin, and nothing was touched"),
    }
    return told[found.station] if trying else _CUT_OFF.get(found.station, told[found.station])


_CUT_OFF: Mapping[Station, str] = {
    Station.WAITING: "while it waited for confirmation",
    Station.CONFIRMED: "after it was confirmed",
    Station.REVERTING: "while everything was put back",
}
"""what is said of a host where nobody is at work any more"""


def clock(when: datetime | None) -> str:
    """A time of day, in UTC."""
    return f"{when:%H:%M:%S}Z" if when else "an unknown time"


def interrupted(events: Sequence[Event], steps: Sequence[Step], confirm_seconds: int) -> str:
    """What becomes of a host that was handed its work, now that nobody here follows it any more."""
    if not events:
        return "it may go on by itself: it was just being handed the work; what is not confirmed, it puts back"
    found = place(events)
    told = words(found, steps)
    if found.station is Station.ENDED:
        return f"it had ended: {told}"
    if found.station in (Station.BEGINNING, Station.CHANGING):
        told += f"; then it waits {confirm_seconds} seconds for a confirmation, and puts everything back without one"
    if found.station is Station.WAITING:
        told += ", unless a confirmation has just reached it"
    if found.station in (Station.INCOMPLETE, Station.UNRECORDED):
        return f"it goes on by itself: {told}"
    return f"it goes on by itself: it is {told}"
