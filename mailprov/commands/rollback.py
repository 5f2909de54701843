"""mailprov rollback."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands.options import agreed, consents, declaration, handed
from mailprov.commands.outputs import Outputs, give_rollout, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit
from mailprov.workflows.generated_passwords import folder
from mailprov.workflows.rollback import roll_back
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load


@click.command("rollback")
@declaration
@click.option("--to", "target", metavar="APPLY", help="Back to before this apply (a name that `history` shows).")
@click.option("--details", is_flag=True, help="Show every account and address by name.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@consents
@reported("json", "markdown")
@handed
def command(
    outputs: Outputs,
    file: Path,
    limit: tuple[str, ...],
    target: str | None,
    details: bool,
    yes: bool,
    handout: Path | None,
    **allowed: bool,
) -> Exit:
    """Put hosts back as they were before the last apply, or before an earlier one of the last 10.

    It is planned, agreed to, carried out and confirmed as an apply is, and is one: a second rollback takes the first
    back; --to goes further. The declaration stays as it is: the next apply brings back what it says. Mail, installed
    packages, and passwords that users have changed since are left as they are.
    """
    terminal = Terminal(details, yes, err=not outputs.text)
    chosen = hosts(load(file, SESSION, terminal), limit)
    results = roll_back(chosen, target, agreed(allowed), folder(file, handout), terminal)
    give_rollout(outputs, results, terminal.plans)
    return worst([result.error for result in results if result.error], len(chosen))
