"""Whatever stands in a file of expectations: verdicts or complaints, each with its place, and nothing else."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import yaml
from expectation_tools import judged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailprov.errors import ExpectationsError
from mailprov.expectations.model import Outcome, Verdict
from mailprov.expectations.reading import MAX_EXPECTATIONS, document
from mailprov.report import expectations as report
from mailprov.report import sarif

FUZZ = int(os.environ.get("MAILPROV_FUZZ", "1"))
"""multiplies the examples of every test"""

SMALL = """\
expectations: 1
logins:
  - {user: alice@example.com, by: [imap], from: 10.0.0.0/8, allowed: true, host: mail1, reason: why}
deliveries:
  - {to: sales@example.com, reaches: [alice@example.com]}
ports:
  - {port: 993, answers: tls, protocol: imap, outside: 10.0.0.0/8}
records:
  - {name: example.com, type: MX, values: 10 mail.example.com.}
  - {domain: example.com}
limits:
  - {of: quota, at_most: 20GiB, user: '*'}
plan:
  - {of: changes, at_most: 0, kind: file, name: '/etc/*', action: remove}
"""
TEXTS = st.text(
    st.one_of(st.sampled_from(": \n\r\0%$\"'\\{}#|;`(/@-.\t\u202e\u200f\ufeff&*!?[],~<>"), st.characters()), max_size=20
)
SPOTS = [
    *("expectations: 1", "logins", "alice@example.com", "[imap]", "10.0.0.0/8", "true", "mail1", "why"),
    *("sales@example.com", "[alice@example.com]", "993", "tls", "example.com, type", "MX", "10 mail.example.com."),
    *("{domain: example.com}", "quota", "20GiB", "'*'", "changes", "0", "file", "'/etc/*'", "remove"),
]


def fuzz(examples: int) -> settings:
    health = [HealthCheck.too_slow]
    return settings(max_examples=examples * FUZZ, suppress_health_check=health, deadline=None)


def judge(text: str) -> list[Verdict]:
    """The verdicts, or none where it is invalid; what is said of either is fit for people and programs."""
    try:
        verdicts = judged(text)
    except ExpectationsError as error:
        assert error.errors and error.exit == 3
        for each in error.errors:
            assert each.origin.file == "case.yaml" and each.origin.line >= 1 and each.origin.column >= 1
            assert each.what and "is not valid here" not in each.what
            assert "\x1b" not in each.what + each.fix and "\n" not in each.what
        return []
    for line in report.text(verdicts, details=True):
        assert line.text.isprintable()
    json.loads(report.as_json(verdicts))
    json.loads(sarif.sarif(report.complaints(verdicts), lambda name: name))
    assert all(each.what for each in report.of(verdicts, Outcome.FAILS) for each in each.findings if not each.holds)
    return verdicts


@fuzz(300)
@given(text=TEXTS, spot=st.sampled_from(SPOTS), in_quotes=st.booleans())
def test_any_text_anywhere(text: str, spot: str, in_quotes: bool) -> None:
    judge(SMALL.replace(spot, json.dumps(text) if in_quotes else text, 1))


@fuzz(300)
@given(text=st.text(max_size=200))
def test_any_text_at_all(text: str) -> None:
    judge(text)


KEYS = sorted({key for node in [document(), *document()["$defs"].values()] for key in node.get("properties", {})})
WORDS = sorted(
    {
        word
        for node in document()["$defs"].values()
        for p in node.get("properties", {}).values()
        for word in p.get("enum", ())
    }
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70_000),
    st.floats(allow_nan=False),
    st.sampled_from([*WORDS, "alice@example.com", "*@example.com", "*", "10.0.0.0/8", "::1", "mail1", "branches", ""]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=12,
)


@fuzz(300)
@given(root=st.dictionaries(st.sampled_from(KEYS), st.one_of(VALUES, st.lists(VALUES, max_size=4)), max_size=5))
def test_any_values_of_known_keys(root: dict[str, Any]) -> None:
    judge(yaml.safe_dump({"expectations": 1, **root}, allow_unicode=True))


@fuzz(300)
@given(data=st.data())
def test_items_that_are_nearly_right(data: st.DataObject) -> None:
    """Each key has a value of its own schema, or one of any other's example."""
    section = data.draw(st.sampled_from([*document()["properties"]][1:]))
    shape = document()["$defs"][document()["properties"][section]["items"]["$ref"].rpartition("/")[2]]
    item = {}
    for key, node in shape["properties"].items():
        node = document()["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        choices = st.sampled_from([*node["examples"], *node.get("enum", ()), *node.get("items", {}).get("enum", ())])
        if key in shape.get("required", ()) or data.draw(st.booleans()):
            item[key] = data.draw(choices if data.draw(st.integers(0, 9)) else LEAVES)
    judge(json.dumps({"expectations": 1, section: [item]}))


# --- bounds


def complaint(text: str) -> str:
    with pytest.raises(ExpectationsError) as raised:
        judged(text)
    return str(raised.value)


def test_a_file_has_a_limit_of_expectations_and_of_values() -> None:
    many = "  - {port: 993, answers: tls}\n" * (MAX_EXPECTATIONS + 1)
    assert "case.yaml:1:1: more than 1,000 expectations, or 50,000 values" in complaint(
        f"expectations: 1\nports:\n{many}"
    )
    bomb = "expectations: 1\nx: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    for name, before in zip("bcd", "abc", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    assert "more than" in complaint(bomb + "ports: [*d, *d, *d, *d, *d, *d]\n")
    assert "aliases grow this file" in complaint(
        bomb + "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nports: [*e, *e]\n"
    )
    assert "nested more than" in complaint("expectations: 1\nports: " + "[" * 5000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is no file of expectations"),
        ("- a\n", "this is no file of expectations; to do"),
        ("mailprov: 1\nhosts: {}\n", "such a file begins with `expectations: 1`; a declaration is named with -f"),
        ("expectations: 2\nports: []\n", "case.yaml:1:15: the number 2 is not a format that this mailprov knows"),
        ("ports: []\n", "case.yaml:1:1: `expectations` is missing"),
        ("expectations: 1\n---\nexpectations: 1\n", "a second document"),
        ("expectations: 1\nports: [\n", "not valid YAML"),
    ],
    ids=["empty", "list", "declaration", "format", "without", "second", "unfinished"],
)
def test_what_is_no_such_file(text: str, said: str) -> None:
    assert said.partition("; to do")[0] in complaint(text)
