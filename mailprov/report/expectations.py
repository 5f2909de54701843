"""How expectations stand: for a terminal, as JSON, for merge requests (Markdown, SARIF) and pipelines (JUnit)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mailprov import encode
from mailprov.errors import MailprovError
from mailprov.expectations.model import Finding, Outcome, Verdict, Witness
from mailprov.model import some
from mailprov.report import junit, markdown, printable
from mailprov.report.comment import Part, fitted
from mailprov.report.complaints import Complaint
from mailprov.report.json import document, errors
from mailprov.report.text import Line

UNMET = "unmet-expectation"
"""SARIF's rule of what does not hold"""
_WORDS: Mapping[Witness, str] = {
    Witness.DECLARATION: "the declaration",
    Witness.KEPT_PLAN: "the kept plan",
    Witness.PLAN: "the plan of now",
    Witness.HOST: "asked from here",
    Witness.DNS: "DNS",
    Witness.REHEARSAL: "the rehearsal",
}
_MARKS: Mapping[Outcome, tuple[str, str, str]] = {
    Outcome.FAILS: ("FAIL", "bad", "❌"),
    Outcome.NOT_TOLD: ("-", "warn", "⚠"),
    Outcome.HOLDS: ("ok", "good", "✅"),
}
_HOSTS = 8


def of(verdicts: Sequence[Verdict], outcome: Outcome) -> list[Verdict]:
    """Those that stand so."""
    return [each for each in verdicts if each.outcome is outcome]


def total(verdicts: Sequence[Verdict]) -> Line:
    """The last line: how many there are, and how they stand."""
    counts = Counter(each.outcome for each in verdicts)
    many = len(verdicts)
    fails, untold = counts[Outcome.FAILS], counts[Outcome.NOT_TOLD]
    told = [f"{counts[Outcome.HOLDS]:,} hold{'s' if counts[Outcome.HOLDS] == 1 else ''}"]
    told += [f"{fails:,} {'does' if fails == 1 else 'do'} not hold"] if fails else []
    told += [f"{untold:,} {'is' if untold == 1 else 'are'} not told here"] if untold else []
    style = "bad" if fails else "warn" if untold else "good"
    return Line(f"{many:,} expectation{'' if many == 1 else 's'}: {', '.join(told)}.", style)


def text(verdicts: Sequence[Verdict], *, details: bool = False) -> list[Line]:
    """File by file what does not hold, with what there is instead, and what is not told here; `details`: all."""
    lines: list[Line] = []
    for file in dict.fromkeys(each.expectation.origin.file for each in verdicts):
        here = [each for each in verdicts if each.expectation.origin.file == file]
        shown = [each for each in here if details or each.outcome is not Outcome.HOLDS]
        if shown:
            lines.append(Line(printable(file), "head"))
            lines += (line for each in shown for line in _lines(each, details))
    return lines


def _lines(each: Verdict, details: bool) -> Iterator[Line]:
    it = each.expectation
    mark, style, _ = _MARKS[each.outcome]
    place = f"{it.origin.line}:{it.origin.column}"
    untold = f": not told here: {each.untold}" if each.untold else ""
    yield Line(f"  {mark:<4} {place:<6} {printable(it.what)}{printable(untold)}", style)
    for by, hosts, what in _told(each, details):
        yield Line(f"       {'':<6} {printable(_at(by, hosts))}: {printable(what)}", style if not details else "dim")
    if it.reason and each.outcome is Outcome.FAILS:
        yield Line(f"       {'':<6} reason: {printable(it.reason)}", style)


def _told(each: Verdict, details: bool = False) -> list[tuple[Witness, Sequence[str], str]]:
    """What was found, that which does not hold alone if not asked for all; hosts of which the same is said share it."""
    found: dict[tuple[Witness, str], list[str]] = {}
    for finding in each.findings:
        if finding.what and (finding.holds is False or (details and finding.holds is not None)):
            found.setdefault((finding.by, finding.what), []).append(finding.host)
    return [(by, [host for host in hosts if host], what) for (by, what), hosts in found.items()]


