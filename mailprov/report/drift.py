"""What hosts changed since the last apply: for a terminal, and for pull requests. As JSON: report/json.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailprov import encode
from mailprov.engine.drift import Drift, Drifted
from mailprov.errors import MailprovError
from mailprov.model import Ignore, Reason, some
from mailprov.model.deltas import SHOWN
from mailprov.report import markdown, printable
from mailprov.report.comment import Part, fitted
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
    several = len(found) > 1
    every = [(each, f"| {encode.markdown_code(made.host)} {_row(each)}") for made in found for each in made.found]
    counted, ignored = ([row for each, row in every if bool(each.ignored) is noise] for noise in (False, True))
    doubts, remarks = list[str](), list[str]()
    for made in found:
        where = f"{encode.markdown_code(made.host)}: " if several else ""
        doubts.extend(f"- ⚠ {where}{encode.markdown(warning)}" for warning in made.warnings)
        if made.settled:
            names = encode.markdown(some([str(key) for key in made.settled], 5))
            remarks.append(f"- {where}changed there to what is declared by now: {names}")
        if made.pending:
            remarks.append(f"- {where}{_count(made.pending, 'change')} of the declaration pending")
    parts = [
        markdown.failed_part(failures),
        Part(1, "changes", counted, _HEAD),
        Part(2, "warnings", doubts),
        Part(3, "ignored changes", ignored, _HEAD),
        Part(4, "remarks", remarks),
        *(
            markdown.fold(
                5, "diffs", [made.host], "details", list(markdown.diff_blocks(each.change for each in made.found))
            )
            for made in found
        ),
    ]
    return fitted(f"### mailprov: {total(found).text}", parts)


_HEAD = "| host | on the host | what | an apply would | |\n|---|---|---|---|---|"


def _row(each: Drifted) -> str:
    """What the host changed, as cells."""
    change, plain = each.change, encode.markdown
    state = "gone" if each.gone else "changed"
    notes = [_BOTH] if change.reason is Reason.BOTH else []
    notes += [f"ignored, {_why(each.ignored)}"] if each.ignored else []
    marked = state if each.ignored else f"**{state}**"
    what = encode.markdown_code(str(change.key))
    return f"| {marked} | {what} | {plain(change.summary)} | {plain('; '.join(notes))} |"
