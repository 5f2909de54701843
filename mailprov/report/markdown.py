"""For pull requests: a summary that is read at a glance, and the diffs folded away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mailprov.engine.rollout import Result
from mailprov.errors import MailprovError
from mailprov.model import Change, Plan, Reason
from mailprov.report import effects, printable, text

if TYPE_CHECKING:
    from mailprov.checks import Check  # a plan's report needs no mail protocols
    from mailprov.doctor import Diagnosis


def plans(made: Sequence[Plan], failures: Sequence[MailprovError] = ()) -> str:
    """Every host's plan, and why others have none."""
    parts = [f"### mailprov: {text.total(made).text}"]
    parts.extend(f"- ❌ {cell(f'{error.where}: {error.what}')}" for error in failures)
    common = text.shared_warnings(made)
    parts.extend(f"- ⚠ {cell(warning)}" for warning in common)
    for plan in made:
        parts.append(f"#### {cell(plan.host)}")
        parts.extend(f"- ⚠ {cell(warning)}" for warning in text.without_warnings(plan, common).warnings)
        parts.extend(f"- ⛔ {cell(risk.text)}: needs `--allow-{risk.flag}`" for risk in plan.risks)
        if plan.empty:
            parts.append("No changes.")
            continue
        parts.append(f"Services: {effects(plan)}")
        parts.append(table(plan.changes))
        parts.extend(folded(plan.changes))
    return "\n\n".join(parts)


def folded(changes: Iterable[Change]) -> Iterator[str]:
    """The details of all these changes, folded away; nothing where there are none."""
    diff = "\n".join(printable(row) for change in changes for row in change.detail)
    if diff:
        fence = "`" * (3 + max((len(run) for run in diff.split() if set(run) == {"`"}), default=0))
        yield f"<details><summary>Details</summary>\n\n{fence}diff\n{diff}\n{fence}\n</details>"


def table(changes: Iterable[Change]) -> str:
    """A row for each change."""
    rows = (
        f"| {change.action.value} | {cell(str(change.key))} | {cell(change.summary)} "
        f"| {'**drift**' if change.reason is Reason.DRIFT else change.reason.value} |"
        for change in changes
    )
    return "\n".join(["| | what | change | why |", "|---|---|---|---|", *rows])


def checks(found: Sequence[tuple[str, Sequence[Check]]]) -> str:
    """Every host's verification."""
    parts = []
    for host, made in found:
        rows = (
            f"| {'✅' if check.ok else '⚠' if check.warns else '❌'} | {check.endpoint.protocol} {check.endpoint.port} "
            f"| {check.step} | {cell(check.detail)} |"
            for check in made
        )
        parts.append(f"### {cell(host)}\n\n| | listener | step | |\n|---|---|---|---|\n" + "\n".join(rows))
    return "\n\n".join(parts)


def diagnoses(found: Sequence[tuple[str, Sequence[Check], Diagnosis]]) -> str:
    """What is wrong with each host, and what was seen of it."""
    parts = []
    for host, made, diagnosis in found:
        parts.append(f"### {cell(host)}: {len(diagnosis.causes) or 'no'} cause{'s' * (len(diagnosis.causes) != 1)}")
        for each in diagnosis.findings:
            cause, mark = each.cause, "⚠" if each.cause.notice else "❌"
            evidence = "".join(f"\n  - known from: {cell(text)}" for text in each.evidence)
            where = f" ({', '.join(each.listeners)})" if each.listeners else ""
            parts.append(
                f"- {mark} **{cell(cause.title)}** `{cause.name}`{where}{evidence}\n  - to do: {cell(cause.fix)}"
                f"\n  - tell the user: {cell(cause.user)}\n  - 告诉用户：{cell(cause.user_zh)}"
            )
        parts.extend(f"- not known: {cell(each)}" for each in diagnosis.undetermined)
        rows = (
            f"| {'✅' if check.ok else '⚠' if check.warns else '❌'} | {check.endpoint.protocol} {check.endpoint.port} "
            f"| {check.step} | {check.seconds * 1000:.0f} ms | {cell(check.detail)} |"
            for check in made
        )
        table = "| | listener | step | time | |\n|---|---|---|--:|---|\n" + "\n".join(rows)
        parts.append(f"<details><summary>What was seen</summary>\n\n{table}\n</details>")
    return "\n\n".join(parts)


def rollout(results: Sequence[Result]) -> str:
    """What became of each host."""
    rows = (
        f"| {cell(result.host)} | {result.status.value} | {result.changes} | {result.seconds:.1f} s "
        f"| {cell(result.error.what) if result.error else ''} |"
        for result in results
    )
    return "### mailprov apply\n\n| host | verdict | changes | time | |\n|---|---|--:|--:|---|\n" + "\n".join(rows)


def cell(value: str) -> str:
    """Text of anybody's in a line of Markdown, in which it means nothing but itself."""
    return _MARKUP.sub(r"\\\g<0>", printable(value))


_MARKUP = re.compile(r"[][\\`*_{}<>|~&!#]")
"""what GitHub gives a meaning within a line (CommonMark §2.4: a backslash takes it away)"""
