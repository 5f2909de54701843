"""JUnit XML, as pipelines show what was tested: a suite for each host, a case for each thing that was looked at (pure).

There is no standard; this keeps to what Jenkins' schema and its peers have in common.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from mailprov.checks.cause import Cause
from mailprov.checks.check import Check
from mailprov.errors import MailprovError
from mailprov.report.complaints import complaints
from mailprov.report.logins import LoginReport
from mailprov.report.next_steps import to_do

Outcome = Literal["", "failure", "error", "skipped"]
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""characters that XML 1.0 §2.2 cannot hold"""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was looked at: how it came out ("": well), which kind of trouble it is, and what there is to say.

    "failure": it is not as declared. "error": it could not be looked at. "skipped": it was not tested.
    """

    name: str
    seconds: float = 0.0
    outcome: Outcome = ""
    kind: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """What was looked at on one host."""

    host: str
    cases: Sequence[Case]


def junit(suites: Iterable[Suite]) -> str:
    """The XML of these suites."""
    root = ElementTree.Element("testsuites")
    for suite in suites:
        counts = {outcome: sum(case.outcome == outcome for case in suite.cases) for outcome in _OUTCOMES}
        words = {
            "name": _clean(suite.host),
            "tests": str(len(suite.cases)),
            "failures": str(counts["failure"]),
            "errors": str(counts["error"]),
            "skipped": str(counts["skipped"]),
            "time": _time(case.seconds for case in suite.cases),
        }
        shown = ElementTree.SubElement(root, "testsuite", words)
        for case in suite.cases:
            _add(shown, suite.host, case)
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


_OUTCOMES: tuple[Outcome, ...] = ("failure", "error", "skipped")


def _add(suite: ElementTree.Element, host: str, case: Case) -> None:
    words = {"classname": _clean(f"mailprov.{host}"), "name": _clean(case.name), "time": _time([case.seconds])}
    shown = ElementTree.SubElement(suite, "testcase", words)
    if case.outcome == "skipped":
        ElementTree.SubElement(shown, "skipped", {"message": _clean(case.detail)})
    elif case.outcome:
        ElementTree.SubElement(shown, case.outcome, {"type": _clean(case.kind), "message": _clean(case.detail)})
    elif case.detail:
        ElementTree.SubElement(shown, "system-out").text = _clean(case.detail)


def _time(seconds: Iterable[float]) -> str:
    return f"{sum(seconds):.3f}"


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def checked(host: str, checks: Sequence[Check], user: str = "", *, declared: bool = True) -> Suite:
    """A host's listeners, step by step. What could not be tested is skipped; a warning passes, and is told.

    What to do is told of hosts that are `declared`; `user` is whose account was used, where it is somebody's.
    """
    return Suite(
        host,
        [
            _case(
                f"{check.endpoint.protocol} {check.endpoint.port} {check.step}",
                check,
                to_do(host if declared else "", check, user),
            )
            for check in checks
        ],
    )


def logged_in(roll: LoginReport) -> Suite:
    """A host's accounts, login by login."""
    cases = [
        _case(
            f"{it.address} {it.check.endpoint.protocol} {it.check.endpoint.port}",
            it.check,
            to_do(roll.host, it.check, it.address),
        )
        for it in roll.logins
    ]
    return Suite(roll.host, [*cases, *(Case(name, 0.0, "skipped", "", why) for name, why in roll.without.items())])


def _case(name: str, check: Check, step: str) -> Case:
    untested = check.warns and (check.cause is Cause.NOT_TESTED or check.step == "connect")
    outcome: Outcome = "failure" if check.failed else "skipped" if untested else ""
    detail = "" if check.ok else f"{check.detail}\nto do: {step}" if step else check.detail
    return Case(name, check.seconds, outcome, check.cause.value, detail)


def rehearsed(host: str, checks: Sequence[Check], seconds: float, error: MailprovError | None) -> Suite:
    """A disposable host: what a client saw of it, and whether the whole rehearsal went well."""
    wrong = [case for suite in failed([error] if error else []) for case in suite.cases]
    whole = Case("rehearsal", max(0.0, seconds - sum(check.seconds for check in checks)))
    return Suite(host, [*checked(host, checks, declared=False).cases, *(wrong or [whole])])


def failed(errors: Iterable[MailprovError]) -> list[Suite]:
    """Why hosts, or all of it, could not be looked at."""
    found: dict[str, list[Case]] = {}
    for each in complaints(errors):
        text = "\n".join(filter(None, (each.what, each.why, each.fix)))
        found.setdefault(each.host, []).append(Case(each.where or "mailprov", 0.0, "error", f"exit {each.exit}", text))
    return [Suite(host or "mailprov", cases) for host, cases in found.items()]
