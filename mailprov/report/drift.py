"""What hosts changed since the last apply: for a terminal, and for pull requests. As JSON: report/json.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailprov.engine.drift import Drift, Drifted
from mailprov.errors import MailprovError
from mailprov.model import Ignore, Reason, some
from mailprov.model.deltas import SHOWN
from mailprov.report import markdown, printable
from mailprov.report.text import TABLES, Line, changed, grouped, width

_BOTH = "the declaration changed it, too"


def text(found: Sequence[Drift], *, details: bool = False) -> list[Line]:
    """What each host changed, with what an apply would do about it; hosts with the same lines share them.

    `details` adds new files, every name, and since when.
    """
    return grouped((each.host, f"  since {each.since}" if details else "", _body(each, details)) for each in found)


def _body(made: Drift, details: bool) -> Iterator[Line]:
    yield from (Line(f"  ! {printable(warning)}", "warn") for warning in made.warnings)
    noise = [each for each in made.found if each.ignored is not None]
    wide = width(each.change for each in made.found)
    if made.counted:
        yield Line("  changed here since the last apply; what an apply would do about it:", "dim")
        for each in made.counted:
            yield from _lines(each, wide, details)
    else:
        untouched = "" if made.settled else ": nothing was changed here since the last apply"
        yield Line(f"  no drift{' but what is ignored' if noise else untouched}", "good")
    if noise:
        yield Line("  ignored, as declared:", "dim")
        for each in noise:
            yield from _lines(each, wide, details)
    if made.settled:
        names = some([printable(str(key)) for key in made.settled], 5)
        yield Line(f"  changed here to what is declared by now, so that nothing is to be done: {names}", "dim")
    if made.pending:
        yield Line(f"  {_count(made.pending, 'change')} of the declaration pending: see `mailprov plan`", "dim")


def _lines(each: Drifted, wide: int, details: bool) -> list[Line]:
    """Of a table some rows are named without being asked for: mostly that is all."""
    few = each.change.key.kind in TABLES and len(each.change.detail) <= SHOWN
    return changed(each.change, wide, _behind(each), details=details or few)


def _behind(each: Drifted) -> str:
    words = [_BOTH] if each.change.reason is Reason.BOTH else []
    words += [_why(each.ignored)] if each.ignored else []
    return f"  [{printable('; '.join(words))}]" if words else ""


def _why(rule: Ignore) -> str:
    place = f"{rule.origin}" if rule.origin else ""
    return ": ".join(word for word in (place, rule.reason or "ignored") if word)


def total(found: Sequence[Drift]) -> Line:
    """The last line: how much drifted where, and how much of it is ignored."""
    drifted = [each for each in found if each.counted]
    noise = sum(each.ignored is not None for one in found for each in one.found)
    tail = f"; {_count(noise, 'change')} ignored" if noise else ""
    if not drifted:
        return Line(f"No drift on {_count(len(found), 'host')}{tail}.", "good")
    count = sum(len(each.counted) for each in drifted)
    return Line(f"Drift: {_count(count, 'change')} on {_count(len(drifted), 'host')}{tail}.", "head")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def as_markdown(found: Sequence[Drift], failures: Sequence[MailprovError] = ()) -> str:
    """What each host changed, and of which this cannot be told."""
    cell = markdown.cell
    parts = [f"### mailprov: {total(found).text}"]
    told = (f"{each.where}: {each.what}" + (f" ({each.why})" if each.why else "") for each in failures)
    parts.extend(f"- ❌ {cell(each)}" for each in told)
    for made in found:
        parts.append(f"#### {cell(made.host)}")
        parts.extend(f"- ⚠ {cell(warning)}" for warning in made.warnings)
        if made.found:
            head = "| on the host | what | an apply would | |\n|---|---|---|---|"
            parts.append("\n".join([head, *map(_row, made.found)]))
            parts.extend(markdown.folded(each.change for each in made.found))
        else:
            parts.append("No drift.")
        if made.settled:
            names = some([str(key) for key in made.settled], 5)
            parts.append(f"Changed there to what is declared by now: {cell(names)}.")
        if made.pending:
            parts.append(f"{_count(made.pending, 'change')} of the declaration pending.")
    return "\n\n".join(parts)


def _row(each: Drifted) -> str:
    change, cell = each.change, markdown.cell
    state = "gone" if each.gone else "changed"
    notes = [_BOTH] if change.reason is Reason.BOTH else []
    notes += [f"ignored, {_why(each.ignored)}"] if each.ignored else []
    marked = state if each.ignored else f"**{state}**"
    return f"| {marked} | {cell(str(change.key))} | {cell(change.summary)} | {cell('; '.join(notes))} |"
