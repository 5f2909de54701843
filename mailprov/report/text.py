"""For a terminal: lines with a style each, so that colour is decided where they are printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mailprov.engine.rollout import FAILURES, HostStatus, Result
from mailprov.model import Action, Change, Key, Plan, Reason, Wait, some
from mailprov.report import effects, opening, printable
from mailprov.report.next_steps import to_do
from mailprov.resources import accounts, maps, packages

if TYPE_CHECKING:
    from mailprov.checks import Check  # a plan's report needs no mail protocols
    from mailprov.doctor import Diagnosis, Finding


class Line(NamedTuple):
    """One line and its style: head, add, change, remove, warn, good, bad, dim or "" (plain)."""

    text: str
    style: str = ""


_DOVECOT = Key(packages.KIND, "dovecot-core")
_MARK: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "add"),
    Action.UPDATE: ("~", "change"),
    Action.REMOVE: ("-", "remove"),
}
TABLES = (accounts.KIND, maps.KIND)
"""kinds whose details are rows, of which there may be many"""
UNCHANGED = "no changes: the host is as declared"
HOSTS = 12
"""how many hosts of a fleet are named together"""


def plans(made: Sequence[Plan], *, details: bool = False) -> list[Line]:
    """Every host's plan; hosts whose plans are the same in every line share them, and warnings that all of them have
    stand above."""
    common = shared_warnings(made)
    lines = [Line(f"! {printable(warning)}", "warn") for warning in common]
    if common:
        made = [without_warnings(each, common) for each in made]
    return [*lines, *grouped((each.host, _system(each), _body(each, details)) for each in made)]


def grouped(parts: Iterable[tuple[str, str, Iterable[Line]]]) -> list[Line]:
    """What there is to say of each host: its name, what stands behind that, and lines below; hosts of which all but
    the name is the same share them."""
    alike: dict[tuple[str, tuple[Line, ...]], list[str]] = {}
    for host, behind, body in parts:
        alike.setdefault((behind, tuple(body)), []).append(host)
    told = ((Line(f"{some(hosts, HOSTS)}{behind}", "head"), *body) for (behind, body), hosts in alike.items())
    return [line for part in told for line in part]


def shared_warnings(made: Sequence[Plan]) -> tuple[str, ...]:
    """The warnings that the plan of every one of several hosts has."""
    if len({each.host for each in made}) < 2:
        return ()
    others = [set(each.warnings) for each in made[1:]]
    return tuple(warning for warning in made[0].warnings if all(warning in other for other in others))


def without_warnings(made: Plan, told: Sequence[str]) -> Plan:
    """The plan without the warnings that are `told` elsewhere."""
    return replace(made, warnings=tuple(warning for warning in made.warnings if warning not in told))


def plan(made: Plan, *, details: bool = False, unchanged: str = UNCHANGED) -> list[Line]:
    """A plan: a line a change, with the diff of each changed file; `details` adds new files and every name."""
    return [Line(f"{made.host}{_system(made)}", "head"), *_body(made, details, unchanged)]


def _system(made: Plan) -> str:
    coming = any(change.action is Action.CREATE and change.key == _DOVECOT for change in made.changes)
    return f"  (Debian {made.facts.release}, Dovecot {made.facts.dovecot}{' to be installed' if coming else ''})"


def _body(made: Plan, details: bool, unchanged: str = UNCHANGED) -> list[Line]:
    lines = [Line(f"  ! {printable(warning)}", "warn") for warning in made.warnings]
    if details and made.certificate_days is not None:
        lines.append(Line(f"  the certificate has {made.certificate_days} days left", "dim"))
    lines += [line for wait in made.waits for line in waiting(wait)]
    if made.empty:
        return [*lines, Line(f"  {unchanged}", "good")]
    wide = width(made.changes)
    for change in made.changes:
        lines.extend(planned(change, wide, details=details))
    lines.extend(Line(f"  ! {printable(risk.text)}: needs --allow-{risk.flag}", "bad") for risk in made.risks)
    if made.opens:
        lines.append(Line(f"  {printable(opening(made.opens))}"))
    lines.append(Line(f"  effect on services: {effects(made)}", "dim"))
    return lines


def waiting(wait: Wait) -> Iterator[Line]:
    """What is left to a later apply, until when, and what there is instead."""
    yield Line(f"  … once {printable(wait.until)}: {printable(wait.what)}", "warn")
    so_far = [f"waited for since {clock(wait.since)}"] if wait.since else []
    so_far += [printable(wait.seen)] if wait.seen else []
    if so_far:
        yield Line(f"      {'; '.join(so_far)}", "dim")


def clock(seconds: int) -> str:
    """A time since the epoch, to the minute, in UTC."""
    return f"{datetime.fromtimestamp(min(seconds, _YEAR_9999), UTC):%Y-%m-%d %H:%M}Z"


_YEAR_9999 = 253402300799


def planned(change: Change, width: int, *, details: bool) -> list[Line]:
    """A change as a plan tells it: why, unless it is pending."""
    reason = "" if change.reason is Reason.PENDING else f"  [{change.reason.value}]"
    return changed(change, width, reason, details=details)


def changed(change: Change, width: int, behind: str, *, details: bool) -> list[Line]:
    """A change in a line, its name `width` columns wide, with what there is to say `behind` it; then its details."""
    mark, style = _MARK[change.action]
    lines = [Line(f"  {mark} {printable(str(change.key)):<{width}}  {printable(change.summary)}{behind}", style)]
    if details or (change.action is Action.UPDATE and change.key.kind not in TABLES):
        lines.extend(Line(f"      {printable(row)}", _diff_style(row)) for row in change.detail)
    elif change.key.kind in TABLES and change.detail:
        lines[0] = Line(lines[0].text + "  (--details names them)", style)
    return lines


def width(changes: Iterable[Change]) -> int:
    """How wide the names of these changes are, within reason."""
    return min(48, max((len(printable(str(change.key))) for change in changes), default=0))


def _diff_style(row: str) -> str:
    return {"+": "add", "-": "remove", "~": "change"}.get(row[:1], "dim")


def total(plans: Sequence[Plan]) -> Line:
    """The last line: how much changes where, told as pending and drift."""
    return tally([made.changes for made in plans])


def tally(hosts: Sequence[Sequence[Change]]) -> Line:
    """The same of each host's changes."""
    changed = [changes for changes in hosts if changes]
    if not changed:
        return Line(f"No changes on {host_count(len(hosts))}.", "good")
    every = [change for changes in changed for change in changes]
    drift = sum(change.reason is not Reason.PENDING for change in every)
    tail = f"; {drift} of them drift (changed on the host)" if drift else ""
    return Line(f"Plan: {counts(every)} on {host_count(len(changed))}{tail}.", "head")


