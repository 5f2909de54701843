"""What a forge makes of a report: read by a real reader of Markdown, with names and texts that want to be more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import pytest
from hostile import HOSTILE, HOSTILE_TEXT, hostile_check, hostile_plan, plan_of, steers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mailprov.checks.all_users import Login
from mailprov.encode import markdown as plain
from mailprov.encode import markdown_code, markdown_diff
from mailprov.engine.rollout import HostStatus, Result
from mailprov.errors import Diagnostic, MailprovError, Origin, SpecError, brief, visible
from mailprov.model import Action, Change, Key, Plan, Reason, Risk, Words
from mailprov.report import markdown
from mailprov.report.comment import LIMIT, Part, fitted, size
from mailprov.report.logins import LoginReport

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
FOLD = re.compile(r"<details><summary><code>[^<>]*</code>: [a-z0-9, ]+</summary>\n|</details>")
CELL_MARKS = re.compile(r"^\|(?:.*\|)+$")


def tokens(found: Sequence[Token]) -> Iterator[Token]:
    for token in found:
        yield token
        yield from tokens(token.children or ())


def require_harmless(written: str) -> list[Token]:
    """Fails where the text is too long, or something in it became more than text."""
    assert size(written) <= LIMIT
    assert not steers(written)
    assert not re.search(r"^[/>]", written, re.M), "a forge would read a command, or a quotation"
    found = list(tokens(READER.parse(written)))
    html = [token.content for token in found if token.type in ("html_block", "html_inline")]
    assert [
        part for part in html if not FOLD.fullmatch(part.rstrip("\n") + ("\n" if "<summary>" in part else ""))
    ] == []
    opened = [part.startswith("<details>") for part in html]
    assert opened == [True, False] * (len(html) // 2), "folds that do not end where they should"
    assert not [token for token in found if token.type in ("link_open", "image", "hardbreak", "s_open", "em_open")]
    strong = re.findall(r"\*\*(?:drift|changed|gone|the [a-z ]+)\*\*", written)
    assert len([token for token in found if token.type == "strong_open"]) == len(strong)
    for token in found:
        if token.type == "text":
            require_mentions_nobody(token.content)
    for line in fenceless(written):
        if CELL_MARKS.match(line):
            head = re.sub(r"[^|]", "", line)
            assert head in PIPES, line
    return found


PIPES = {"|" * count for count in (4, 5, 6, 7, 8)}


def require_mentions_nobody(shown: str) -> None:
    assert not re.search(r"(?<![A-Za-z0-9])@[A-Za-z0-9]", shown), shown
    assert not re.search(r"[#!~$%^&][A-Za-z0-9\"]", shown), shown
    assert not re.search(r"://|www\.", shown, re.I), shown


def fenceless(written: str) -> Iterator[str]:
    """The lines that are not within a block of code."""
    fence = ""
    for line in written.splitlines():
        if fence:
            fence = "" if line == fence else fence
        elif found := re.match("(```+)diff$", line):
            fence = found[1]
        else:
            yield line


def read(inline: str) -> str:
    """What a reader sees of a line."""
    (_, token, _) = READER.parse(f"- x {inline}")[2:5]
    return "".join(child.content for child in token.children or ())[2:]


# --- one encoder for each place


@given(HOSTILE_TEXT)
@example("a|b\\|c\\\\|d")
@example("&amp; &#64;all @&#8203;all")
def test_text_in_a_line_says_what_it_said(said: str) -> None:
    assert read(plain(said)).replace("\u200b", "").strip() == brief(visible(said), 300).strip()
    assert "|" not in plain(said)
    require_mentions_nobody(read(plain(said)))


@given(HOSTILE_TEXT)
@example("a|b\\|c\\\\|d")
@example(" ` ")
@example("  ")
def test_a_name_as_code_can_be_copied(said: str) -> None:
    written = markdown_code(said)
    assert read(written).replace("\u200b", "").strip() == brief(visible(said), 300).strip()
    assert "|" not in written


@given(st.lists(HOSTILE_TEXT))
@example(["```", "/merge", "````", "~~~", "\t```"])
def test_a_diff_ends_where_it_should(rows: list[str]) -> None:
    written = markdown_diff(rows)
    (token,) = READER.parse(f"x\n\n{written}\n")[3:]
    assert (token.type, token.info) == ("fence", "diff")
    shown = token.content.splitlines()
    assert [line.removeprefix(" ").replace("\t", "") for line in shown] == [
        visible(row.replace("\t", "")).removeprefix(" ") for row in rows
    ]
    assert all(line[:1] in "+-~@ " and line for line in written.splitlines()[1:-1])


def test_a_text_that_is_too_long_for_a_line_is_cut() -> None:
    assert plain("x" * 301) == "x" * 299 + "…"


# --- whole reports


@given(HOSTILE_TEXT)
@settings(max_examples=60)
def test_a_plan_is_text_whatever_it_says(said: str) -> None:
    wrong = MailprovError(said, where=said, why=said, fix=said)
    written = markdown.plans([hostile_plan(said), plan_of(())], [wrong])
    found = require_harmless(written)
    assert written.startswith("### mailprov: Plan: 5 to create, 5 to update, 5 to remove on 1 host; 15 of them drift")
    assert written.count("\n| ") - written.count("\n| |") == len(["head", "mail1", "unchanged"]) + 15
    assert sum(token.type == "fence" for token in found) == 15


@given(HOSTILE_TEXT)
@settings(max_examples=60)
def test_other_reports_are_text_too(said: str) -> None:
    check = hostile_check(said)
    wrong = MailprovError(said, why=said, fix=said)
    wrong.at(said)
    invalid = SpecError([Diagnostic(Origin(f"{said}.yaml", 1, 2), said, said)])
    require_harmless(markdown.checks([(said, [check])], [wrong]))
    require_harmless(markdown.rollout([Result(said, HostStatus.FAILED, 3, 0.1, wrong)], [hostile_plan(said)]))
    require_harmless(markdown.logins([LoginReport(said, [Login(said, check)], {said: said})], [wrong]))
    require_harmless(markdown.failure("plan", invalid))
    assert ".yaml:1:2" in markdown.failure("plan", invalid)


def large(texts: Sequence[str], count: int, host: str = "mail1") -> Plan:
    said = islice(cycle(texts), count)
    changes = tuple(
        Change(Key("file", f"{text}{at}"), Action.UPDATE, Reason.DRIFT, None, None, Words(text, (f"+{text}", text)))
        for at, text in enumerate(said)
    )
    risks = tuple(Risk("removals", f"{text}{at}") for at, text in enumerate(texts))
    made = plan_of(changes, tuple(texts), risks)
    return Plan(host, made.facts, {}, changes, made.effects, made.warnings, "", risks=risks)


@settings(max_examples=12)
@given(st.lists(st.one_of(HOSTILE_TEXT, st.text(max_size=4000)), min_size=1, max_size=12))
@example([text * 30 for text in HOSTILE])
@example(["x" * 70_000])
def test_a_thousand_changes_fit_a_comment(texts: list[str]) -> None:
    written = markdown.plans([large(texts, 1000)])
    require_harmless(written)
    assert "Plan: 1000 to update on 1 host; 1000 of them drift" in written
    assert "| 1000 to update | file 1,000 | 1000 | `--allow-removals` |" in written
    shown = len(re.findall(r"^\| update \| ", written, re.M))
    (left,) = re.findall(r"^… ([0-9,]+) more changes left out$", written, re.M) or ["0"]
    assert shown + int(left.replace(",", "")) == 1000
    assert shown > 10
    diffs = len(re.findall(r"^````*diff$", written, re.M))
    (untold,) = re.findall(r"^… left out, .*?([0-9,]+) diffs", written, re.M) or ["0"]
    assert diffs + int(untold.replace(",", "")) == 1000


def test_a_thousand_hosts_fit_a_comment() -> None:
    plans = [large([f"reason of h{n}", "alike"], 3, f"h{n}.example.com") for n in range(1000)]
    failures = [MailprovError("no answer", where=f"x{n}.example.com", fix="turn it on") for n in range(1000)]
    written = markdown.plans(plans, failures)
    require_harmless(written)
    assert "1000 hosts could not be looked at" in written.replace(",", "")
    for noun in ("errors", "risks", "warnings", "changes", "diffs"):
        assert re.search(rf"… left out, so that this fits a comment: .*[0-9] {noun}", written), noun
    assert written.count("| update |") > 30, "some of each kind are shown"
    assert written.count("- ❌") > 30
    assert written.count("- ⛔") > 30


def test_failures_come_first_where_not_every_host_finds_room() -> None:
    made = [Result(f"h{n}", HostStatus.APPLIED, 3, 0.1) for n in range(3000)]
    made += [Result(f"f{n}", HostStatus.REVERTED, 3, 0.1, MailprovError("no", where=f"f{n}")) for n in range(90)]
    written = markdown.rollout(made, (), "rollback")
    require_harmless(written)
    assert written.startswith("### mailprov rollback: 3,000 applied, 90 reverted\n\n| host |")
    assert written.count("| reverted |") == 90
    assert re.search("… left out, so that this fits a comment: [0-9,]+ hosts;", written)


def test_hosts_that_are_alike_share_a_row_and_a_fold() -> None:
    written = markdown.plans([large(["same"], 2, f"h{n}") for n in range(20)])
    assert "| `h0`, `h1`, `h2`, `h3`, `h4`, `h5`, `h6`, `h7` and 12 more | 2 to update |" in written
    assert written.count("<details>") == 2
    assert "left out" not in written


@pytest.mark.parametrize("room", [1000, 2000, 5000])
def test_an_item_that_is_too_large_hides_no_other(room: int) -> None:
    written = fitted("title", [Part(1, "things", ["small 1", "x" * 9000, "small 2"], "head", "\ntail")], room)
    assert written.startswith("title\n\nhead\nsmall 1\nsmall 2\n\n… 1 more things left out\ntail\n\n… left out, ")
    assert size(written) <= room


@given(
    st.lists(
        st.builds(Part, st.integers(0, 3), st.just("things"), st.lists(st.text(max_size=400)), st.text(max_size=50))
    ),
    st.integers(700, 4000),
)
def test_what_is_fitted_fits_and_is_counted(parts: list[Part], room: int) -> None:
    written = fitted("title", parts, room)
    assert size(written) <= room
    count = sum(len(part.items) for part in parts)
    told = re.findall(r"^… left out, so that this fits a comment: ([0-9,]+) things;", written, re.M)
    if sum(size(item) + 1 for part in parts for item in part.items) > room:
        assert told and int(told[-1].replace(",", "")) <= count
