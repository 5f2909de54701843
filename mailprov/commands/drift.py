"""mailprov drift."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import declaration, sharded
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.observer import Failed
from mailprov.report import drift as report
from mailprov.report import json
from mailprov.workflows.fleet import Fleet
from mailprov.workflows.secrets import PLAN, SESSION, require
from mailprov.workflows.selection import hosts, load, share, tell_lacking


@click.command("drift")
@declaration
@reported("json", "markdown")
@click.option("--details", is_flag=True, help="Show removed files whole, and every account and address by name.")
@sharded
def command(outputs: Outputs, file: Path, limit: tuple[str, ...], details: bool, shard: str, executor: str) -> Exit:
    """Show what was changed on the hosts since the last apply, and nothing else. Changes nothing.

    Changes that are expected there are declared (drift: {ignore: [...]}), and shown as ignored. Exit 0: there is none,
    or all is ignored. 2: there is some. 1 where it cannot be told: nothing is applied to a host, or its record of the
    last apply is gone or damaged; 7 among several hosts.
    """
    terminal = Terminal(details)
    spec = load(file, PLAN, terminal)
    tell_lacking(spec, PLAN - SESSION, terminal, "what depends on it is compared by its fingerprint alone")
    chosen = share(hosts(spec, limit), shard)
    require(spec, chosen, SESSION)
    with terminal.during(f"looking at {len(chosen)} host{'s' if len(chosen) != 1 else ''}"):
        looked = Fleet(file, executor, spec=spec, observer=terminal).drift(chosen)
    found = [each for each in looked if not isinstance(each, MailprovError)]
    failures = [each for each in looked if isinstance(each, MailprovError)]
    if outputs.text and (found or not failures):
        console.show([*report.text(found, details=details), report.total(found)])
    outputs.give(json=lambda: json.drifts(found, failures), markdown=lambda: report.as_markdown(found, failures))
    for failure in failures:
        terminal.tell(Failed(failure))
    if failures:
        return worst(failures, len(chosen))
    return Exit.CHANGES if any(each.counted for each in found) else Exit.DONE
