"""What hosts are in and what was done to them: for a terminal, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from mailprov.engine.history import Entry, History
from mailprov.engine.status import Status
from mailprov.engine.transaction_state import Station, words
from mailprov.errors import MailprovError
from mailprov.model import KeyPair
from mailprov.model.mail_queue import MailQueue
from mailprov.report import printable
from mailprov.report.json import document, errors
from mailprov.report.text import Line, clock

_REASONS = 5
"""why mail waits: how many reasons are shown"""


def status(found: Status) -> list[Line]:
    """What one host is in, what matters most first."""
    lines = [Line(found.host, "head")]
    where = printable(words(found.where, trying=bool(found.holder)))
    if found.open and found.holder:
        since = f" since {found.begun:%Y-%m-%d %H:%M:%S}Z" if found.begun else ""
        bad = found.where.station is Station.INCOMPLETE
        lines.append(Line(f"  at work{since}: {printable(found.holder)}", "warn"))
        lines.append(Line(f"    {found.open}: {where}", "bad" if bad else "warn"))
    elif found.open:
        lines.append(
            Line(f"  cut off: {found.open}: {where}; nobody is at work; the next apply settles it first", "bad")
        )
    lines.extend(Line(f"  {name} is down ({printable(state)})", "bad") for name, state in found.down)
    if found.silent:
        ports = ", ".join(f"{port} ({protocol})" for protocol, port in found.silent)
        lines.append(Line(f"  declared, but no mail service listens there: {ports}", "warn"))
    lines.extend(
        Line(f"  reload pending: {printable(debt)}; the next apply gives it", "warn") for debt in found.pending
    )
    lines.extend(_waiting(found.waiting))
    lines.extend(map(_signing, [pair for pair in found.keys if pair.use != "retired"]))
    if found.last is None:
        lines.append(Line("  nothing has been applied yet"))
    else:
        lines.append(Line(f"  last: {_entry(found.last)}"))
    if not (found.open or found.down or found.pending):
        lines.append(Line("  idle: no apply running, no reload pending", "good"))
    return lines


def _waiting(found: MailQueue) -> Iterator[Line]:
    """Mail that could not be sent yet, and why."""
    if found.count:
        since = f", the oldest since {clock(found.oldest)}" if found.oldest else ""
        yield Line(f"  mail waits to be sent: {found.count:,} message{'' if found.count == 1 else 's'}{since}", "warn")
    for reason, count in found.reasons[:_REASONS]:
        yield Line(f"    {count:,} recipient{'' if count == 1 else 's'}: {printable(reason)}", "dim")


_USES: Mapping[str, str] = {
    "waits": "{} waits for its DNS records",
    "signs": "mail is signed with {}",
    "signed": "mail was signed with {}: its DNS records are still needed",
}


def _signing(pair: KeyPair) -> Line:
    """What a pair of keys is for, and since when."""
    lost = not pair.intact and pair.use != "signed"
    wrong = "; its private keys are not as they were made: the next apply makes others" if lost else ""
    since = f", since {clock(pair.since)}" if pair.since else ""
    words = _USES[pair.use].format(pair.name)
    return Line(f"  {pair.domain}: {words}{since}{wrong}", "bad" if wrong else "warn" if pair.use == "waits" else "")


def history(host: str, found: History) -> list[Line]:
    """Who applied what to one host, when, and how it ended."""
    style = {"applied": "good", "reverted": "warn", "failed": "warn"}
    entries = [Line(f"  {_entry(entry)}", style.get(entry.verdict, "bad")) for entry in found.entries]
    return [Line(host, "head"), *(entries or [Line("  nothing has been applied yet")])]


def _entry(entry: Entry) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.transaction}  {entry.verdict:<9} {printable(entry.meta)}".rstrip()


def statuses(found: Sequence[Status], failures: Sequence[MailprovError] = ()) -> str:
    """Every host's status as JSON, and why others have none."""
    return document("status", hosts=[_status(each) for each in found], failed=errors(failures))


def _status(found: Status) -> dict[str, object]:
    where = found.where
    return {
        "host": found.host,
        "state": found.state.value,
        "at_work": found.holder or None,
        "transaction": {
            "name": found.open,
            "station": where.station.value,
            "begun": _time(found.begun),
            "since": _time(where.since),
            "step": where.step or None,
            "until": _time(where.until),
            "reason": where.reason,
            "text": words(where, trying=bool(found.holder)),
        }
        if found.open
        else None,
        "services_down": [{"service": name, "state": state} for name, state in found.down],
        "not_listening": [{"protocol": protocol, "port": port} for protocol, port in found.silent],
        "reloads_pending": list(found.pending),
        "mail_waiting": {
            "messages": found.waiting.count,
            "oldest": _time(datetime.fromtimestamp(found.waiting.oldest, UTC)) if found.waiting.oldest else None,
            "reasons": [{"reason": reason, "recipients": count} for reason, count in found.waiting.reasons],
        },
        "signing": [_pair(pair) for pair in found.keys if pair.use != "retired"],
        "last": _dated(found.last) if found.last else None,
    }


def _pair(pair: KeyPair) -> dict[str, object]:
    since = _time(datetime.fromtimestamp(pair.since, UTC))
    return {"domain": pair.domain, "name": pair.name, "use": pair.use, "since": since, "intact": pair.intact}


def histories(found: Sequence[tuple[str, History]], failures: Sequence[MailprovError] = ()) -> str:
    """Every host's history as JSON; "gap" is the first line that does not follow from the one before it, or null."""
    hosts = [
        {"host": name, "gap": past.gap or None, "entries": [_dated(entry) for entry in past.entries]}
        for name, past in found
    ]
    return document("history", hosts=hosts, failed=errors(failures))


def _dated(entry: Entry) -> dict[str, object]:
    return {
        "at": _time(entry.at),
        "transaction": entry.transaction,
        "verdict": entry.verdict,
        "by": entry.meta,
        "who": entry.who or None,
        "commit": entry.commit or None,
        "summary": entry.summary,
    }


def _time(when: datetime | None) -> str | None:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if when else None
