"""mailprov purge."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import address, declaration
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.connection import Host
from mailprov.errors import Exit
from mailprov.model import HostSpec, Spec
from mailprov.report import printable
from mailprov.report.text import Line
from mailprov.workflows.purge import delete, orphaned
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load
from mailprov.workflows.session import each


@click.command("purge")
@click.argument("addresses", nargs=-1, type=address, metavar="[ADDRESS]...")
@declaration
@click.option("--delete", "count", type=int, metavar="N", help="Delete them: N must be how many mailboxes that are.")
def command(addresses: tuple[str, ...], file: Path, limit: tuple[str, ...], count: int | None) -> Exit:
    """Show mail that closed accounts have left on the hosts; delete it only when told how many mailboxes that are.

    Nothing else deletes mail. It cannot be taken back, and it is written into the host's history.
    """

    def act(_spec: Spec, declared: HostSpec, host: Host) -> None:
        wanted = orphaned(declared, host, addresses)
        lines = [Line(f"{declared.name}  mail whose account is closed", "head")]
        lines += [Line(f"  {printable(it.address)}  {it.messages:,} messages, {it.bytes:,} bytes") for it in wanted]
        console.show(lines if wanted else [Line(f"{declared.name}  no mail is left of closed accounts", "good")])
        if wanted and count is None:
            boxes = f"{len(wanted)} mailbox{'es' if len(wanted) != 1 else ''}"
            fix = f"to delete {boxes}, with a back-up, add --delete {len(wanted)}"
            console.show([Line(f"  nothing was deleted; {fix}", "dim")])
        elif wanted and count is not None:
            delete(declared, host, wanted, count)
            console.show([Line(f"  deleted {len(wanted)} mailbox{'es' if len(wanted) != 1 else ''}", "warn")])

    spec = load(file, SESSION, Terminal())
    chosen = hosts(spec, limit)
    return worst(each(spec, chosen, act, Terminal()), len(chosen))
