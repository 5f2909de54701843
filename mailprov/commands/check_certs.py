"""mailprov check-certs: how long the served certificates will do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mailprov.checks import Watched
from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError
from mailprov.report.json import document, errors
from mailprov.report.text import Line
from mailprov.workflows.certificates import watch
from mailprov.workflows.secrets import SESSION
from mailprov.workflows.selection import hosts, load

_STYLES = {"ok": "good", "soon": "bad", "failed": "bad", "not seen": "warn"}


@click.command("check-certs")
@declaration
@click.option("--warn", "least", type=click.IntRange(0), default=21, show_default=True, metavar="DAYS")
@click.option("--no-ssh", is_flag=True, help="Only look from outside: a certificate kept on the host is not compared.")
@reported("json")
def command(outputs: Outputs, file: Path, limit: tuple[str, ...], least: int, no_ssh: bool) -> Exit:
    """Show how many days each served certificate has left; exit 9 when one has fewer than DAYS, for cron.

    Looks at every declared listener as a client would, all at once, and sends no password. Also wrong (9): a
    certificate that clients would refuse by its name or dates, and one that is not the declared one, as after a renewal
    that no daemon has taken up.
    """
    chosen = hosts(load(file, SESSION, Terminal()), limit)
    with console.doing("looking at certificates"):
        seen, failures = watch(chosen, least, ssh=not no_ssh)
    if outputs.text:
        console.show(_table(seen))
    outputs.give(json=lambda: _json(seen, failures, least))
    for failure in failures:
        console.show([Line(f"Error: {failure}", "bad")], err=True)
    wrong = any(each.wrong for each in seen)
    return Exit.UNVERIFIED if wrong else worst(failures, len(chosen))


def _table(seen: Sequence[Watched]) -> Iterator[Line]:
    width = max((len(each.host) for each in seen), default=0)
    for each in seen:
        end, until = each.endpoint, f"{each.until:%Y-%m-%d}" if each.until else ""
        left = "" if each.days is None else f"{each.days:,} days"
        words = f"{each.host:<{width}}  {end.protocol:<10}  {end.mode:<8}  {end.port:>5}  {left:>10}  {until:<10}"
        yield Line(f"{words}  {each.status}{f': {each.detail}' if each.detail else ''}", _STYLES[each.status])
    counted = [each.days for each in seen if each.days is not None]
    wrong = sum(each.wrong for each in seen)
    if wrong:
        yield Line(f"{wrong} of {len(seen)} listeners need attention.", "bad")
    elif counted:
        yield Line(f"All is well: the first certificate ends in {min(counted):,} days.", "good")
    else:
        yield Line("No certificate was seen.", "warn")


def _json(seen: Sequence[Watched], failures: Sequence[MailprovError], least: int) -> str:
    listeners = [
        {
            "host": each.host,
            "protocol": each.endpoint.protocol,
            "mode": each.endpoint.mode,
            "port": each.endpoint.port,
            "status": each.status,
            "days": each.days,
            "until": each.until.isoformat() if each.until else None,
            "detail": each.detail,
        }
        for each in seen
    ]
    right = not failures and not any(each.wrong for each in seen)
    return document("check-certs", right=right, warn_days=least, listeners=listeners, failed=errors(failures))
