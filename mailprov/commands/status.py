"""mailprov status."""

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
from mailprov.engine.status import Status, queries
from mailprov.engine.status import status as host_status
from mailprov.errors import Exit
from mailprov.model import HostSpec, Spec
from mailprov.report import past as report
from mailprov.standard import REGISTRY
from mailprov.workflows.record import no_record
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load
from mailprov.workflows.session import each
from mailprov.workflows.survey import ask


@click.command("status")
@declaration
@reported("json")
def command(outputs: Outputs, file: Path, limit: tuple[str, ...]) -> Exit:
    """Show what runs on each host, and which services are down.

    An apply that is at work (whose, at which step, until when it waits for a confirmation) or was cut off, services
    that are down, a reload that is pending; else the host is idle. Changes nothing. Exit 0 wherever it could be read.
    """
    script = probe.script(REGISTRY, queries(REGISTRY))
    found: list[Status] = []

    def look(_spec: Spec, declared: HostSpec, host: Host) -> None:
        ports = [(protocol, port) for protocol, _, port in declared.services.ports()]
        sections = ask(host, script).sections
        found.append(host_status(REGISTRY, declared.name, ports, sections))
        if outputs.text:
            console.show(report.status(found[-1]))
        if found[-1].last is None and sections.get("manifest"):
            raise no_record(declared.name)

    spec = load(file, SESSION, Terminal())
    chosen = hosts(spec, limit)
    failures = each(spec, chosen, look, Terminal())
    outputs.give(json=lambda: report.statuses(found, failures))
    return worst(failures, len(chosen))
