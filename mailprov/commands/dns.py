"""mailprov dns: the records that the declared domains need. Of hosts, only those that sign are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mailprov.commands import completing, console
from mailprov.commands.options import in_file
from mailprov.commands.outputs import Outputs, reported
from mailprov.commands.root import worst
from mailprov.commands.terminal import Terminal
from mailprov.declaration import addresses
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.dns import Finding, Record, Zone, judge, questions, zones
from mailprov.dns import zonefile as as_zonefile
from mailprov.errors import Exit, MailprovError
from mailprov.report.json import document
from mailprov.report.text import Line
from mailprov.workflows.public_keys import load_signing, public_keys, signers
from mailprov.workflows.selection import confined, meant, refuse_confined

_STYLES = {"ok": "good", "missing": "bad", "different": "bad", "extra": "warn", "unknown": "bad"}


@click.command("dns")
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...", shell_complete=completing.domains)
@in_file
@click.option("--check", is_flag=True, help="Compare with what DNS says; exit 9 when something must be done.")
@click.option("--zonefile", is_flag=True, help="Print the records as a part of a zone file.")
@click.option("--resolver", default="", metavar="IP[:PORT]", help="Ask this resolver. Default: this machine's own.")
@click.option("--web", default="", metavar="NAME", help="The web server with the files for setting up clients.")
@reported("json")
def command(
    outputs: Outputs, domains: tuple[str, ...], file: Path, check: bool, zonefile: bool, resolver: str, web: str
) -> Exit:
    """Show the DNS records that each declared domain needs (or each DOMAIN), or check those that are there.

    MX, SPF and DMARC for mail between servers; SRV records (RFC 6186) by which mail clients find POP3, IMAP and
    submission, also for what is not offered; the host's own address where it is declared. With --web: where clients
    look for autoconfig and autodiscover files. Of domains that are signed: the keys that their hosts have made, which
    are asked for them.

    \b
    --check says of each record that it is
      ok         there, and right; preferences, weights and DMARC's policy are your choice
      missing    not there ("optional": that does no harm)
      different  there, and wrong
      extra      there, with more that nobody declared
      unknown    the resolver gave no answer
    """
    if check and zonefile:
        raise MailprovError("--check and --zonefile exclude each other", where="mailprov dns", fix="give one of them")
    if resolver and not check:
        raise MailprovError("without --check nobody is asked", where="--resolver", fix="add --check")
    if check:
        refuse_confined("--check")
    terminal = Terminal()
    spec = load_signing(file, terminal)
    server_name = _web(web)
    names = _chosen(sorted(spec.domains), domains)
    keys, failures = public_keys(spec, signers(spec, names), terminal) if not confined() else ({}, [])
    chosen = [zone for zone in zones(spec, server_name, keys) if zone.name in names]
    ended = worst(failures, len(keys))
    if check:
        found = _check(chosen, resolver, spec.resolver, outputs)
        return ended or found
    if outputs.text and zonefile:
        click.echo("\n".join(map(as_zonefile, chosen)), nl=False)
    elif outputs.text:
        for zone in chosen:
            console.show(_shown(zone))
    told = [{**_zone(zone), "records": list(map(_record, _all(zone)))} for zone in chosen]
    outputs.give(json=lambda: document("dns", domains=told))
    return ended


def _web(text: str) -> str:
    try:
        return addresses.hostname(text) if text else ""
    except InvalidValue as wrong:
        raise MailprovError(wrong.what, where="--web", fix=wrong.fix) from None


def _chosen(names: Sequence[str], domains: Sequence[str]) -> Sequence[str]:
    wanted = set()
    for text in domains:
        try:
            name = addresses.domain(text)
        except InvalidValue as wrong:
            raise MailprovError(wrong.what, where="mailprov dns", fix=wrong.fix) from None
        if name not in names:
            raise MailprovError(f"the domain {name} is not declared", fix=meant(name, names))
        wanted.add(name)
    return [name for name in names if not wanted or name in wanted]


def _all(zone: Zone) -> Sequence[Record]:
    return (*zone.records, *zone.elsewhere)


def _check(chosen: Sequence[Zone], resolver: str, declared: tuple[str, int] | None, outputs: Outputs) -> Exit:
    from mailprov.dns.resolver import ask, server

    asked = [question for zone in chosen for record in _all(zone) for question in questions(record)]
    with console.doing(f"asking {len(asked)} questions"):
        answers = ask(asked, server(resolver) if resolver else declared)
    found = [(zone, [judge(record, answers) for record in _all(zone)]) for zone in chosen]
    wrong = sum(finding.differs for _, findings in found for finding in findings)
    if outputs.text:
        for zone, findings in found:
            console.show(_judged(zone, findings))
        every = [finding.status for _, findings in found for finding in findings]
        console.show([_summary(len(every), wrong, every.count("unknown"))])
    told = [{**_zone(zone), "records": list(map(_finding, findings))} for zone, findings in found]
    outputs.give(json=lambda: document("dns-check", right=not wrong, domains=told))
    return Exit.UNVERIFIED if wrong else Exit.DONE


def _summary(total: int, wrong: int, unknown: int) -> Line:
    """`wrong` counts the `unknown` ones, too."""
    parts = [f"{wrong - unknown} of {total} records must be changed"] if wrong > unknown else []
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
            yield Line(f"  {'':<9}  to do: {finding.fix}", style)
    yield from (Line(f"  ! {note}", "dim") for note in zone.notes)


def _zone(zone: Zone) -> dict[str, object]:
    return {"domain": zone.name, "title": zone.title, "notes": list(zone.notes)}


def _record(record: Record) -> dict[str, object]:
    shown = {"name": record.name, "type": record.kind, "values": list(record.values), "why": record.why}
    return {**shown, "optional": record.optional}


def _finding(finding: Finding) -> dict[str, object]:
    told = {"status": finding.status, "differs": finding.differs, "found": list(finding.found)}
    return {**_record(finding.record), **told, "what": finding.what, "cure": finding.fix}
