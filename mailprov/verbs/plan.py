"""mailprov plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError
from mailprov.model import Plan
from mailprov.planfile import Claim, bearable, dump
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
    if how.out is not None:
        writable(how.out)
    spec = load(file)
    chosen = share(hosts(spec, limit), how.shard)
    with console.doing(f"looking at {len(chosen)} host{'s' if len(chosen) != 1 else ''}"):
        found = Runner(file, how.executor, spec=spec).look(chosen)
    looked = [result for result in found if not isinstance(result, MailprovError)]
    failures = [result for result in found if isinstance(result, MailprovError)]
    plans = [result.plan for result in looked]
    where = handing.folder(file, how.handout)
    handing.remind(where)
    report(handing.noted(spec, plans, where), how.form, how.details, failures)
    for failure in failures:
        console.say(f"Error: {failure}", "bad")
    if failures:
        if how.out is not None:
            console.say(f"not kept in {how.out}: not every host could be looked at", "bad")
        return worst(failures, len(chosen))
    if how.out is not None:
        keep(how.out, file, len(chosen) < len(spec.hosts), [each.claim for each in looked])
    return Exit.CHANGES if how.detailed_exitcode and any(not made.empty for made in plans) else Exit.DONE


def writable(out: Path) -> None:
    """Raises MailprovError where a plan cannot be kept in `out`: better before all hosts are looked at than after."""
    if not out.name or not out.parent.is_dir():
        raise MailprovError(
            "there is no such folder to keep the plan in", where=str(out), cure="name a file: plan.json"
        )
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise MailprovError("this is no plain file: a plan would replace it", where=str(out), cure="name another file")


def keep(out: Path, file: Path, partial: bool, claims: Sequence[Claim]) -> None:
    """Write the plan for a later `mailprov apply PLAN`, readable by its owner only: it names accounts."""
    text = dump(partial, claims)
    if not bearable(text.encode()):
        what = "the plan is too large to be kept"
        raise MailprovError(what, where=str(out), cure="keep it in parts, with --shard or --limit")
    new = out.with_name(out.name + ".new")
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        new.replace(out)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    said = " (partial: some hosts were left out)" if partial else ""
    where = "" if file == Path("mail.yaml") else f" -f {file}"
    console.say(f"kept in {out}{said}; next: `mailprov apply {out}{where}`", "good")


def report(plans: Sequence[Plan], form: str, details: bool, failures: Sequence[MailprovError] = ()) -> None:
    """Print the plans; in forms that programs read, why there are no others, too."""
    if form == "json":
        from mailprov.report import json

        click.echo(json.plans(plans, failures))
    elif form == "markdown":
        from mailprov.report import markdown

        click.echo(markdown.plans(plans, failures))
    elif plans:
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
