"""mailprov dns: the records that the declared domains need. Asks no host; with --check, a resolver."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mailprov.dns import Finding, Record, Zone, judge, questions, zonefile, zones
from mailprov.errors import Exit, MailprovError
from mailprov.report.json import FORMAT
from mailprov.report.text import Line
from mailprov.spec import addresses
from mailprov.spec.desk import Wrong
from mailprov.verbs import console
from mailprov.verbs.session import load, meant

_STYLES = {"ok": "good", "missing": "bad", "different": "bad", "extra": "warn", "unknown": "bad"}


@dataclass(frozen=True, slots=True)
class How:
    """What is done with the records: compared, printed as a zone file; which resolver and web server."""

    check: bool = False
    zonefile: bool = False
    resolver: str = ""
    web: str = ""
    form: str = "text"


def dns(file: Path, domains: Sequence[str], how: How) -> Exit:
    """Show what each domain needs, or how what is there compares: exit 9 when something must be done.

    Raises MailprovError for an undeclared domain, and for options that do not go together.
    """
    if how.check and how.zonefile:
        raise MailprovError("--check and --zonefile exclude each other", where="mailprov dns", cure="give one of them")
    if how.resolver and not how.check:
        raise MailprovError("without --check nobody is asked", where="--resolver", cure="add --check")
    spec = load(file)
    chosen = _chosen(zones(spec, _web(how.web)), domains)
    if how.check:
        return _check(chosen, how)
    if how.form == "json":
        hosts = [{**_zone(zone), "records": list(map(_record, _all(zone)))} for zone in chosen]
        click.echo(json.dumps({"format": FORMAT, "domains": hosts}, indent=2))
    elif how.zonefile:
        click.echo("\n".join(map(zonefile, chosen)), nl=False)
    else:
        for zone in chosen:
            console.show(_shown(zone))
    return Exit.DONE


def _web(text: str) -> str:
    try:
        return addresses.hostname(text) if text else ""
    except Wrong as wrong:
        raise MailprovError(wrong.what, where="--web", cure=wrong.cure) from None


def _chosen(every: Sequence[Zone], domains: Sequence[str]) -> Sequence[Zone]:
    names = [zone.name for zone in every]
    wanted = set()
    for text in domains:
        try:
            name = addresses.domain(text)
        except Wrong as wrong:
            raise MailprovError(wrong.what, where="mailprov dns", cure=wrong.cure) from None
        if name not in names:
            raise MailprovError(f"the domain {name} is not declared", cure=meant(name, names))
        wanted.add(name)
    return [zone for zone in every if not wanted or zone.name in wanted]


def _all(zone: Zone) -> Sequence[Record]:
    return (*zone.records, *zone.elsewhere)


def _check(chosen: Sequence[Zone], how: How) -> Exit:
    from mailprov.resolver import ask, server

    resolver = server(how.resolver) if how.resolver else None
    asked = [question for zone in chosen for record in _all(zone) for question in questions(record)]
    with console.doing(f"asking {len(asked)} questions"):
        answers = ask(asked, resolver)
    found = [(zone, [judge(record, answers) for record in _all(zone)]) for zone in chosen]
    wrong = sum(finding.differs for _, findings in found for finding in findings)
    if how.form == "json":
        told = [{**_zone(zone), "records": list(map(_finding, findings))} for zone, findings in found]
        click.echo(json.dumps({"format": FORMAT, "right": not wrong, "domains": told}, indent=2))
    else:
        for zone, findings in found:
            console.show(_judged(zone, findings))
        every = [finding.status for _, findings in found for finding in findings]
        console.show([_summary(len(every), wrong, every.count("unknown"))])
    return Exit.UNVERIFIED if wrong else Exit.DONE


def _summary(total: int, wrong: int, unknown: int) -> Line:
    """`wrong` counts the `unknown` ones, too."""
    parts = [f"{wrong - unknown} of {total} records must be mended"] if wrong > unknown else []
    parts += [f"{unknown} of {total} could not be looked up"] if unknown else []
    return Line(
        f"{'; '.join(parts)}." if parts else f"all {total} records are as they should be.", "bad" if wrong else "good"
    )


def _head(zone: Zone) -> Line:
    return Line(f"{zone.name}  ({zone.title})", "head")


def _shown(zone: Zone) -> Iterator[Line]:
    yield _head(zone)
    width = max(len(record.name) for record in _all(zone))
    for record in _all(zone):
        for value in record.shown:
            note = "  (in another zone)" if record in zone.elsewhere else ""
            yield Line(f"  {record.kind:<5}  {record.name:<{width}}  {value}{note}")
    yield from (Line(f"  ! {note}", "dim") for note in zone.notes)


def _judged(zone: Zone, findings: Sequence[Finding]) -> Iterator[Line]:
    yield _head(zone)
    width = max(len(finding.record.name) for finding in findings)
    for finding in findings:
        record, status = finding.record, finding.status
        style = _STYLES[status] if finding.differs or status == "ok" else "dim"
        what = "; ".join(finding.found) if status == "ok" else finding.what
        word = "optional" if status == "missing" and record.optional else status
        yield Line(f"  {word:<9}  {record.kind:<5}  {record.name:<{width}}  {what}", style)
        if finding.differs:
            yield Line(f"  {'':<9}  to do: {finding.cure}", style)
    yield from (Line(f"  ! {note}", "dim") for note in zone.notes)


def _zone(zone: Zone) -> dict[str, object]:
    return {"domain": zone.name, "title": zone.title, "notes": list(zone.notes)}


def _record(record: Record) -> dict[str, object]:
    shown = {"name": record.name, "type": record.kind, "values": list(record.values), "why": record.why}
    return {**shown, "optional": record.optional}


def _finding(finding: Finding) -> dict[str, object]:
    told = {"status": finding.status, "differs": finding.differs, "found": list(finding.found)}
    return {**_record(finding.record), **told, "what": finding.what, "cure": finding.cure}
