"""mailprov plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import declaration, handed, sharded
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.model import Plan
from mailprov.observer import Failed
from mailprov.report import text
from mailprov.workflows import saved_plan
from mailprov.workflows.fleet import Fleet
from mailprov.workflows.generated_passwords import folder, noted, remind
from mailprov.workflows.secrets import PLAN, require
from mailprov.workflows.selection import hosts, load, share


@click.command("plan")
@declaration
@reported("json", "markdown")
@click.option("--details", is_flag=True, help="Show new files whole, and every account and address by name.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the plan here, for `mailprov apply PLAN`.")
@sharded
@handed
def command(
    outputs: Outputs,
    file: Path,
    limit: tuple[str, ...],
    details: bool,
    detailed_exitcode: bool,
    out: Path | None,
    shard: str,
    executor: str,
    handout: Path | None,
) -> Exit:
    """Show what an apply would change, why, and what it does to live sessions. Changes nothing.

    "pending": the declaration moved since the last apply. "drift": the host moved.
    """
    terminal = Terminal(details)
    if out is not None:
        saved_plan.require_writable(out)
    spec = load(file, PLAN, terminal)
    chosen = share(hosts(spec, limit), shard)
    require(spec, chosen, PLAN)
    with terminal.during(f"looking at {len(chosen)} host{'s' if len(chosen) != 1 else ''}"):
        found = Fleet(file, executor, spec=spec, observer=terminal).look(chosen)
    looked = [result for result in found if not isinstance(result, MailprovError)]
    failures = [result for result in found if isinstance(result, MailprovError)]
    plans = [result.plan for result in looked]
    where = folder(file, handout)
    remind(where, terminal)
    _report(noted(spec, plans, where), outputs, details, failures)
    for failure in failures:
        terminal.tell(Failed(failure))
    if failures:
        if out is not None:
            console.say(f"not kept in {out}: not every host could be looked at", "bad")
        return worst(failures, len(chosen))
    if out is not None:
        partial = len(chosen) < len(spec.hosts)
        saved_plan.save(out, partial, [each.claim for each in looked])
        said = " (partial: some hosts were left out)" if partial else ""
        named = "" if file == Path("mail.yaml") else f" -f {file}"
        console.say(f"kept in {out}{said}; next: `mailprov apply {out}{named}`", "good")
    return Exit.CHANGES if detailed_exitcode and any(not made.empty for made in plans) else Exit.DONE


def _report(plans: Sequence[Plan], outputs: Outputs, details: bool, failures: Sequence[MailprovError]) -> None:
    """Give the plans; in forms that programs read, why there are no others, too."""
    from mailprov.report import json, markdown

    if outputs.text and plans:
        console.show([*text.plans(plans, details=details), text.total(plans)])
    outputs.give(json=lambda: json.plans(plans, failures), markdown=lambda: markdown.plans(plans, failures))
