"""What workflows tell while they are at work, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from mailprov import observer as told
from mailprov.engine.rollout import HostStatus
from mailprov.model import Plan, some
from mailprov.observer import Event
from mailprov.report import effects, text
from mailprov.report.text import Line


def is_result(event: Event, *, several: bool = False) -> bool:
    """Whether this is what a command was asked for, and not only on the way to it."""
    if isinstance(event, told.Ended):
        return not several and event.result.error is None
    return isinstance(event, told.Planned | told.PlannedBack | told.RolledBack)


_PARTS = {
    "validate": "running the staged configuration with the host's own programs, apart from the live service",
    "health": "checking each listener on the host",
    "await": "looking at the host over a new connection",
    "revert": "something failed: putting everything back",
}


def lines(event: Event, *, details: bool = False, several: bool = False) -> Sequence[Line]:
    """What is shown of `event`; among `several` hosts no step of any, and of each only what is not well."""
    match event:
        case told.StepBegun() | told.PartBegun() if several:
            return ()
        case told.StepBegun():
            return [Line(f"  {event.number:>3}/{event.total} {event.what}", "dim")]
        case told.PartBegun():
            return [Line(f"  {_PARTS[event.part]}", "dim")]
        case told.Complaints():
            return _of(event.host, text.problems(event.checks), several)
        case told.NotConfirmed():
            what = f"  not confirmed ({event.error.what}); the host puts everything back by itself"
            return _of(event.host, [Line(what, "warn")], several)
        case told.Ended():
            return _ended(event) if several else _ended_alone(event)
        case told.Failed():
            return [Line(f"Error: {event.error}", "bad")]
        case told.Planned():
            return text.plans(event.plans, details=details)
        case told.PlannedBack():
            return _planned_back(event, details)
        case told.RolledBack():
            return [_done("rolled back", event.plan, event.seconds)]
        case _:
            return _remarks(event, several)


def _of(host: str, found: Sequence[Line], several: bool) -> Sequence[Line]:
    return [Line(f"  {host}: {line.text.strip()}", line.style) for line in found] if several else found


def _ended(event: told.Ended) -> Sequence[Line]:
    result, name = event.result, event.result.host
    if result.error is not None:
        return [Line(f"  {name}: {result.status}", "bad"), Line(f"Error: {result.error}", "bad")]
    if result.status is HostStatus.APPLIED:
        return [Line(f"  {name}: applied in {result.seconds:.1f} s", "good")]
    return [Line(f"  {name}: {_UNCHANGED}", "good")] if event.expected else ()


_UNCHANGED = "unchanged, it is as declared already"


def _ended_alone(event: told.Ended) -> Sequence[Line]:
    """Of a lone host, whose name is known and whose plan was shown."""
    if event.result.error is not None:
        return [Line(f"Error: {event.result.error}", "bad")]
    if event.result.status is HostStatus.APPLIED:
        return [_done("applied", event.plan, event.result.seconds)]
    return [Line(f"  {_UNCHANGED}", "good")] if event.expected else ()


def _planned_back(event: told.PlannedBack, details: bool) -> Sequence[Line]:
    again = f" (itself a {event.past})" if event.past else ""
    unchanged = f"no changes: it is as it was before {event.oldest}"
    found = text.plan(event.plan, details=details, unchanged=unchanged)
    return [Line(f"{event.plan.host}  back to before {event.oldest}{again}", "head"), *found[1:]]


def _done(word: str, plan: Plan | None, seconds: float) -> Line:
    return Line(f"  {word} in {seconds:.1f} s{f'; {effects(plan)}' if plan else ''}", "good")


def _remarks(event: Event, several: bool) -> Sequence[Line]:
    match event:
        case told.Begun():
            return () if event.hosts else [Line("nothing to do: it is for no host", "warn")]
        case told.BatchBegun():
            return [Line(f"now {some(event.hosts, 8)}", "head")] if several else ()
        case told.SettledFirst():
            what = "an apply that was cut off has been settled first; what is left to do:"
            return [Line(f"  {event.plan.host}: {what}", "warn"), *text.plan(event.plan)[1:]]
        case told.StillAtWork():
            head = f"interrupted: nothing more is begun; waiting for {event.count} at work"
            tail = "interrupt again to leave them: what is not confirmed then, its host puts back"
            return [Line(each, "warn") for each in (head, *(f"  {line}" for line in event.lines), tail)]
        case told.Remark():
            return [Line(event.text, "warn")]
        case told.PasswordsUnreadable():
            return [Line(f"! {event.error}", "warn")]
        case told.PasswordsOverdue():
            kept = f"{_passwords(event.count)} in {event.where} should have gone by {event.until}"
            return [Line(f"! {kept}: once handed out, `mailprov handout purge`", "warn")]
        case told.PasswordsLost():
            return [Line(f"  ! generated passwords that nobody keeps after this: {some(event.addresses)}", "warn")]
        case told.PasswordsKept():
            return _kept(event)
        case _:
            return ()


def _kept(event: told.PasswordsKept) -> Sequence[Line]:
    unsure = f"  of {event.unsure:,} of them it is not known whether a host took them"
    next_ = f"  {_passwords(event.count)} to hand out in {event.where}; next: `mailprov handout list`"
    return [Line(next_, "head"), *([Line(unsure, "warn")] if event.unsure else [])]


def _passwords(count: int) -> str:
    return f"{count:,} password{'' if count == 1 else 's'}"
