"""mailprov history."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.connection import Host
from mailprov.engine import probe
from mailprov.engine.history import History
from mailprov.engine.history import history as host_history
from mailprov.errors import Exit
from mailprov.model import HostSpec, Query, Spec
from mailprov.report import past as report
from mailprov.standard import REGISTRY
from mailprov.workflows.record import RECORD, whole
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load
from mailprov.workflows.session import each
from mailprov.workflows.survey import ask


@click.command("history")
@declaration
@reported("json")
def command(outputs: Outputs, file: Path, limit: tuple[str, ...]) -> Exit:
    """Show who applied what, when, and how it ended.

    Each line names the commit, too. Exit 1: the record has a gap, so somebody has edited it on the host.
    """
    script = probe.script(REGISTRY, [Query(name, name) for name in RECORD])
    found: list[tuple[str, History]] = []

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        sections = ask(host, script).sections
        past = host_history(sections["history"])
        found.append((declared.name, past))
        if outputs.text:
            console.show(report.history(declared.name, past))
        whole(sections, declared.name)

    spec = load(file, SESSION, Terminal())
    chosen = hosts(spec, limit)
    failures = each(spec, chosen, look, Terminal())
    outputs.give(json=lambda: report.histories(found, failures))
    return worst(failures, len(chosen))
