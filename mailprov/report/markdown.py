"""For merge requests: a summary that is read at a glance, the details folded away, all of it short enough for a
comment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from mailprov.encode import markdown as plain
from mailprov.encode import markdown_code as code
from mailprov.encode import markdown_diff as diff
from mailprov.encode import markdown_summary as bare
from mailprov.engine.rollout import FAILURES, HostStatus, Result
from mailprov.errors import MailprovError, brief
from mailprov.model import Change, Plan, Reason, some
from mailprov.report import effects, opening, text
from mailprov.report.comment import Part, fitted
from mailprov.report.complaints import Complaint, complaints, in_one
from mailprov.report.next_steps import to_do

if TYPE_CHECKING:
    from mailprov.checks import Check  # a plan's report needs no mail protocols
    from mailprov.doctor import Diagnosis, Finding
    from mailprov.report.logins import LoginReport

T = TypeVar("T", bound=Hashable)
CHANGES = "| | what | change | why |\n|---|---|---|---|"
"""the head of a table of changes"""
_LONGEST = 500
"""characters of one text that a host or a file may make long"""
_NAMED = 8
"""how many hosts that are alike are named together"""


def failure(command: str, error: MailprovError) -> str:
    """Why `command` has nothing to report."""
    return fitted(f"### mailprov {command}: failed", [failed_part([error])])


def failed_part(errors: Sequence[MailprovError]) -> Part:
    """What went wrong, first of all."""
    return Part(0, "errors", [f"- ❌ {_complaint(each)}" for each in complaints(errors)])


def _complaint(found: Complaint) -> str:
    where = f"{code(found.where)}: " if found.where else ""
    why = f" ({plain(found.why)})" if found.why else ""
    return f"{where}{plain(found.what)}{why}" + (f"; to do: {plain(found.fix)}" if found.fix else "")


# --- plans


def plans(made: Sequence[Plan], failures: Sequence[MailprovError] = ()) -> str:
    """Every host's plan, and why others have none."""
    unseen = f"{text.host_count(len(failures))} could not be looked at." if failures else ""
    told = text.total(made).text if made or not failures else "No plan."
    return fitted(f"### mailprov: {f'{told} {unseen}'.rstrip()}", [failed_part(failures), *_planned(made)])


def rollout(results: Sequence[Result], made: Sequence[Plan] = (), report: str = "apply") -> str:
    """What became of each host, and of which plan."""
    counts = Counter(result.status for result in results)
    told = ", ".join(f"{counts[status]:,} {status.value}" for status in HostStatus if counts[status])
    ordered = sorted(results, key=lambda result: result.status not in FAILURES)
    rows = [
        f"| {code(result.host)} | {result.status.value} | {result.changes} | {result.seconds:.1f} s "
        f"| {_complaint(in_one(result.error)) if result.error else ''} |"
        for result in ordered
    ]
    table = Part(0, "hosts", rows, "| host | verdict | changes | time | |\n|---|---|--:|--:|---|")
    return fitted(f"### mailprov {report}: {told or 'no host'}", [table, *_planned(made)])


def _planned(made: Sequence[Plan]) -> Iterator[Part]:
    several = len(made) > 1
    alike = _shared((_row(plan), plan.host) for plan in made)
    rows = [f"| {_hosts(hosts)} | {row} |" for row, hosts in alike]
    head = "| host | changes | of what | drift | needs | live sessions |\n|---|---|---|--:|---|---|"
    yield Part(2, "hosts", rows, head)
    risks = _shared((f"{plain(risk.text)}: needs `--allow-{risk.flag}`", it.host) for it in made for risk in it.risks)
    yield Part(1, "risks", [f"- ⛔ {words}{_at(hosts, several)}" for words, hosts in risks])
    more = _shared((opened(it.opens, ""), it.host) for it in made if it.opens)
    yield Part(1, "openings", [f"{words}{_at(hosts, several)}" for words, hosts in more])
    waits = _shared((f"once {wait.until}: {wait.what}", it.host) for it in made for wait in it.waits)
    yield Part(2, "waits", [f"- ⏳ {plain(brief(words, _LONGEST))}{_at(hosts, several)}" for words, hosts in waits])
    doubts = _shared((plain(warning), it.host) for it in made for warning in dict.fromkeys(it.warnings))
    yield Part(3, "warnings", [f"- ⚠ {words}{_at(hosts, several)}" for words, hosts in doubts])
    folds = _shared(((tuple(map(change_row, it.changes)), tuple(diff_blocks(it.changes))), it.host) for it in made)
    for (changes, diffs), hosts in folds:
        count = f"{len(changes):,} change{'' if len(changes) == 1 else 's'}"
        yield fold(4, "changes", hosts, count, changes, CHANGES)
        yield fold(5, "diffs", hosts, "details", diffs)


def opened(opens: Sequence[str], where: str) -> str:
    """Which ports open, as an item of a list."""
    return f"- 🔓 {where}{plain(brief(opening(opens), _LONGEST))}"


def _shared(told: Iterable[tuple[T, str]]) -> list[tuple[T, list[str]]]:
    """What is told, each with all the hosts that it is told of."""
    found: dict[T, list[str]] = {}
    for what, host in told:
        found.setdefault(what, []).append(host)
    return list(found.items())


