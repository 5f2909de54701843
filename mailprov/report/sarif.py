"""SARIF 2.1.0 (OASIS): what is wrong or doubtful in a declaration, each at its line, as forges show it in a merge
request (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from mailprov import __version__
from mailprov.errors import MailprovError, Origin
from mailprov.report.complaints import Complaint, complaints

Locate = Callable[[str], str]
"""the URI of a file: relative where it is in the repository, absolute elsewhere"""

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"
_RULES: Mapping[str, str] = {
    "invalid-declaration": "The declaration is invalid: nothing is planned or applied before it is corrected.",
    "doubtful-declaration": "The declaration is valid, and this is probably not meant.",
    "invalid-expectations": "The file is invalid: nothing in it is judged before it is corrected.",
    "unmet-expectation": "What a team expects or allows does not hold.",
}
_ERROR, _WARNING, *_ = _RULES


def sarif(found: Sequence[Complaint], locate: Locate) -> str:
    """A run with a result for each of these; `locate` says where their files are."""
    return _log([_result(each, locate) for each in found])


def failure(error: MailprovError) -> str:
    """A run that could not look at a declaration, and why."""
    told = [{"level": "error", "message": _message(each)} for each in complaints([error])]
    return _log([], told)


def _log(results: Sequence[object], notifications: Sequence[object] = ()) -> str:
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in _RULES.items()]
    run = {
        "tool": {"driver": {"name": "mailprov", "semanticVersion": __version__, "rules": rules}},
        "invocations": [
            {"executionSuccessful": not notifications, "toolExecutionNotifications": list(notifications)},
        ],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(found: Complaint, locate: Locate) -> Mapping[str, object]:
    rule = found.rule or (_WARNING if found.exit is None else _ERROR)
    shown = {"ruleId": rule, "ruleIndex": list(_RULES).index(rule), "level": "warning" if rule == _WARNING else "error"}
    place = [_location(found.place, locate)] if found.place else []
    return {**shown, "message": _message(found), "locations": place}


def _location(place: Origin, locate: Locate) -> Mapping[str, object]:
    uri = locate(place.file)
    base = {} if uri.startswith("file:") else {"uriBaseId": _ROOT}
    region = {"startLine": place.line, "startColumn": place.column}
    return {"physicalLocation": {"artifactLocation": {"uri": uri, **base}, "region": region}}


def _message(found: Complaint) -> Mapping[str, str]:
    fix = f"To do: {found.fix}" if found.fix else ""
    return {"text": _text("\n".join(filter(None, (found.what, found.why, fix))))}


def _text(said: str) -> str:
    """Plain text (§3.11.5, §3.11.6) that holds no placeholder and no link.

    Other braces stay as they are: forges show them as they stand, and somebody copies them into a declaration.
    """
    return re.sub(r"\](?=\()", "] ", re.sub(r"\{(?=[0-9]+\})", "{ ", said))
