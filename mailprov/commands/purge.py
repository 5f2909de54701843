"""mailprov purge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import address, declaration
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.connection import Host
from mailprov.engine.orphaned_mail import Leftover
from mailprov.errors import Exit, HostError
from mailprov.model import HostSpec, Spec
from mailprov.report import printable
from mailprov.report.json import document, errors
from mailprov.report.text import Line
from mailprov.workflows.purge import delete, orphaned
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load
from mailprov.workflows.session import each


@click.command("purge")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...")
@declaration
@reported("json")
@click.option("--delete", "count", type=int, metavar="N", help="Delete them: N must be how many mailboxes that are.")
def command(
    outputs: Outputs, addresses: tuple[str, ...], file: Path, limit: tuple[str, ...], count: int | None
) -> Exit:
    """Show mail that closed accounts have left on the hosts; delete it only when told how many mailboxes that are.

    Nothing else deletes mail. It cannot be taken back, and it is written into the host's history.
    """

    told: list[Mapping[str, object]] = []

    def act(_spec: Spec, declared: HostSpec, host: Host) -> None:
        wanted = orphaned(declared, host, addresses)
        console.show(_found(declared.name, wanted) if outputs.text else [])
        told.append(_row(declared.name, wanted, 0))
        if not wanted:
            return
        boxes = f"{len(wanted)} mailbox{'es' if len(wanted) != 1 else ''}"
        if count is None:
            said = Line(f"  nothing was deleted; to delete {boxes}, with a back-up, add --delete {len(wanted)}", "dim")
        else:
            try:
                delete(declared, host, wanted, count)
            except HostError:
                told[-1] = _row(declared.name, wanted, None)
                raise
            told[-1] = _row(declared.name, wanted, len(wanted))
            said = Line(f"  deleted {boxes}", "warn")
        console.show([said] if outputs.text else [])

    spec = load(file, SESSION, Terminal())
    chosen = hosts(spec, limit)
    failures = each(spec, chosen, act, Terminal())
    outputs.give(json=lambda: document("purge", hosts=told, failed=errors(failures)))
    return worst(failures, len(chosen))


def _found(host: str, wanted: Sequence[Leftover]) -> list[Line]:
    if not wanted:
        return [Line(f"{host}  no mail is left of closed accounts", "good")]
    lines = (Line(f"  {printable(it.address)}  {it.messages:,} messages, {it.bytes:,} bytes") for it in wanted)
    return [Line(f"{host}  mail whose account is closed", "head"), *lines]


def _row(host: str, wanted: Sequence[Leftover], deleted: int | None) -> Mapping[str, object]:
    boxes = [{"address": it.address, "messages": it.messages, "bytes": it.bytes} for it in wanted]
    return {"host": host, "mailboxes": boxes, "deleted": deleted}
