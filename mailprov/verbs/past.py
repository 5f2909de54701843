"""mailprov status and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from mailprov import manifest, probe
from mailprov.errors import Exit, HostError, MailprovError
from mailprov.history import History, history, transactions
from mailprov.host import Host
from mailprov.model import HostSpec, Question, Spec
from mailprov.report import past as report
from mailprov.status import Status, questions
from mailprov.status import status as host_status
from mailprov.survey import ask
from mailprov.verbs import console
from mailprov.verbs.session import each

RECORD = ("history", "manifest", "transactions")
"""what is asked for `whole`"""


def status(file: Path, limit: Sequence[str], form: str) -> Exit:
    """What each host is in; `form` is "text" or "json". Reads only."""
    script = probe.script(questions())
    found: list[Status] = []

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        ports = [(protocol, port) for protocol, _, port in declared.services.ports()]
        sections = ask(host, script).sections
        found.append(host_status(declared.name, ports, sections))
        if form == "text":
            console.show(report.status(found[-1]))
        if found[-1].last is None and sections.get("manifest"):
            raise _no_record(declared.name)

    failures: list[MailprovError] = []
    ended = each(file, limit, look, failures)
    if form == "json":
        click.echo(report.statuses(found, failures))
    return ended


def show_history(file: Path, limit: Sequence[str], form: str) -> Exit:
    """Who applied what to each host, when, and how it ended; exit 1 where the record has a gap."""
    script = probe.script([Question(each, each) for each in RECORD])
    found: list[tuple[str, History]] = []

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        sections = ask(host, script).sections
        past = history(sections["history"])
        found.append((declared.name, past))
        if form == "text":
            console.show(report.history(declared.name, past))
        whole(sections, declared.name)

    failures: list[MailprovError] = []
    ended = each(file, limit, look, failures)
    if form == "json":
        click.echo(report.histories(found, failures))
    return ended


def whole(sections: Mapping[str, str], host: str) -> History:
    """The record of a host, from its answers to these questions. Raises HostError where it is not whole."""
    past = history(sections["history"])
    if past.gap:
        raise HostError(
            f"the record has a gap at line {past.gap}",
            where=host,
            why="that line does not carry the hash of the one before it: somebody changed the file",
            cure="look at /var/lib/mailprov/history on the host",
        )
    kept = manifest.parse(sections.get("manifest", ""))
    last = [entry.transaction for entry in past.entries if entry.verdict == "applied"]
    # One that is being written down stands in the manifest first.
    if kept and [kept.transaction] != last[-1:] and transactions(sections).open != kept.transaction:
        raise _no_record(host)
    return past


def _no_record(host: str) -> HostError:
    return HostError(
        "the record of what was applied is gone or damaged, although the host was changed",
        where=host,
        cure="look at /var/lib/mailprov/history on the host",
    )
