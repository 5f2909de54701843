"""mailprov plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailprov.errors import Exit, MailprovError
from mailprov.model import HostSpec, Plan, Spec
from mailprov.plan import prints
from mailprov.report import text
from mailprov.rollout import Result
from mailprov.survey import Survey, prepare, survey
from mailprov.verbs import console
from mailprov.verbs.session import hosts, load, session, share, worst

if TYPE_CHECKING:
    from mailprov.planfile import Kept

AT_ONCE = 16
"""how many hosts are looked at at the same time"""


def plan(
    file: Path,
    limit: Sequence[str],
    form: str,
    out: Path | None,
    *,
    shard: str = "",
    details: bool,
    detailed_exitcode: bool,
) -> Exit:
    """Look at each host and report what differs; keep the plan in `out`; exit 2 on request when something differs."""
    spec = load(file)
    chosen = share(hosts(spec, limit), shard)
    with console.doing(f"looking at {len(chosen)} host{'s' if len(chosen) != 1 else ''}"):
        found = look(spec, chosen)
    looked = [result for result in found if isinstance(result, Looked)]
    failures = [result for result in found if isinstance(result, MailprovError)]
    plans = [result.survey.plan for result in looked]
    if plans:
        report(plans, form, details)
    for failure in failures:
        console.say(f"Error: {failure}", "bad")
    if failures:
        return worst(failures, len(chosen))
    if out is not None:
        keep(out, file, len(chosen) < len(spec.hosts), looked)
    return Exit.CHANGES if detailed_exitcode and any(not made.empty for made in plans) else Exit.DONE


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found on a host, and the key that it proved to have."""

    survey: Survey
    identity: str


def look(spec: Spec, chosen: Sequence[HostSpec]) -> list[Looked | MailprovError]:
    """A survey of each host, or why there is none, in the order of `chosen`."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        looking = pool.map(lambda declared: _look(spec, declared), chosen)
        prepare(chosen)
        return list(looking)


def _look(spec: Spec, declared: HostSpec) -> Looked | MailprovError:
    try:
        with session(declared) as host:
            return Looked(survey(spec, declared, host), host.identity)
    except MailprovError as error:
        error.where = error.where or declared.name
        return error


def keep(out: Path, file: Path, partial: bool, looked: Sequence[Looked]) -> None:
    """Write the plan for a later `mailprov apply PLAN`, readable by its owner only: it names accounts."""
    from mailprov import planfile

    text = planfile.dump(str(file.resolve()), partial, [kept(found) for found in looked])
    new = out.with_name(out.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    new.replace(out)
    said = " (partial: --limit left hosts out)" if partial else ""
    console.say(f"kept in {out}{said}; next: `mailprov apply {out}`", "good")


def kept(found: Looked) -> Kept:
    """What was found, as a plan that is kept."""
    from mailprov.planfile import Kept

    return Kept(found.survey.plan, found.identity, prints(found.survey.plan.desired), found.survey.seen)


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
