"""For a terminal: lines with a style each, so that colour is decided where they are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mailprov.model import Action, Change, Plan, Reason
from mailprov.report import effects, printable
from mailprov.resources import accounts, maps
from mailprov.verify import Check


class Line(NamedTuple):
    """One line and its style: head, add, change, remove, warn, good, bad, dim or "" (plain)."""

    text: str
    style: str = ""


_MARK: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "add"),
    Action.UPDATE: ("~", "change"),
    Action.REMOVE: ("-", "remove"),
}
_TABLES = (accounts.KIND, maps.KIND)


def plan(made: Plan, *, details: bool = False) -> list[Line]:
    """A plan: a line a change, with the diff of each changed file; `details` adds new files and every name."""
    lines = [Line(f"{made.host}  (Debian {made.facts.release}, Dovecot {made.facts.dovecot})", "head")]
    lines += [Line(f"  ! {printable(warning)}", "warn") for warning in made.warnings]
    if made.empty:
        return [*lines, Line("  no changes: the host is as declared", "good")]
    width = min(48, max(len(str(change.key)) for change in made.changes))
    for change in made.changes:
        lines.extend(_change(change, width, details))
    lines.append(Line(f"  effect on services: {effects(made)}", "dim"))
    return lines


def _change(change: Change, width: int, details: bool) -> list[Line]:
    mark, style = _MARK[change.action]
    reason = "" if change.reason is Reason.PENDING else f"  [{change.reason.value}]"
    lines = [Line(f"  {mark} {change.key!s:<{width}}  {printable(change.summary)}{reason}", style)]
    if details or (change.action is Action.UPDATE and change.key.kind not in _TABLES):
        lines.extend(Line(f"      {printable(row)}", _diff_style(row)) for row in change.detail)
    elif change.detail and change.key.kind in _TABLES:
        lines[0] = Line(lines[0].text + "  (--details names them)", style)
    return lines


def _diff_style(row: str) -> str:
    return {"+": "add", "-": "remove", "~": "change"}.get(row[:1], "dim")


def total(plans: Sequence[Plan]) -> Line:
    """The last line: how much changes where, told as pending and drift."""
    changed = [made for made in plans if not made.empty]
    if not changed:
        return Line(f"No changes on {_hosts(len(plans))}.", "good")
    every = [change for made in changed for change in made.changes]
    drift = sum(change.reason is not Reason.PENDING for change in every)
    counts = {action: sum(change.action is action for change in every) for action in Action}
    text = ", ".join(f"{count} to {action.value}" for action, count in counts.items() if count)
    tail = f"; {drift} of them drift (changed on the host)" if drift else ""
    return Line(f"Plan: {text} on {_hosts(len(changed))}{tail}.", "head")


def _hosts(count: int) -> str:
    return f"{count} host{'' if count == 1 else 's'}"


def check(made: Check) -> Line:
    """One step of a verification."""
    word, style = ("ok", "good") if made.ok else ("WARN", "warn") if made.warns else ("FAIL", "bad")
    place = f"{made.endpoint.protocol} {made.endpoint.port}"
    text = f"  {word:<4} {place:<15} {made.step:<24} {made.seconds * 1000:6.0f} ms  {printable(made.detail)}"
    return Line(text.rstrip(), style)
