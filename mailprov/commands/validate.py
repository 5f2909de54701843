"""mailprov validate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.outputs import Outputs, locator, reported
from mailprov.commands.terminal import Terminal
from mailprov.errors import Diagnostic, Exit, SpecError
from mailprov.model import Spec
from mailprov.report import sarif
from mailprov.report.complaints import complaints, of_diagnostic
from mailprov.report.json import document, entry, errors
from mailprov.report.text import Line
from mailprov.workflows.secrets import EVERY, lacking
from mailprov.workflows.selection import hosts_if_any, load


@click.command("validate")
@declaration
@click.option("--strict", is_flag=True, help="Take warnings for errors: exit 3.")
@reported("json", files=("sarif",))
def command(outputs: Outputs, file: Path, limit: tuple[str, ...], strict: bool) -> Exit:
    """Check the declaration and everything that it points to: every error at once, with its line."""
    try:
        spec = load(file, EVERY, Terminal())
    except SpecError as error:
        _warn(error.warnings)
        _give(outputs, file, error, error.warnings, valid=False)
        raise
    chosen = hosts_if_any(spec, limit)
    warnings = (*spec.doubts, *lacking(spec, EVERY))
    _warn(warnings)
    refused = strict and bool(warnings)
    counts = _counts(spec, len(chosen))
    if refused:
        count = len(warnings)
        console.say(f"{count:,} warning{'' if count == 1 else 's'}, and --strict takes warnings for errors", "bad")
    elif outputs.text:
        console.show([Line(f"{file} is valid: {_said(counts)}", "good")])
    _give(outputs, file, None, warnings, valid=not refused, **counts)
    return Exit.INVALID if refused else Exit.DONE


def _warn(warnings: Sequence[Diagnostic]) -> None:
    console.show([Line(f"! {each.warning}", "warn") for each in warnings], err=True)


def _counts(spec: Spec, hosts: int) -> dict[str, int]:
    return {
        "hosts": hosts,
        "domains": len(spec.domains),
        "hosted_elsewhere": sum(bool(domain.hosted_by) for domain in spec.domains.values()),
        "users": len(spec.users),
        "aliases": len(spec.aliases) + sum(len(user.aliases) for user in spec.users),
    }


def _said(counts: dict[str, int]) -> str:
    elsewhere = counts["hosted_elsewhere"]
    notes = {"domains": f" ({elsewhere:,} hosted elsewhere)" if elsewhere else ""}
    words = {"hosts": "host", "domains": "domain", "users": "user", "aliases": "alias"}
    said = ((counts[plural], word, plural) for plural, word in words.items())
    return ", ".join(f"{n:,} {word if n == 1 else plural}{notes.get(plural, '')}" for n, word, plural in said)


def _give(
    outputs: Outputs, file: Path, error: SpecError | None, warnings: Sequence[Diagnostic], valid: bool, **counts: int
) -> None:
    wrong, doubtful = [error] if error else [], [of_diagnostic(each) for each in warnings]
    told = {"errors": errors(wrong), "warnings": list(map(entry, doubtful))}
    outputs.give(
        json=lambda: document("validate", file=str(file), valid=valid, counts=counts or None, **told),
        sarif=lambda: sarif.sarif([*complaints(wrong), *doubtful], locator(file)),
    )
