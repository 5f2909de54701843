"""mailprov rollback."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands.options import agreed, consents, declaration, handed
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.connection import Host
from mailprov.errors import Exit
from mailprov.model import HostSpec, Spec
from mailprov.workflows.generated_passwords import GeneratedPasswords, folder
from mailprov.workflows.rollback import roll_back
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load
from mailprov.workflows.session import each


@click.command("rollback")
@declaration
@click.option("--to", "target", metavar="APPLY", help="Back to before this apply (a name that `history` shows).")
@click.option("--details", is_flag=True, help="Show every account and address by name.")
@click.option("--yes", is_flag=True, help="Do not ask (for pipelines).")
@consents
@handed
def command(
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
    terminal, where = Terminal(details, yes), folder(file, handout)

    def back(_spec: Spec, declared: HostSpec, host: Host) -> None:
        roll_back(declared, host, target, agreed(allowed), GeneratedPasswords(where, terminal), terminal)

    spec = load(file, SESSION, terminal)
    chosen = hosts(spec, limit)
    return worst(each(spec, chosen, back, terminal), len(chosen))
