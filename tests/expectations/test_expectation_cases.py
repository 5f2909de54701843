"""Each file in cases/ holds expectations of office.yaml, and behind each what becomes of it.

    # holds                  it holds
    # fails: words           it does not, and what is said of that holds the words
    # untold: words          it is not told here, since these words
    # expect: 3:5 words      the file is invalid: a complaint at line 3, column 5, which holds the words (cure included)

Where anything is complained about, nothing else may be.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from expectation_tools import judged

from mailprov.errors import ExpectationsError
from mailprov.expectations.model import Outcome
from mailprov.report.expectations import said

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
_MARK = re.compile(r"# (holds|fails: (.+)|untold: (.+))$")
_EXPECT = re.compile(r"# expect: (\d+):(\d+) (.+)$", re.M)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case: Path) -> None:
    text = case.read_text(encoding="utf-8")
    wanted = _EXPECT.findall(text)
    try:
        verdicts = judged(text)
    except ExpectationsError as error:
        told = [f"{it.origin.line}:{it.origin.column} {it.what}; {it.fix}" for it in error.errors]
        left = list(told)
        for line, column, words in wanted:
            match = next((it for it in left if it.startswith(f"{line}:{column} ") and words in it), None)
            assert match is not None, f"nobody said {line}:{column} {words!r}; left:\n" + "\n".join(left)
            left.remove(match)
        assert left == []
        assert str(error).endswith(f"{len(told)} errors in the expectations")
        return
    assert wanted == []
    marks = {number: found for number, line in enumerate(text.splitlines(), 1) if (found := _MARK.search(line))}
    assert [each.expectation.origin.line for each in verdicts] == list(marks)
    for each, (kind, fails, untold) in zip(verdicts, (mark.groups() for mark in marks.values()), strict=True):
        outcome = {"h": Outcome.HOLDS, "f": Outcome.FAILS, "u": Outcome.NOT_TOLD}[kind[0]]
        here = f"line {each.expectation.origin.line}: {each.expectation.what}: {said(each)!r}, {each.untold!r}"
        assert each.outcome is outcome, here
        assert (fails or "") in said(each).replace(str(Path(__file__).parent), "tests"), here
        assert (untold or "") in each.untold, here