def counts(changes: Sequence[Change]) -> str:
    """How many of these create, update and remove something."""
    found = Counter(change.action for change in changes)
    return ", ".join(f"{found[action]} to {action.value}" for action in Action if found[action])


def host_count(count: int) -> str:
    """ "1 host", "2 hosts"."""
    return f"{count:,} host{'' if count == 1 else 's'}"


def rollout(results: Sequence[Result]) -> list[Line]:
    """What became of a fleet: how many hosts of each verdict, each failure by name, and what to do next."""
    lines = []
    for status in HostStatus:
        of_it = [result for result in results if result.status is status]
        if of_it:
            style = "bad" if status in FAILURES else "warn" if status is HostStatus.WAITING else "good"
            names = some([result.host for result in of_it], 40 if status in FAILURES else HOSTS)
            lines.append(Line(f"  {status.value:<9} {len(of_it):>5,}  {names}", style))
    failed = [result for result in results if result.status in FAILURES]
    for result in failed[:20]:
        what = result.error.what if result.error else ""
        lines.append(Line(f"    {result.host}: {printable(what)}", "bad"))
    reasons: dict[str, list[str]] = {}
    for result in results:
        if result.status is HostStatus.WAITING and result.error:
            reasons.setdefault(result.error.what, []).append(result.host)
    lines += [Line(f"    {some(hosts, 3)}: {printable(why)}", "warn") for why, hosts in reasons.items()]
    if failed or any(result.status is HostStatus.WAITING for result in results):
        lines.append(Line("  hosts that are done stay done: fix the errors above, and run this again to go on", "head"))
    return lines


def verification(checks: Sequence[Check], *, details: bool = False, host: str = "", user: str = "") -> list[Line]:
    """A line a listener that says how far it went, then everything that is not well; `details` adds every check.

    What to do next is told of a declared `host`; `user` is whose account was used, where it is somebody's.
    """
    lines: list[Line] = []
    for endpoint in dict.fromkeys(check.endpoint for check in checks):
        made = [check for check in checks if check.endpoint == endpoint]
        lines.append(_listener(made))
        lines.extend(_check(check) for check in made if details or not check.ok)
    failed = next((check for check in checks if check.failed), None)
    warned = sum(check.warns for check in checks)
    unseen = len({check.endpoint for check in checks if _unseen(check)})
    if failed is not None:
        last = Line(f"  FAILED at {failed.endpoint}: {failed.step}: {printable(failed.detail)}", "bad")
        steps = dict.fromkeys(filter(None, (to_do(host, check, user) for check in checks)))
        return [*lines, last, *(Line(f"  to do: {step}", "head") for step in steps)]
    text = f"{len(checks)} check{'' if len(checks) == 1 else 's'}, {warned} warning{'' if warned == 1 else 's'}"
    if unseen:
        return [*lines, Line(f"  {text}; {unseen} listener{'' if unseen == 1 else 's'} not seen from here", "warn")]
    return [*lines, Line(f"  verified: {text}", "good")]


