"""mailprov show: a plan that was kept, told again. Asks no host, and reads nothing but its file."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.outputs import Outputs, reported
from mailprov.errors import Exit
from mailprov.report import kept as report
from mailprov.workflows import saved_plan


@click.command("show")
@click.argument("plan", type=click.Path(path_type=Path))
@reported("json", "markdown")
@click.option("--details", is_flag=True, help="Show for which machines it was made, too.")
def command(outputs: Outputs, plan: Path, details: bool) -> Exit:
    """Show a plan that `mailprov plan --out PLAN` has kept. Asks no host, and reads no declaration and no secret.

    Diffs are not kept. Exit 3: it is no plan, not as it was written, or another version's.
    """
    kept = saved_plan.load(plan)
    if outputs.text:
        console.show(report.text(kept, details=details))
    outputs.give(json=lambda: report.as_json(kept), markdown=lambda: report.as_markdown(kept))
    return Exit.DONE
