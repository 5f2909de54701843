"""mailprov plan."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from mailprov.apply import Survey, survey
from mailprov.errors import Exit, MailprovError
from mailprov.model import HostSpec, Plan, Spec
from mailprov.report import json, markdown, text
from mailprov.verbs import console
from mailprov.verbs.session import hosts, load, session, worst

AT_ONCE = 16
"""how many hosts are looked at at the same time"""


def plan(file: Path, limit: Sequence[str], form: str, *, details: bool, detailed_exitcode: bool) -> Exit:
    """Look at each host and report what differs; exit 2 on request when something does."""
    spec = load(file)
    chosen = hosts(spec, limit)
    with console.doing(f"looking at {len(chosen)} host{'s' if len(chosen) != 1 else ''}"):
        found = look(spec, chosen)
    plans = [result.plan for result in found if isinstance(result, Survey)]
    failures = [result for result in found if isinstance(result, MailprovError)]
    report(plans, form, details)
    for failure in failures:
        console.say(f"Error: {failure}", "bad")
    if failures:
        return worst(failures, len(chosen))
    return Exit.CHANGES if detailed_exitcode and any(not made.empty for made in plans) else Exit.DONE


def look(spec: Spec, chosen: Sequence[HostSpec]) -> list[Survey | MailprovError]:
    """A survey of each host, or why there is none, in the order of `chosen`."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(lambda declared: _look(spec, declared), chosen))


def _look(spec: Spec, declared: HostSpec) -> Survey | MailprovError:
    try:
        with session(declared) as host:
            return survey(spec, declared, host)
    except MailprovError as error:
        error.where = error.where or declared.name
        return error


def report(plans: Sequence[Plan], form: str, details: bool) -> None:
    """Print the plans."""
    if form == "json":
        click.echo(json.plans(plans))
    elif form == "markdown":
        click.echo(markdown.plans(plans))
    else:
        for made in plans:
            console.show(text.plan(made, details=details))
        console.show([text.total(plans)])
