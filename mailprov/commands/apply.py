"""mailprov apply."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import agreed, consents, declaration, handed, sharded
from mailprov.commands.outputs import Outputs, give_rollout, refusable, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.engine.rollout import HostStatus, Result, RolloutPolicy
from mailprov.errors import Exit, StalePlanError
from mailprov.report import text
from mailprov.workflows.apply import Order
from mailprov.workflows.apply import apply as apply_order


@click.command("apply")
@click.argument("plan", required=False, type=click.Path(path_type=Path))
@declaration
@click.option("--details", is_flag=True, help="Show new files whole, and every account and address by name.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@consents
@click.option("--canary", type=click.IntRange(0), default=1, show_default=True, help="So many hosts go first.")
@click.option("--batch", default="20%", show_default=True, metavar="N|N%", help="So many hosts follow at a time.")
@click.option(
    "--max-failures", type=click.IntRange(0), default=0, show_default=True, help="Stop after more failed hosts."
)
@reported("json", "markdown")
@sharded
@handed
def command(
    outputs: Outputs,
    plan: Path | None,
    file: Path,
    limit: tuple[str, ...],
    details: bool,
    yes: bool,
    canary: int,
    batch: str,
    max_failures: int,
    shard: str,
    executor: str,
    handout: Path | None,
    **allowed: bool,
) -> Exit:
    """Plan, ask, change the hosts; confirmed from here over a new connection, or taken back by the host itself.

    PLAN is a file that `mailprov plan --out` made. The plan is made anew, from the declaration (-f) and the hosts, and
    carried out where it is to the letter the one that was kept; else it is refused: exit 4 where anything moved, exit 3
    where the file is not as it was written. Nothing is ever done because the file says so.

    A new account for which no password is declared gets a generated one, which is kept in a folder that nobody else
    can look into before any host is touched: see `mailprov handout`.

    Several hosts are changed batch by batch, the canary first. A host that cannot be reached counts as failed. Hosts
    that are done stay done: run it again to go on.

    Interrupted (Ctrl-C), it says what each host does now and until when: a host that has been handed its work carries
    it out by itself, and puts everything back when nobody confirms it.
    """
    order = Order(
        file, limit, plan, agreed(allowed), RolloutPolicy(canary, batch, max_failures), shard, executor, handout
    )
    terminal = Terminal(details, yes, err=not outputs.text)
    with refusable(outputs, terminal):
        results = apply_order(order, terminal)
    if outputs.text and len(results) > 1:  # what became of a lone host has been told
        console.show(text.rollout(results))
    give_rollout(outputs, results, terminal.plans)
    return _exit(results)


def _exit(results: Sequence[Result]) -> Exit:
    """The worst of what became of the hosts; where none was touched, and only because plans are stale, just that."""
    failed = [result.error for result in results if result.error]
    untouched = all(
        result.status in (HostStatus.UNCHANGED, HostStatus.FAILED, HostStatus.WAITING) for result in results
    )
    own = [result.error for result in results if result.error and result.status is not HostStatus.WAITING]
    if own and untouched and all(isinstance(error, StalePlanError) for error in own):
        return Exit.STALE
    return worst(failed, len(results))