def _at(by: Witness, hosts: Sequence[str]) -> str:
    return f"{_WORDS[by]}, {some(hosts, _HOSTS)}" if hosts else _WORDS[by]


def said(each: Verdict) -> str:
    """What does not hold of it, and why it was expected, in lines."""
    told = [f"{_at(by, hosts)}: {what}" for by, hosts, what in _told(each)]
    return "\n".join([*told, *([f"reason: {each.expectation.reason}"] if each.expectation.reason else [])])


def as_json(verdicts: Sequence[Verdict], failures: Sequence[MailprovError] = ()) -> str:
    """Each expectation, how it stands, and who said what; and who was asked and says nothing."""
    counts = Counter(each.outcome for each in verdicts)
    return document(
        "test",
        holds=not failures and not counts[Outcome.FAILS] and bool(counts[Outcome.HOLDS]),
        counts={outcome.value: counts[outcome] for outcome in Outcome},
        expectations=list(map(entry, verdicts)),
        failed=errors(failures),
    )


def entry(each: Verdict) -> dict[str, object]:
    """One expectation, for programs."""
    it = each.expectation
    return {
        "section": it.section,
        "what": it.what,
        "outcome": each.outcome.value,
        "why": each.untold,
        "reason": it.reason,
        "place": it.origin._asdict(),
        "findings": list(map(_finding, each.findings)),
    }


def _finding(found: Finding) -> dict[str, object]:
    return {"by": found.by.value, "host": found.host or None, "holds": found.holds, "what": found.what}


def as_markdown(verdicts: Sequence[Verdict], failures: Sequence[MailprovError] = ()) -> str:
    """What does not hold, what is not told here, and, folded away, what holds."""
    plain = encode.markdown
    wrong = [f"- ❌ {_place(each)}: **{plain(each.expectation.what)}**{_below(each)}" for each in of(verdicts, _FAILS)]
    untold = [
        f"- ⚠ {_place(each)}: {plain(each.expectation.what)}: not told here: {plain(each.untold)}"
        for each in of(verdicts, Outcome.NOT_TOLD)
    ]
    well = [f"- ✅ {_place(each)}: {plain(each.expectation.what)}" for each in of(verdicts, Outcome.HOLDS)]
    title = f"{len(well):,} hold{'s' if len(well) == 1 else ''}"
    parts = [
        markdown.failed_part(failures),
        Part(1, "expectations", wrong),
        Part(2, "expectations", untold),
        Part(3, "expectations", well, f"<details><summary>{title}</summary>\n", "\n\n</details>"),
    ]
    return fitted(f"### mailprov test: {total(verdicts).text}", parts)


_FAILS = Outcome.FAILS


def _place(each: Verdict) -> str:
    return encode.markdown_code(str(each.expectation.origin))


def _below(each: Verdict) -> str:
    return "".join(f"\n  - {encode.markdown(line)}" for line in said(each).splitlines())


def complaints(verdicts: Sequence[Verdict]) -> list[Complaint]:
    """What does not hold, each at its line, for SARIF."""
    return [
        Complaint(
            f"this does not hold: {each.expectation.what}",
            said(each),
            "",
            str(each.expectation.origin),
            place=each.expectation.origin,
            exit=9,
            rule=UNMET,
        )
        for each in of(verdicts, Outcome.FAILS)
    ]


def suites(verdicts: Sequence[Verdict], failures: Sequence[MailprovError] = ()) -> list[junit.Suite]:
    """A suite for each file, a case for each expectation; what is not told here is skipped."""
    found: dict[str, list[junit.Case]] = {}
    for each in verdicts:
        it, untold = each.expectation, each.untold
        name = f"{it.origin.line}:{it.origin.column} {it.what}"
        outcome: junit.Outcome = "failure" if each.outcome is Outcome.FAILS else "skipped" if untold else ""
        detail = said(each) if outcome == "failure" else f"not told here: {untold}" if untold else ""
        found.setdefault(it.origin.file, []).append(junit.Case(name, 0.0, outcome, it.section, detail))
    return [*(junit.Suite(file, cases) for file, cases in found.items()), *junit.failed(failures)]
