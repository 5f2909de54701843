"""The published schema, the fast acceptor that decides by it, and the words for what departs from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from spec_tools import fuzz

from mailprov import assets
from mailprov.declaration import schema
from mailprov.declaration.diagnostics import brief
from mailprov.declaration.schema_check import MAIN, PART, TRUSTED, problems
from mailprov.errors import MailprovError


def test_it_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(schema.document())


def properties(node: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        for name, wanted in node.get("properties", {}).items():
            yield f"{path}/{name}", wanted
        for key, child in node.items():
            if key != "examples":
                yield from properties(child, f"{path}/{key}")
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from properties(child, f"{path}/{number}")


PROPERTIES = dict(properties(schema.document()))


def resolved(wanted: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in wanted:
        return wanted
    target = schema.document()
    for step in wanted["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**resolved(target), **wanted}


@pytest.mark.parametrize("path", PROPERTIES)
def test_every_property_teaches(path: str) -> None:
    wanted = resolved(PROPERTIES[path])
    assert wanted["title"]
    assert wanted["description"].endswith(".")
    assert wanted["examples"]


@pytest.mark.parametrize("path", PROPERTIES)
def test_every_example_is_valid(path: str) -> None:
    validator = Draft202012Validator({"$defs": schema.document()["$defs"], **PROPERTIES[path]})
    for given_example in resolved(PROPERTIES[path])["examples"]:
        assert not list(validator.iter_errors(given_example))


def objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "properties" in node:
            yield node
        for child in node.values():
            yield from objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child)


def test_nothing_unknown_is_let_through() -> None:
    assert all(each["additionalProperties"] is False for each in objects(schema.document()))


SAMPLES = st.sampled_from(
    [
        *(None, True, False, 0, 1, 1.0, 25, 70000, 0.5, "", "a", "a@b", "2GiB", "pop3", "imap", "TLSv1.2", "/etc/x"),
        *(
            {},
            [],
            ["pop3"],
            ["pop3", "pop3"],
            [1, True],
            ["a@b"],
            {"env": "X"},
            {"file": "f"},
            {"env": "X", "file": "f"},
        ),
        *({"env": "1"}, {"hash": "x"}, {"hash": {"env": "X"}}, {"initial": {"env": "X"}}, {"port": 25}, {"tls": 1}),
        *({"starttls": True}, {"self_signed": {}}, {"certificate": {"file": "f"}}, {"certificate": "/a", "key": "/b"}),
    ]
)
KEYS = st.sampled_from(sorted({path.rpartition("/")[2] for path in PROPERTIES}))
VALUES = st.recursive(
    SAMPLES,
    lambda inner: st.one_of(st.dictionaries(KEYS, inner, max_size=5), st.lists(inner, max_size=3)),
    max_leaves=12,
)


@pytest.mark.parametrize("name", ["", "part", *schema.document()["$defs"]], ids=lambda name: f"definition-{name}")
@fuzz(300)
@given(value=VALUES)
def test_the_acceptor_decides_as_jsonschema_does(name: str, value: Any) -> None:
    wanted = {"$defs": schema.document()["$defs"], "$ref": f"#/$defs/{name}"} if name else schema.document()
    assert schema.acceptor(name)(value) == Draft202012Validator(wanted).is_valid(value)


@fuzz(500)
@given(
    value=st.dictionaries(st.one_of(KEYS, st.text(max_size=5)), VALUES, max_size=6),
    kind=st.sampled_from([MAIN, TRUSTED, PART]),
)
def test_whatever_departs_is_put_in_words(value: Any, kind: str) -> None:
    found = problems(value, kind)
    assert bool(found) == (not Draft202012Validator(_whole(kind)).is_valid(value))
    for problem in found:
        assert "is not valid here" not in problem.what, "no words for this keyword"
        assert problem.what


def _whole(kind: str) -> dict[str, Any]:
    return {"$defs": schema.document()["$defs"], "$ref": f"#/$defs/{kind}"} if kind else schema.document()


def test_problems_have_a_limit() -> None:
    assert len(problems({"mailprov": 1, "users": [{}] * 5000}, MAIN)) == 1000


def test_briefs_cannot_move_a_cursor() -> None:
    assert brief("a\x1b[2J\n") == "a\\u001b[2J\\u000a"
    assert len(brief("x" * 1000)) == 80


def test_folders_are_found() -> None:
    assert (assets.folder("schemas") / "mailprov.schema.json").is_file()
    with pytest.raises(MailprovError):
        assets.folder("no-such-folder")
