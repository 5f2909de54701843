"""mailprov status and history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mailprov import probe
from mailprov.errors import Exit, HostError, MailprovError
from mailprov.history import History, history
from mailprov.host import Host
from mailprov.model import HostSpec, Question, Spec
from mailprov.report import past as report
from mailprov.status import Status, questions
from mailprov.status import status as host_status
from mailprov.survey import ask
from mailprov.verbs import console
from mailprov.verbs.session import each


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
