"""mailprov plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError
from mailprov.model import Plan
from mailprov.planfile import Kept, dump
from mailprov.report import text
from mailprov.rollout import Result
from mailprov.verbs import console, handing
from mailprov.verbs.runner import THREADS, Runner
from mailprov.verbs.session import hosts, load, share, worst


@dataclass(frozen=True, slots=True)
class How:
    """The report's `form` ("text", "json" or "markdown"), where the plan is kept, which hosts, who looks at them."""

    form: str = "text"
    out: Path | None = None
    shard: str = ""
    executor: str = THREADS
    handout: Path | None = None
    details: bool = False
    detailed_exitcode: bool = False


def plan(file: Path, limit: Sequence[str], how: How) -> Exit:
    """Look at each host and report what differs; keep the plan; exit 2 on request when something differs."""
    spec = load(file)
    chosen = share(hosts(spec, limit), how.shard)
    with console.doing(f"looking at {len(chosen)} host{'s' if len(chosen) != 1 else ''}"):
        found = Runner(file, how.executor, spec=spec).look(chosen)
    looked = [result for result in found if not isinstance(result, MailprovError)]
    failures = [result for result in found if isinstance(result, MailprovError)]
    plans = [result.plan for result in looked]
    where = handing.folder(file, how.handout)
    handing.remind(where)
    if plans:
        report(handing.noted(spec, plans, where), how.form, how.details)
    for failure in failures:
        console.say(f"Error: {failure}", "bad")
    if failures:
        return worst(failures, len(chosen))
    if how.out is not None:
        keep(how.out, file, len(chosen) < len(spec.hosts), looked)
    return Exit.CHANGES if how.detailed_exitcode and any(not made.empty for made in plans) else Exit.DONE


def keep(out: Path, file: Path, partial: bool, looked: Sequence[Kept]) -> None:
    """Write the plan for a later `mailprov apply PLAN`, readable by its owner only: it names accounts."""
    text = dump(str(file.resolve()), partial, looked)
    new = out.with_name(out.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    new.replace(out)
    said = " (partial: --limit left hosts out)" if partial else ""
    console.say(f"kept in {out}{said}; next: `mailprov apply {out}`", "good")


def report(plans: Sequence[Plan], form: str, details: bool) -> None:
    """Print the plans."""
    if form == "json":
        from mailprov.report import json

        click.echo(json.plans(plans))
    elif form == "markdown":
        from mailprov.report import markdown

        click.echo(markdown.plans(plans))
    else:
        console.show([*text.plans(plans, details=details), text.total(plans)])


def tell_results(results: Sequence[Result], form: str) -> None:
    """Print what became of each host; one host in text has been told already."""
    if form == "json":
        from mailprov.report import json

        click.echo(json.rollout(results))
    elif form == "markdown":
        from mailprov.report import markdown

        click.echo(markdown.rollout(results))
    elif len(results) > 1:
        console.show(text.rollout(results))