def _hosts(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(map(code, names[:_NAMED])) + more


def _at(names: Sequence[str], several: bool) -> str:
    return f" ({_hosts(names)})" if several else ""


def fold(rank: int, noun: str, hosts: Sequence[str], title: str, items: Sequence[str], table: str = "") -> Part:
    """Items of these hosts, folded away under a title; rows, if there is the head of a `table`."""
    head = f"<details><summary>{bare(some(hosts, _NAMED))}: {title}</summary>\n"
    return Part(rank, noun, items, f"{head}\n{table}" if table else head, "\n\n</details>")


def _row(plan: Plan) -> str:
    """What a host's plan comes to, as cells."""
    if plan.empty:
        return "none | | | |"
    kinds = Counter(change.key.kind for change in plan.changes)
    drift = sum(change.reason is not Reason.PENDING for change in plan.changes)
    cells = (
        text.counts(plan.changes),
        ", ".join(f"{plain(kind)} {count:,}" for kind, count in kinds.items()),
        str(drift or ""),
        " ".join(f"`--allow-{flag}`" for flag in sorted({risk.flag for risk in plan.risks})),
        plain(effects(plan)),
    )
    return " | ".join(cells)


def change_row(change: Change) -> str:
    """A change as a row of a table: what is done, to what, how, and why."""
    reason = "**drift**" if change.reason is Reason.DRIFT else change.reason.value
    return f"| {change.action.value} | {code(str(change.key))} | {plain(change.summary)} | {reason} |"


def diff_blocks(changes: Iterable[Change]) -> Iterator[str]:
    """The details of each change that has some."""
    return (f"- {code(str(change.key))}\n\n{diff(change.detail)}\n" for change in changes if change.detail)


# --- what a client sees


def checks(found: Sequence[tuple[str, Sequence[Check]]], failures: Sequence[MailprovError] = (), user: str = "") -> str:
    """Every host's verification, and why others have none. `user` is whose account was used, where it is somebody's."""
    every = [check for _, made in found for check in made]
    failed, warned = sum(check.failed for check in every), sum(check.warns for check in every)
    total = f"{len(every):,} check{'' if len(every) == 1 else 's'} on {text.host_count(len(found))}"
    title = f"### mailprov verify: {total}, {failed:,} failed, {warned:,} warning{'' if warned == 1 else 's'}"
    bad = [f"| {code(host)} {_check(check)}" for host, made in found for check in made if not check.ok]
    wrong = Part(1, "checks", bad, "| host | | listener | step | time | |\n|---|---|---|---|--:|---|")
    steps = dict.fromkeys(filter(None, (to_do(host, check, user) for host, made in found for check in made)))
    cures = Part(2, "next steps", [f"- to do: {plain(step)}" for step in steps])
    return fitted(title, [failed_part(failures), wrong, cures, *(_seen(host, made) for host, made in found)])


def _seen(host: str, made: Sequence[Check]) -> Part:
    table = "| | listener | step | time | |\n|---|---|---|--:|---|"
    return fold(4, "checks", [host], "what was seen", list(map(_check, made)), table)


def _check(check: Check) -> str:
    mark = "✅" if check.ok else "⚠" if check.warns else "❌"
    listener = f"{check.endpoint.protocol} {check.endpoint.port}"
    return f"| {mark} | {listener} | {check.step} | {check.seconds * 1000:.0f} ms | {plain(check.detail)} |"


def logins(rolls: Sequence[LoginReport], failures: Sequence[MailprovError] = ()) -> str:
    """Who can log in on each host, and why others were not looked at."""
    title = f"### mailprov verify: {sum(r.well for r in rolls):,} of {sum(r.total for r in rolls):,} accounts log in"
    rows = [
        f"| {code(roll.host)} | {code(login.address)} {_check(login.check)}"
        for roll in rolls
        for login in roll.logins
        if not login.check.ok
    ]
    table = "| host | account | | listener | step | time | |\n|---|---|---|---|---|--:|---|"
    untried = [
        f"| {code(roll.host)} | {code(name)} | {plain(why)} |" for roll in rolls for name, why in roll.without.items()
    ]
    without = Part(2, "accounts", untried, "| host | account | not tried |\n|---|---|---|")
    return fitted(title, [failed_part(failures), Part(1, "logins", rows, table), without])


def diagnoses(found: Sequence[tuple[str, Sequence[Check], Diagnosis]], failures: Sequence[MailprovError] = ()) -> str:
    """What is wrong with each host, what was seen of it, and which hosts could not be asked."""
    count = sum(len(diagnosis.causes) for _, _, diagnosis in found)
    title = f"### mailprov doctor: {count or 'no'} cause{'' if count == 1 else 's'} on {text.host_count(len(found))}"
    causes = [_finding(host, each) for host, _, it in found for each in it.causes]
    notices = [_finding(host, each) for host, _, it in found for each in it.findings if each.cause.notice]
    untold = [f"- not known of {code(host)}: {plain(each)}" for host, _, it in found for each in it.undetermined]
    parts = (Part(1, "causes", causes), Part(2, "notices", notices), Part(3, "unknowns", untold))
    return fitted(title, [failed_part(failures), *parts, *(_seen(host, made) for host, made, _ in found)])


def _finding(host: str, found: Finding) -> str:
    cause, mark = found.cause, "⚠" if found.cause.notice else "❌"
    evidence = "".join(f"\n  - known from: {plain(seen)}" for seen in found.evidence)
    where = f" ({plain(', '.join(found.listeners))})" if found.listeners else ""
    return (
        f"- {mark} {code(host)}: **{plain(cause.title)}** `{cause.name}`{where}{evidence}"
        f"\n  - to do: {plain(cause.fix)}\n  - tell the user: {plain(cause.user)}\n  - 告诉用户：{plain(cause.user_zh)}"
    )
