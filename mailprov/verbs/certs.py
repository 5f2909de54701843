"""mailprov check-certs: how long the served certificates will do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import click

from mailprov.errors import Exit, MailprovError
from mailprov.model import HostSpec
from mailprov.report.json import FORMAT
from mailprov.report.text import Line
from mailprov.verbs import console, outside
from mailprov.verbs.session import hosts, load, worst
from mailprov.verify import Endpoint, Trust, Watched, check_listener, watched

_AT_ONCE = 16
_STYLES = {"ok": "good", "soon": "bad", "failed": "bad", "not seen": "warn"}


def check_certs(file: Path, limit: Sequence[str], least: int, form: str, *, ssh: bool) -> Exit:
    """Look at each listener of each host; exit 9 when a certificate is wrong or has fewer than `least` days left.

    A host that keeps its certificate itself is asked for it by SSH, unless `ssh` is False.
    """
    chosen = hosts(load(file), limit)
    now = datetime.now(UTC)
    with console.doing("looking at certificates"), ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        names = [declared.name for declared in chosen]
        trusted = dict(zip(names, pool.map(lambda declared: _trust(declared, ssh=ssh), chosen), strict=True))
        ends = [(declared, endpoint) for declared in chosen for endpoint in outside.reached(declared)]

        def look(end: tuple[HostSpec, Endpoint]) -> Watched:
            declared, endpoint = end
            found = trusted[declared.name]
            known = Trust() if isinstance(found, MailprovError) else found
            checks = check_listener(endpoint, known, now=now, brief=True)
            closed = {rule.port for rule in outside.narrowed(declared)}
            return watched(declared.name, endpoint, checks, now, least, closed)

        seen = list(pool.map(look, ends))
    if form == "json":
        click.echo(_json(seen, least))
    else:
        console.show(_table(seen))
    failures = [found for found in trusted.values() if isinstance(found, MailprovError)]
    for failure in failures:
        console.say(f"Error: {failure}", "bad")
    wrong = any(each.wrong for each in seen)
    return Exit.UNVERIFIED if wrong else worst(failures, len(chosen))


def _trust(declared: HostSpec, *, ssh: bool) -> Trust | MailprovError:
    """What the host should serve; or why it cannot be told which certificate it keeps."""
    try:
        return outside.asked_trust(declared) if ssh else outside.trust(declared, "")
    except MailprovError as error:
        error.where = error.where or declared.name
        return error


def _table(seen: Sequence[Watched]) -> Iterator[Line]:
    width = max((len(each.host) for each in seen), default=0)
    for each in seen:
        end, until = each.endpoint, f"{each.until:%Y-%m-%d}" if each.until else ""
        left = "" if each.days is None else f"{each.days:,} days"
        words = f"{each.host:<{width}}  {end.protocol:<10}  {end.mode:<8}  {end.port:>5}  {left:>10}  {until:<10}"
        yield Line(f"{words}  {each.status}{f': {each.detail}' if each.detail else ''}", _STYLES[each.status])
    counted = [each.days for each in seen if each.days is not None]
    wrong = sum(each.wrong for each in seen)
    if wrong:
        yield Line(f"{wrong} of {len(seen)} listeners must be seen to.", "bad")
    elif counted:
        yield Line(f"All is well: the first certificate ends in {min(counted):,} days.", "good")
    else:
        yield Line("No certificate was seen.", "warn")


def _json(seen: Sequence[Watched], least: int) -> str:
    listeners = [
        {
            "host": each.host,
            "protocol": each.endpoint.protocol,
            "mode": each.endpoint.mode,
            "port": each.endpoint.port,
            "status": each.status,
            "days": each.days,
            "until": each.until.isoformat() if each.until else None,
            "detail": each.detail,
        }
        for each in seen
    ]
    document = {"format": FORMAT, "right": not any(each.wrong for each in seen), "warn_days": least}
    return json.dumps({**document, "listeners": listeners}, indent=2)
