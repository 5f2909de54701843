"""Whether mail is accepted elsewhere: for a terminal, as JSON, for merge requests and pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mailprov import encode
from mailprov.deliverability import RECEIVERS, DomainJudged, Finding, HostJudged, Outcome, Receiver, Ruling, Standing
from mailprov.deliverability.words import ORDER, worst
from mailprov.errors import MailprovError
from mailprov.model import some
from mailprov.report import junit, markdown, printable
from mailprov.report.comment import Part, fitted
from mailprov.report.json import document, errors
from mailprov.report.text import Line

_STYLES: Mapping[Standing, str] = {"fail": "bad", "warning": "warn", "untold": "warn", "pass": "good"}
_WORDS: Mapping[Standing, str] = {"fail": "FAIL", "warning": "warning", "untold": "not told", "pass": "ok"}
_MARKS: Mapping[Standing, str] = {"fail": "❌", "warning": "⚠", "untold": "❔", "pass": "✅"}
_NAMED = 8
Hosts = Sequence[HostJudged]
Domains = Sequence[DomainJudged]


def _titled(hosts: Hosts, domains: Domains) -> list[tuple[str, Sequence[Finding]]]:
    """What was looked at, each with its findings."""
    told: list[tuple[str, Sequence[Finding]]] = []
    for host in hosts:
        through = f" through {', '.join(host.relays)}" if host.relays else ""
        sources = f" ({', '.join(host.addresses)})" if host.addresses else ""
        told.append(
            (f"{host.host}: {host.hostname}{sources} sends{through} for {some(host.domains, _NAMED)}", host.findings)
        )
    return [*told, *((f"{domain.domain}: sent by {some(domain.hosts, _NAMED)}", domain.findings) for domain in domains)]


# --- text


def text(hosts: Hosts, domains: Domains, silent: Sequence[str], *, details: bool = False) -> list[Line]:
    """What fails first, with what to do; then what is doubtful, what is not told and, with `details`, what is well."""
    titled = _titled(hosts, domains)
    lines: list[Line] = []
    for standing in ORDER if details else ORDER[:-1]:
        for title, findings in _shared(titled, standing):
            lines += [Line(printable(title), "head"), *(line for finding in findings for line in _lines(finding))]
    lines += [Line(f"{some(silent, _NAMED)}: sends no mail, or for no domain", "dim")] if silent else []
    return [*lines, *_receivers(domains, details), *([total(hosts, domains)] if hosts else [])]


def _shared(titled: Sequence[tuple[str, Sequence[Finding]]], standing: Standing) -> Iterator[tuple[str, list[Finding]]]:
    """The findings that stand so, by title; what is said of several is said once, of all of them.

    That alignment fails is left out: SPF, on which it rests here, says it.
    """
    found: dict[Finding, list[str]] = {}
    for title, findings in titled:
        for finding in findings:
            if finding.standing == standing and not (finding.about == "alignment" and finding.outcome == "fail"):
                found.setdefault(finding, []).append(title)
    together: dict[str, list[Finding]] = {}
    for finding, titles in found.items():
        title = titles[0] if len(titles) == 1 else some([each.partition(":")[0] for each in titles], _NAMED)
        together.setdefault(title, []).append(finding)
    yield from together.items()


def _lines(finding: Finding) -> Iterator[Line]:
    style = _STYLES[finding.standing]
    yield Line(f"  {_WORDS[finding.standing]:<8}  {printable(finding.what)}", style)
    if finding.fix and not finding.unanswered:
        yield Line(f"  {'':<8}  to do: {printable(finding.fix)}", style)
    if finding.record:
        yield Line(f"  {'':<8}  {printable(finding.record)}")


def total(hosts: Hosts, domains: Domains) -> Line:
    """The last line: how many things there are that fail for everybody, and what else there is."""
    every = [finding for _, findings in _titled(hosts, domains) for finding in findings]
    counts = {standing: sum(finding.standing == standing for finding in every) for standing in ORDER}
    parts = [f"{counts['fail']:,} fail{'s' if counts['fail'] == 1 else ''}"] if counts["fail"] else []
    parts += [f"{counts['warning']:,} warning{'' if counts['warning'] == 1 else 's'}"] if counts["warning"] else []
    parts += [f"{counts['untold']:,} cannot be told from here"] if counts["untold"] else []
    parts += [f"{counts['pass']:,} well"] if counts["pass"] else []
    style = "bad" if counts["fail"] else "warn" if counts["warning"] or counts["untold"] else "good"
    return Line(f"{len(every):,} things looked at: {', '.join(parts)}.", style)


def _receivers(domains: Domains, details: bool) -> Iterator[Line]:
    rulings = [ruling for domain in domains for ruling in domain.rulings]
    if not rulings:
        return
    yield Line("receivers", "head")
    for receiver in RECEIVERS:
        mine = [ruling for ruling in rulings if ruling.receiver == receiver]
        stands = _stands(mine, bulk=False)
        style = _STYLES[worst(ruling.outcome for ruling in mine if not ruling.rule.bulk and ruling.rule.asks)]
        yield Line(f"  {receiver.name:<9}  {stands}; bulk senders: {_stands(mine, bulk=True)}", style)
        yield from _rules(receiver, domains) if details else ()
    bulk = f"  bulk senders: {', '.join(f'{each.name} {each.bulk}' for each in RECEIVERS)}"
    yield Line(bulk if details else "  --details shows each rule, where it is from, and what is well", "dim")


def _stands(rulings: Sequence[Ruling], *, bulk: bool) -> str:
    """How the rules of one receiver stand for all domains, in words."""
    mine = [ruling for ruling in rulings if ruling.rule.bulk == bulk]
    if not mine:
        return "no rule is known"
    wrong = list(dict.fromkeys(ruling.rule.name for ruling in mine if ruling.outcome == "fail"))
    untold = list(dict.fromkeys(each.rule.name for each in mine if each.outcome == "untold" and each.rule.asks))
    told = [f"fails ({', '.join(wrong)})"] if wrong else []
    told += [f"cannot be told ({', '.join(untold)})"] if untold else []
    return ", ".join(told) or ("passes" if any(ruling.outcome == "pass" for ruling in mine) else "cannot be told")


def _rules(receiver: Receiver, domains: Domains) -> Iterator[Line]:
    for rule in receiver.rules:
        found: dict[Outcome, list[str]] = {}
        for domain in domains:
            for ruling in domain.rulings:
                if ruling.rule == rule and ruling.receiver == receiver:
                    found.setdefault(ruling.outcome, []).append(domain.domain)
        whom = "bulk" if rule.bulk else "all"
        source = f"{rule.source} ({rule.checked_on}{'' if rule.verified else ', not verified'})"
        for outcome, names in found.items():
            bulk = rule.bulk and outcome == "fail"
            word, style = ("fails", "warn") if bulk else (_WORDS[outcome], _STYLES[outcome])
            yield Line(f"    {word:<8}  {whom:<4}  {rule.words}: {some(names, _NAMED)}", style)
        yield Line(f"    {'':<8}        {source}", "dim")


# --- JSON


def as_json(hosts: Hosts, domains: Domains, failures: Sequence[MailprovError], *, fails: bool) -> str:
    """Everything, for programs; "accepted" says that nothing fails for senders that are no bulk senders."""
    return document(
        "verify-deliverability",
        accepted=not fails and not failures,
        hosts=list(map(_host, hosts)),
        domains=list(map(_domain, domains)),
        failed=errors(failures),
    )


def _host(host: HostJudged) -> dict[str, object]:
    return {
        "host": host.host,
        "hostname": host.hostname,
        "domains": list(host.domains),
        "addresses": list(host.addresses),
        "relays": list(host.relays),
        "findings": list(map(_finding, host.findings)),
    }


def _domain(domain: DomainJudged) -> dict[str, object]:
    return {
        "domain": domain.domain,
        "hosts": list(domain.hosts),
        "findings": list(map(_finding, domain.findings)),
        "rules": list(map(_ruling, domain.rulings)),
    }


def _finding(finding: Finding) -> dict[str, object]:
    told = {"about": finding.about, "standing": finding.standing, "what": finding.what}
    return {**told, "cure": finding.fix, "record": finding.record}


def _ruling(ruling: Ruling) -> dict[str, object]:
    rule = ruling.rule
    return {
        "receiver": ruling.receiver.name,
        "rule": rule.name,
        "what": rule.words,
        "outcome": ruling.outcome,
        "because": list(ruling.because),
        "bulk": rule.bulk,
        "bulk_means": ruling.receiver.bulk,
        "source": rule.source,
        "checked_on": rule.checked_on.isoformat(),
        "verified": rule.verified,
    }


# --- Markdown, JUnit


def as_markdown(hosts: Hosts, domains: Domains, failures: Sequence[MailprovError]) -> str:
    """What fails, what is doubtful, the receivers as a table, and, folded away, what is well."""
    every = [(title.partition(":")[0], finding) for title, found in _titled(hosts, domains) for finding in found]
    parts = [markdown.failed_part(failures)]
    for rank, standing in enumerate(ORDER[:-1], 1):
        parts.append(Part(rank, "findings", [_item(*each) for each in every if each[1].standing == standing]))
    rulings = [ruling for domain in domains for ruling in domain.rulings]
    rows = [_row(receiver, [each for each in rulings if each.receiver == receiver]) for receiver in RECEIVERS]
    table = "\n| receiver | everybody | bulk senders |\n|---|---|---|"
    parts.append(Part(4, "receivers", rows if rulings else [], table))
    well = [_item(*each) for each in every if each[1].standing == "pass"]
    parts.append(Part(5, "findings", well, f"\n<details><summary>{len(well):,} well</summary>\n", "\n\n</details>"))
    title = total(hosts, domains).text if hosts else "no host that sends could be looked at"
    return fitted(f"### mailprov verify --deliverability: {title}", parts)


def _item(whose: str, finding: Finding) -> str:
    plain, code = encode.markdown, encode.markdown_code
    fix = f"\n  - to do: {plain(finding.fix)}" if finding.fix else ""
    record = f"\n  - {code(finding.record)}" if finding.record else ""
    return f"- {_MARKS[finding.standing]} {code(whose)}: {plain(finding.what)}{fix}{record}"


def _row(receiver: Receiver, mine: Sequence[Ruling]) -> str:
    return f"| {receiver.name} | {_stands(mine, bulk=False)} | {_stands(mine, bulk=True)} |"


def suites(hosts: Hosts, domains: Domains, failures: Sequence[MailprovError]) -> list[junit.Suite]:
    """A suite for each host and domain: what cannot be told is skipped; rules for bulk senders alone never fail."""
    made = [junit.Suite(host.host, list(map(_case, host.findings))) for host in hosts]
    for domain in domains:
        cases = [*map(_case, domain.findings), *map(_rule_case, domain.rulings)]
        made.append(junit.Suite(domain.domain, cases))
    return [*made, *junit.failed(failures)]


_OUTCOMES: Mapping[Standing, junit.Outcome] = {"fail": "failure", "untold": "skipped", "warning": "", "pass": ""}


def _case(finding: Finding) -> junit.Case:
    detail = "\n".join(filter(None, (finding.what, finding.fix and f"to do: {finding.fix}", finding.record)))
    return junit.Case(finding.about, 0.0, _OUTCOMES[finding.standing], finding.about, detail)


def _rule_case(ruling: Ruling) -> junit.Case:
    rule, name = ruling.rule, f"{ruling.receiver.name} {ruling.rule.name}"
    outcome = "" if rule.bulk and ruling.outcome == "fail" else _OUTCOMES[ruling.outcome]
    fails = "fails for bulk senders: " if rule.bulk and ruling.outcome == "fail" else ""
    because = f" ({', '.join(ruling.because)})" if ruling.because else ""
    return junit.Case(name, 0.0, outcome, "rule", f"{fails}{rule.words}{because}; {rule.source}")
