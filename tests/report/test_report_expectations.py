"""How expectations stand, in each form: whatever is said, it is text that harms nobody, and valid by its standard."""

from __future__ import annotations

import json
import re

import pytest
from hostile import HOSTILE_TEXT, steers
from hypothesis import given
from hypothesis import strategies as st
from test_schemas import require_junit, require_sarif

from mailprov.errors import HostError, Origin
from mailprov.expectations.model import (
    Delivery,
    Finding,
    Limit,
    Login,
    Outcome,
    PlanLimit,
    Port,
    Records,
    Verdict,
    Witness,
)
from mailprov.expectations.networks import EVERYWHERE
from mailprov.report import expectations as report
from mailprov.report import junit, sarif

PLACE = Origin("tests/policy.yaml", 3, 5)


def limit(line: int, reason: str = "") -> PlanLimit:
    return PlanLimit(origin=Origin("tests/policy.yaml", line, 5), reason=reason, of="accounts_closed", at_most=5)


def says(holds: bool | None, what: str = "so", host: str = "", by: Witness = Witness.DECLARATION) -> Finding:
    return Finding(by, holds, what, host)


HOLDS = Verdict(limit(3), (says(True),))
FAILS = Verdict(limit(4, "the export"), (says(True, "", "h1"), says(False, "60 are closed", "h2", Witness.PLAN)))
UNTOLD = Verdict(limit(5), (), "ask with --live")


@pytest.mark.parametrize(
    ("findings", "outcome", "untold"),
    [
        ((), Outcome.NOT_TOLD, "nobody says"),
        ((says(True),), Outcome.HOLDS, ""),
        ((says(True), says(False)), Outcome.FAILS, ""),
        ((says(None, "why"),), Outcome.NOT_TOLD, "why"),
        ((says(True, host="h1"), says(None, "why", "h2")), Outcome.NOT_TOLD, "why (h2)"),
        ((says(True, host="h1"), says(None, "why", "h1")), Outcome.HOLDS, ""),
        ((says(None, "why", "h1"), says(True, "asked", "h1", Witness.HOST)), Outcome.HOLDS, ""),
        ((says(False, host="h1"), says(None, "why", "h2")), Outcome.FAILS, ""),
    ],
)
def test_what_holds_is_told_of_every_host(findings: tuple[Finding, ...], outcome: Outcome, untold: str) -> None:
    verdict = Verdict(limit(3), findings, "nobody says")
    assert (verdict.outcome, verdict.untold) == (outcome, untold)


def test_at_a_terminal() -> None:
    told = [line.text for line in report.text([HOLDS, FAILS, UNTOLD])]
    assert told == [
        "tests/policy.yaml",
        "  FAIL 4:5    the plan closes at most 5 accounts",
        "              the plan of now, h2: 60 are closed",
        "              reason: the export",
        "  -    5:5    the plan closes at most 5 accounts: not told here: ask with --live",
    ]
    assert report.total([HOLDS, FAILS, UNTOLD]).text == (
        "3 expectations: 1 holds, 1 does not hold, 1 is not told here."
    )
    assert report.text([HOLDS]) == [] and report.total([HOLDS]).text == "1 expectation: 1 holds."
    assert "  ok   3:5    " in report.text([HOLDS], details=True)[1].text


def test_as_cases_for_a_pipeline() -> None:
    wrong = HostError("no answer")
    wrong.at("h3")
    suite, other = require_junit(junit.junit(report.suites([HOLDS, FAILS, UNTOLD], [wrong])))
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped")) == (
        *("tests/policy.yaml", "3", "1", "1"),
    )
    assert suite[1][0].get("message") == "the plan of now, h2: 60 are closed\nreason: the export"
    assert suite[2][0].get("message") == "not told here: ask with --live"
    assert (other.get("name"), other.get("errors")) == ("h3", "1")


def test_at_the_lines_of_a_merge_request() -> None:
    run = require_sarif(sarif.sarif(report.complaints([HOLDS, FAILS, UNTOLD]), lambda name: name))
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("unmet-expectation", "error")
    assert result["message"]["text"].startswith(
        "this does not hold: the plan closes at most 5 accounts\nthe plan of now"
    )
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 4, "startColumn": 5}


def test_a_comment_that_fits() -> None:
    page = report.as_markdown([FAILS] * 2000 + [HOLDS] * 2000)
    assert len(page) <= 65_536 and "more expectations left out" in page
    assert page.startswith("### mailprov test: 4,000 expectations: 2,000 hold, 2,000 do not hold.")


TEXT = HOSTILE_TEXT.filter(bool)
COMMON = st.fixed_dictionaries(
    {"origin": st.builds(Origin, TEXT, st.just(1), st.just(1)), "reason": TEXT, "on": TEXT, "hosts": st.none()}
)
ANY = st.one_of(
    st.builds(
        lambda common, said: Login(**common, user=said, by=("imap",), sources=EVERYWHERE, where=said, allowed=True),
        *(COMMON, TEXT),
    ),
    st.builds(lambda common, said: Delivery(**common, to=said, reaches=(said,)), COMMON, TEXT),
    st.builds(
        lambda common, said: Port(**common, ports=(1,), answers="tls", protocol=said, sources=EVERYWHERE, where=said),
        *(COMMON, TEXT),
    ),
    st.builds(lambda common, said: Records(**common, name=said, values=(said,)), COMMON, TEXT),
    st.builds(lambda common, said: Limit(**common, of="quota", at_most=1, size=said, user=said), COMMON, TEXT),
    st.builds(lambda common, said: PlanLimit(**common, of="changes", at_most=0, name=said), COMMON, TEXT),
)
FINDINGS = st.lists(
    st.builds(Finding, st.sampled_from(Witness), st.sampled_from([True, False, None]), TEXT, TEXT), max_size=3
)


@given(
    verdicts=st.lists(st.builds(lambda it, found, why: Verdict(it, tuple(found), why), ANY, FINDINGS, TEXT), max_size=3)
)
def test_whatever_is_said_harms_nobody(verdicts: list[Verdict]) -> None:
    for line in report.text(verdicts, details=True):
        assert steers(line.text) == []
    told = json.loads(report.as_json(verdicts))
    assert len(told["expectations"]) == len(verdicts) == sum(told["counts"].values())
    page = report.as_markdown(verdicts)
    assert steers(page.replace("\u200b", "")) == []
    outside = re.sub("`[^`\n]*`", "", page)  # in a span of code nothing is markup
    assert "<script" not in outside and "![x]" not in outside and "</details><" not in outside
    require_junit(junit.junit(report.suites(verdicts)))
    require_sarif(sarif.sarif(report.complaints(verdicts), lambda _: "policy.yaml"))
