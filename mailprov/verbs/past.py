"""mailprov status and history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mailprov import probe
from mailprov.errors import Exit, HostError
from mailprov.history import history, transactions
from mailprov.host import Host
from mailprov.model import HostSpec, Question, Spec
from mailprov.report import printable
from mailprov.report.text import Line
from mailprov.survey import ask
from mailprov.verbs import console
from mailprov.verbs.session import each


def status(file: Path, limit: Sequence[str]) -> Exit:
    """What each host is in: at rest, at work, cut off, owing a reload. Reads only."""
    return each(file, limit, _status)


def show_history(file: Path, limit: Sequence[str]) -> Exit:
    """Who applied what to each host, when, and how it ended; exit 1 where the record has a gap."""
    return each(file, limit, _history)


def _status(_spec: Spec, declared: HostSpec, host: Host) -> None:
    sections = ask(host, probe.script([Question("facts", "facts"), Question("transactions", "transactions")])).sections
    facts, now = probe.facts(sections), transactions(sections)
    lines = [Line(declared.name, "head")]
    if now.holder:
        lines.append(Line(f"  at work: {printable(now.holder)}; at {printable(now.event) or 'its beginning'}", "warn"))
    elif now.open:
        lines.append(Line(f"  cut off: {now.open} at {printable(now.event)}; the next apply settles it first", "bad"))
    lines.extend(Line(f"  owed: {printable(debt)}; the next apply gives it", "warn") for debt in facts.owed)
    if now.last is None:
        lines.append(Line("  nothing has been applied yet"))
    else:
        last = f"{now.last.at:%Y-%m-%d %H:%M:%S}Z  {now.last.transaction}  {now.last.verdict}"
        lines.append(Line(f"  last: {last}  {printable(now.last.meta)}"))
    if not (now.holder or now.open or facts.owed):
        lines.append(Line("  at rest: nothing is open, owed or locked", "good"))
    console.show(lines)


def _history(_spec: Spec, declared: HostSpec, host: Host) -> None:
    found = history(ask(host, probe.script([Question("history", "history")])).sections["history"])
    style = {"applied": "good", "reverted": "warn", "failed": "warn"}
    lines = [Line(declared.name, "head")]
    for entry in found.entries:
        text = f"  {entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.transaction}  {entry.verdict:<9} {printable(entry.meta)}"
        lines.append(Line(text, style.get(entry.verdict, "bad")))
    console.show(lines)
    if found.gap:
        raise HostError(
            f"the record has a gap at line {found.gap}",
            where=declared.name,
            why="that line does not carry the hash of the one before it: somebody changed the file",
            cure="look at /var/lib/mailprov/history on the host",
        )
