"""The published schema of expectations: what editors show, and that it says what the program knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from expectation_tools import judged, office
from jsonschema import Draft202012Validator

from mailprov.commands import run
from mailprov.dns import Kind
from mailprov.engine.risks import FLAGS
from mailprov.engine.saved_plan import Claim
from mailprov.expectations import model
from mailprov.expectations.planned import _OF_THINGS, _Index
from mailprov.expectations.reading import document, read
from mailprov.model import PROTOCOLS, Action
from mailprov.standard import REGISTRY

DEFINITIONS = document()["$defs"]


def nodes(node: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in it that has a place of its own."""
    for key in ("properties", "$defs"):
        for name, inner in node.get(key, {}).items():
            yield f"{path}/{name}", inner
            yield from nodes(inner, f"{path}/{name}")
    if isinstance(node.get("items"), dict):
        yield from nodes(node["items"], f"{path}/items")


def test_it_is_a_schema_and_closed() -> None:
    Draft202012Validator.check_schema(document())
    assert document()["$id"].endswith("/expectations.schema.json")
    for path, node in nodes(document()):
        if node.get("type") == "object":
            assert node["additionalProperties"] is False, path


@pytest.mark.parametrize(("path", "node"), [pytest.param(*each, id=each[0]) for each in nodes(document())])
def test_each_key_is_explained_by_words_and_an_example(path: str, node: dict[str, Any]) -> None:
    if "$ref" in node:
        return
    assert node["title"] and node["description"].endswith("."), path
    assert node["examples"], path
    for example in node["examples"]:
        Draft202012Validator({"$defs": DEFINITIONS, **node}).validate(example)


def test_its_words_are_those_of_the_program() -> None:
    plan, limit = DEFINITIONS["plan_limit"]["properties"], DEFINITIONS["limit"]["properties"]
    assert plan["kind"]["enum"] == [kind.KIND for kind in REGISTRY.kinds] or set(plan["kind"]["enum"]) == {
        kind.KIND for kind in REGISTRY.kinds
    }
    assert plan["flag"]["enum"] == list(FLAGS)
    assert plan["action"]["enum"] == [action.value for action in Action]
    counted = {of for of, _ in _Index.of(Claim("h", "i", "m", "d", {}, (), (), {}, {})).totals}
    assert set(plan["of"]["enum"]) == counted | set(_OF_THINGS) == set(model._OF_PLANS)
    assert set(limit["of"]["enum"]) == {"quota", *model._LIMITS}
    assert DEFINITIONS["record"]["properties"]["type"]["enum"] == list(get_args(Kind))
    assert DEFINITIONS["protocol"]["enum"] == list(PROTOCOLS)
    assert DEFINITIONS["port"]["properties"]["answers"]["enum"] == list(get_args(model.Answer))
    assert [*document()["properties"]][1:] == list(get_args(model.Section))


@pytest.mark.parametrize("section", list(get_args(model.Section)))
def test_what_it_shows_as_an_example_is_read(section: str) -> None:
    items = [item for example in document()["properties"][section]["examples"] for item in example]
    items += DEFINITIONS[document()["properties"][section]["items"]["$ref"].rpartition("/")[2]]["examples"]
    text = json.dumps({"expectations": 1, section: items})
    assert len(read(text, "example.yaml", office())) == len(items)
    assert all(each.expectation.what for each in judged(text))


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "expectations"]) == 0
    assert json.loads(capsys.readouterr().out) == document()
