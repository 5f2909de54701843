"""Every JSON report that a test meets is held against the published schema, strictly: no key that it does not know.

`watch` does so wherever mailprov makes one, and wherever a test reads one: from a process of its own, say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from mailprov import assets
from mailprov.report import json as reports

_loads, _written = json.loads, reports.written
_formats = FormatChecker(["date"])
SEEN: set[str] = set()
"""the reports that were met in this process"""


@_formats.checks("date-time", raises=ValueError)
def _has_a_zone(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@cache
def published() -> Mapping[str, Any]:
    schema: Mapping[str, Any] = _loads(assets.text("schemas", "report.schema.json"))
    return schema


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {"additionalProperties": False} if "properties" in node and "additionalProperties" not in node else {}
    return {key: _strict(value) for key, value in node.items()} | closed


@cache
def _validator(report: str) -> Draft202012Validator:
    definitions = {name: _strict(shape) for name, shape in published()["$defs"].items()}
    return Draft202012Validator({"$defs": definitions, "$ref": f"#/$defs/{report}"}, format_checker=_formats)


def require(document: Mapping[str, Any]) -> None:
    """Fails where the document is no report of the schema."""
    name = document.get("report", "")
    assert name in published()["$defs"], f"a report that the schema does not know: {name!r}"
    SEEN.add(name)
    wrong = next(_validator(name).iter_errors(document), None)
    assert wrong is None, f"report {name}, at {wrong.json_path}: {wrong.message[:500]}"


def watch() -> None:
    """From now on, in this process."""

    def written(whole: Mapping[str, Any]) -> str:
        text = _written(whole)
        require(_loads(text))
        return text

    def loads(text: Any, **more: Any) -> Any:
        found = _loads(text, **more)
        if isinstance(found, dict) and (found.get("format") == reports.FORMAT or "report" in found):
            require(found)
        return found

    reports.written, json.loads = written, loads
