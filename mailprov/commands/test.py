"""mailprov test: what a team expects and allows. Asks no host and no resolver, if not told to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mailprov.commands import console
from mailprov.commands.options import declaration
from mailprov.commands.outputs import Outputs, locator, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.errors import Exit, MailprovError, SpecError
from mailprov.expectations.model import Outcome, Verdict
from mailprov.observer import Failed
from mailprov.report import expectations as report
from mailprov.report import json, junit, markdown, sarif
from mailprov.report.complaints import complaints
from mailprov.workflows import saved_plan
from mailprov.workflows.expectations import Judging
from mailprov.workflows.expectations import load as load_expectations
from mailprov.workflows.secrets import NOTHING, PLAN, require
from mailprov.workflows.selection import hosts_if_any, load, refuse_confined


@click.command("test")
@click.argument("expected", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@declaration
@click.option("--plan", "kept", type=click.Path(path_type=Path), metavar="PLAN", help="Judge this kept plan, too.")
@click.option("--live", is_flag=True, help="Plan now, ask the ports, ask DNS: hosts are looked at, and not changed.")
@click.option("--resolver", default="", metavar="IP[:PORT]", help="Ask this resolver. Default: this machine's own.")
@click.option("--strict", is_flag=True, help="Exit 9, too, where something is not told here.")
@click.option("--details", is_flag=True, help="Show what holds, too, and who says so.")
@reported("json", "markdown", files=("sarif", "junit"))
def command(
    outputs: Outputs,
    expected: tuple[Path, ...],
    file: Path,
    limit: tuple[str, ...],
    kept: Path | None,
    live: bool,
    resolver: str,
    strict: bool,
    details: bool,
) -> Exit:
    """Judge a team's expectations: those in tests/ beside the declaration, or in each FILE.

    In tests/, and in folders below, each *.yaml and *.yml is read, in any case.

    Who can log in, where mail goes, what ports answer, what is allowed: told by what the declaration renders to. --plan
    adds what a kept plan may do; --live what plans of now may do, what ports answer, and which records DNS has. What
    cannot be told so is "not told here": it is counted and named, and has not passed.

    Exit 0: all that is told here holds. 9: something does not, or nothing is told here. 3: a file is invalid.
    """
    if resolver and not live:
        raise MailprovError("without --live nobody is asked", where="--resolver", fix="add --live")
    if live:
        refuse_confined("--live")
    try:
        judging = _judged(file, expected, limit, kept, live, resolver)
    except SpecError as error:
        _give_invalid(outputs, file, error)
        raise
    verdicts, failures = judging.verdicts(), judging.failures
    if outputs.text:
        console.show([*report.text(verdicts, details=details), report.total(verdicts)])
    outputs.give(
        json=lambda: report.as_json(verdicts, failures),
        markdown=lambda: report.as_markdown(verdicts, failures),
        sarif=lambda: sarif.sarif(report.complaints(verdicts), locator(file)),
        junit=lambda: junit.junit(report.suites(verdicts, failures)),
    )
    for failure in failures:
        Terminal().tell(Failed(failure))
    return _exit(verdicts, failures, len(judging.chosen), strict)


def _judged(
    file: Path, expected: Sequence[Path], limit: Sequence[str], kept: Path | None, live: bool, resolver: str
) -> Judging:
    """Everybody asked who shall be. Raises SpecError for an invalid file."""
    terminal = Terminal()
    spec = load(file, NOTHING, terminal)
    judging = Judging(spec, load_expectations(file, expected, spec), hosts_if_any(spec, limit))
    claims = saved_plan.claims(saved_plan.load(kept), str(kept), spec, limit) if kept else None
    judging.declared()
    if claims is not None:
        judging.kept_plan(claims)
    if live:
        _ask(judging, file, resolver, terminal)
    return judging


def _ask(judging: Judging, file: Path, resolver: str, terminal: Terminal) -> None:
    from mailprov.dns.resolver import server

    named = server(resolver) if resolver else None
    if judging.wants_plans and judging.chosen:
        spec = load(file, PLAN)
        require(spec, [spec.hosts[host.name] for host in judging.chosen], PLAN)
        with terminal.during("looking at the hosts"):
            judging.plans(file, spec, terminal)
    with terminal.during("asking ports and DNS"):
        judging.hosts()
        judging.dns(named)


def _exit(verdicts: Sequence[Verdict], failures: Sequence[MailprovError], count: int, strict: bool) -> Exit:
    """What does not hold is certain, whoever else could not be asked."""
    untold = report.of(verdicts, Outcome.NOT_TOLD)
    if report.of(verdicts, Outcome.FAILS):
        return Exit.UNVERIFIED
    if failures:
        return worst([each for each in failures if each.host], count) or Exit.ERROR
    if len(untold) == len(verdicts):
        console.say("nothing is told here, so that nothing has passed", "bad")
    elif strict and untold:
        console.say("something is not told here, and --strict takes that for a failure", "bad")
    return Exit.UNVERIFIED if len(untold) == len(verdicts) or (strict and untold) else Exit.DONE


def _give_invalid(outputs: Outputs, file: Path, error: SpecError) -> None:
    """What is wrong with a file, in SARIF each at its line."""
    outputs.give(
        json=lambda: json.failure(outputs.command, error),
        markdown=lambda: markdown.failure(outputs.command, error),
        sarif=lambda: sarif.sarif(complaints([error]), locator(file)),
        junit=lambda: junit.junit(junit.failed([error])),
    )