def _unseen(check: Check) -> bool:
    return check.step == "connect" and check.warns


def _listener(made: Sequence[Check]) -> Line:
    if _unseen(made[0]):
        endpoint = made[0].endpoint
        return Line(f"  {'-':<4} {endpoint.protocol:<10} {endpoint.port:>5}  not seen from here", "warn")
    failed = any(check.failed for check in made)
    went = [
        check.step for check in made if check.ok and check.step in ("tls", "login", "send", "fetch", "relay refused")
    ]
    tls = next((check.detail.partition(",")[0] for check in made if check.ok and check.step == "tls"), "no TLS")
    until = next((check.detail for check in made if check.ok and check.step == "certificate"), "")
    seconds = sum(check.seconds for check in made)
    parts = [tls, *([f"certificate {until}"] if until else []), *went[1:]]
    endpoint = made[0].endpoint
    text = f"  {'FAIL' if failed else 'ok':<4} {endpoint.protocol:<10} {endpoint.port:>5}  {'; '.join(parts)}"
    return Line(f"{text}  ({seconds * 1000:.0f} ms)", "bad" if failed else "good")


def _check(made: Check) -> Line:
    word, style = ("ok", "dim") if made.ok else ("warning", "warn") if made.warns else ("failed", "bad")
    text = f"       {word:<7} {made.step:<24} {made.seconds * 1000:6.0f} ms  {printable(made.detail)}"
    return Line(text.rstrip(), style)


def diagnosis(host: str, checks: Sequence[Check], found: Diagnosis, *, details: bool = False) -> list[Line]:
    """How far each listener let us come, then the first cause and every further one, and what could not be known.

    One listener is shown step by step, several only where something failed; `details` shows every step of all.
    """
    lines = [Line(host, "head")]
    endpoints = dict.fromkeys(check.endpoint for check in checks)
    for endpoint in endpoints:
        made = [check for check in checks if check.endpoint == endpoint]
        lines.append(_listener(made))
        lines.extend(_check(check) for check in made if details or len(endpoints) == 1 or not check.ok)
    for number, finding in enumerate(found.causes):
        lines += [Line(""), *_finding("first cause" if number == 0 else "further cause", finding, "bad")]
    for finding in found.findings:
        if finding.cause.notice:
            lines += [Line(""), *_finding("to know", finding, "warn")]
    if found.undetermined:
        lines += [Line(""), Line("  this cannot be told from here:", "head")]
        lines.extend(Line(f"    {printable(each)}", "dim") for each in found.undetermined)
    if not found.causes:
        lines += [Line(""), Line("  no cause was found: from here, mail works", "good")]
    return lines


def _finding(label: str, finding: Finding, style: str) -> list[Line]:
    cause = finding.cause
    where = f"  ({', '.join(finding.listeners)})" if finding.listeners else ""
    seen, *more = finding.evidence
    return [
        Line(f"  {label}: {cause.title}  [{cause.name}]{where}", style),
        Line(f"    known from:     {printable(seen)}"),
        *(Line(f"                    {printable(each)}") for each in more[:5]),
        *([Line(f"                    … and {len(more) - 5} more", "dim")] if len(more) > 5 else []),
        Line(f"    to do:          {cause.fix}"),
        Line(f"    tell the user:  {cause.user}"),
        Line(f"    告诉用户：      {cause.user_zh}"),
    ]


def problems(checks: Sequence[Check]) -> list[Line]:
    """What is not well, in as many lines as there are different complaints."""
    found: dict[tuple[str, str, bool], list[str]] = {}
    for check in checks:
        if not check.ok:
            found.setdefault((check.step, check.detail, check.failed), []).append(str(check.endpoint.port))
    return [
        Line(
            f"  {'FAIL' if bad else 'warning'}: {step} ({', '.join(ports)}): {printable(detail)}",
            "bad" if bad else "warn",
        )
        for (step, detail, bad), ports in found.items()
    ]
