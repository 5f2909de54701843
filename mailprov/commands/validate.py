"""mailprov validate."""

from __future__ import annotations

from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit
from mailprov.report.text import Line
from mailprov.workflows.secrets import EVERY, lacking
from mailprov.workflows.selection import hosts_if_any, load


@click.command("validate")
@declaration
@click.option("--strict", is_flag=True, help="Take warnings for errors: exit 3.")
def command(file: Path, limit: tuple[str, ...], strict: bool) -> Exit:
    """Check the declaration and everything that it points to: every error at once, with its line."""
    spec = load(file, EVERY, Terminal())
    chosen = hosts_if_any(spec, limit)
    absent = [f"{each.origin}: {each.what} ({each.fix})" for each in lacking(spec, EVERY)]
    warnings = (*spec.warnings, *absent)
    console.show([Line(f"! {warning}", "warn") for warning in warnings], err=True)
    if strict and warnings:
        count = len(warnings)
        console.say(f"{count:,} warning{'' if count == 1 else 's'}, and --strict takes warnings for errors", "bad")
        return Exit.INVALID
    elsewhere = sum(bool(domain.hosted_by) for domain in spec.domains.values())
    hosted = f" ({elsewhere:,} hosted elsewhere)" if elsewhere else ""
    counts = ((len(chosen), "host", ""), (len(spec.domains), "domain", hosted), (len(spec.users), "user", ""))
    said = ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}{note}" for count, noun, note in counts)
    aliases = len(spec.aliases) + sum(len(user.aliases) for user in spec.users)
    console.show([Line(f"{file} is valid: {said}, {aliases:,} alias{'' if aliases == 1 else 'es'}", "good")])
    return Exit.DONE
