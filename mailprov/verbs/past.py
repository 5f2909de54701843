"""mailprov status, history and rollback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mailprov import probe
from mailprov.apply import answer
from mailprov.apply import apply as carry_out
from mailprov.errors import Exit, HostError, MailprovError
from mailprov.history import History, history
from mailprov.host import Host
from mailprov.model import HostSpec, Plan, Question, Spec
from mailprov.plan import live, prints
from mailprov.report import past as report
from mailprov.report.text import Line
from mailprov.rollback import Way, acts, undone, way
from mailprov.status import Status, questions
from mailprov.status import status as host_status
from mailprov.survey import ask
from mailprov.survey import script as whole
from mailprov.transaction import Work
from mailprov.verbs import console
from mailprov.verbs.session import each, session
from mailprov.verbs.transact import progress, transaction_name, who


def status(file: Path, limit: Sequence[str], form: str) -> Exit:
    """What each host is in; `form` is "text" or "json". Reads only."""
    script = probe.script(questions())
    found: list[Status] = []

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        ports = [(protocol, port) for protocol, _, port in declared.services.ports()]
        found.append(host_status(declared.name, ports, ask(host, script).sections))
        if form == "text":
            console.show(report.status(found[-1]))

    failures: list[MailprovError] = []
    ended = each(file, limit, look, failures)
    if form == "json":
        click.echo(report.statuses(found, failures))
    return ended


def show_history(file: Path, limit: Sequence[str], form: str) -> Exit:
    """Who applied what to each host, when, and how it ended; exit 1 where the record has a gap."""
    script = probe.script([Question("history", "history")])
    found: list[tuple[str, History]] = []

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        past = history(ask(host, script).sections["history"])
        found.append((declared.name, past))
        if form == "text":
            console.show(report.history(declared.name, past))
        if past.gap:
            raise HostError(
                f"the record has a gap at line {past.gap}",
                where=declared.name,
                why="that line does not carry the hash of the one before it: somebody changed the file",
                cure="look at /var/lib/mailprov/history on the host",
            )

    failures: list[MailprovError] = []
    ended = each(file, limit, look, failures)
    if form == "json":
        click.echo(report.histories(found, failures))
    return ended


def rollback(file: Path, limit: Sequence[str], target: str | None, *, yes: bool) -> Exit:
    """Each host as it was before an apply that it keeps."""
    return each(file, limit, lambda spec, declared, host: _rollback(spec, declared, host, target, yes))


def _rollback(spec: Spec, declared: HostSpec, host: Host, target: str | None, yes: bool) -> None:
    script = whole(spec, declared)
    looked = ask(host, script)
    past = ask(host, probe.script([Question("history", "history"), Question("kept", "kept")])).sections
    back, ways = _way(history(past["history"]), past["kept"], target)
    lines = [Line(f"{declared.name}  back to before {back[-1]}", "head")]
    lines += [Line(f"  {step.what}", "change") for step in ways.steps]
    console.show([*lines, Line("  packages stay installed; passwords that users have changed stay theirs", "dim")])
    if not yes:
        console.agree(f"Roll {declared.name} back?", declared.name, act="rolled back")
    name = transaction_name()
    facts = probe.facts(looked.sections)
    plan = Plan(declared.name, facts, {}, (), ways.effects, (), looked.digest)
    work = Work(
        plan,
        ways.steps,
        script,
        name,
        who(f"rollback to before {back[-1]}"),
        (("dovecot_check",), ("postfix_check",)),
        (("listens_as", back[-1]),),
    )

    def confirm(_leaf: str) -> None:
        try:
            with session(declared) as fresh:
                answer(fresh, name)
        except MailprovError as error:
            console.say(f"  not confirmed ({error.what}); the host puts everything back by itself", "warn")

    carry_out(prints(live(looked.sections)), work, host, on_event=progress(work), confirm=confirm)
    console.show([Line(f"  rolled back {len(back)} appl{'y' if len(back) == 1 else 'ies'}", "good")])


def _way(past: History, kept: str, target: str | None) -> tuple[tuple[str, ...], Way]:
    plans: dict[str, list[str]] = {}
    journals: dict[str, list[str]] = {}
    name = ""
    for line in kept.splitlines():
        word, _, rest = line.partition(" ")
        if word == "transaction":
            name = rest
            plans[name], journals[name] = [], []
        elif word == "plan":
            plans[name].append(rest)
        elif word == "journal":
            journals[name].append(rest)
    back = undone(past.entries, tuple(plans), target)
    done = [acts(each, "\n".join(plans[each]), "\n".join(journals[each])) for each in back]
    return back, way(back[-1], done)
