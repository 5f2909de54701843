"""The published schema of reports, and those of SARIF and JUnit: what is written is held against them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE_TEXT, hostile_check
from hypothesis import given
from jsonschema import Draft7Validator, Draft202012Validator
from lxml import etree
from report_schema import published, require

from mailprov.checks import Check, Endpoint
from mailprov.checks.all_users import Login
from mailprov.checks.cause import Cause
from mailprov.errors import Diagnostic, LockedError, MailprovError, Origin, SpecError
from mailprov.report import json as reports
from mailprov.report import junit, sarif
from mailprov.report.complaints import complaints, of_diagnostic
from mailprov.report.logins import LoginReport

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "mailprov"
SARIF = Draft7Validator(json.loads((HERE / "schemas/sarif-2.1.0.json").read_text(encoding="utf-8")))
JUNIT = etree.XMLSchema(etree.parse(HERE / "schemas/junit-10.xsd"))
END = Endpoint("imap", "tls", "192.0.2.1", 993, "mail.example.com")


def require_sarif(text: str) -> dict[str, Any]:
    """The one run of a SARIF log that is valid."""
    document = json.loads(text)
    wrong = next(SARIF.iter_errors(document), None)
    assert wrong is None, f"{wrong.json_path}: {wrong.message}"
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    found: dict[str, Any] = run
    return found


def require_junit(text: str) -> etree._Element:
    """The suites of a valid file, each with the counts that it says."""
    root = etree.fromstring(text.encode())
    JUNIT.assertValid(root)
    for suite in root:
        for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(word)) == len(suite.findall(f"testcase/{tag}"))
        assert int(suite.get("tests")) == len(suite)
    return root


# --- ours


def test_the_schema_is_one_and_names_each_report_once() -> None:
    Draft202012Validator.check_schema(dict(published()))
    made = {name for name, shape in published()["$defs"].items() if "report" in shape.get("properties", {})}
    listed = [each["$ref"].removeprefix("#/$defs/") for each in published()["oneOf"]]
    assert listed == sorted(made)
    for name in made:
        shape = published()["$defs"][name]
        assert shape["properties"]["report"] == {"const": name} and shape["description"].endswith(".")
        assert sorted(shape["required"]) == sorted(shape["properties"]), "a report has all of its keys, always"
    used = set(re.findall(r'"#/\$defs/([\w-]+)"', json.dumps(published())))
    assert used == set(published()["$defs"]), "no shape is left over"


def test_every_report_that_is_made_is_in_the_schema_and_the_other_way_round() -> None:
    """All of them are made by `document` or `rollout`, and nothing else becomes JSON for programs."""
    made = {"rollback", "password-reset"}
    for path in sorted([*PACKAGE.glob("commands/*.py"), *PACKAGE.glob("report/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
                    made |= {name} if ast.unparse(func).rpartition(".")[2] == "document" else set()
            if isinstance(node, ast.FunctionDef) and node.name == "rollout" and path.name == "json.py":
                made.add(ast.literal_eval(node.args.defaults[-1]))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "json.dumps":
                assert path.name in ("json.py", "sarif.py", "explain.py", "users.py"), f"{path.name}:{node.lineno}"
    assert made == {each["$ref"].removeprefix("#/$defs/") for each in published()["oneOf"]}


def test_the_schema_as_it_is_published_tells_reports_apart() -> None:
    whole = Draft202012Validator(dict(published()))
    plan = json.loads(reports.plans([]))
    assert whole.is_valid(plan)
    assert whole.is_valid(plan | {"a key of tomorrow": 1}), "keys are added"
    for wrong in ({"report": "apply"}, {"report": "plans"}, {"format": 2}, {"changed": "yes"}):
        assert not whole.is_valid(plan | wrong), wrong
    assert not whole.is_valid({key: value for key, value in plan.items() if key != "failed"})
    with pytest.raises(AssertionError, match="Additional properties"):
        require(plan | {"a key of tomorrow": 1})


def test_an_error_is_told_with_its_place() -> None:
    locked = LockedError("another apply is at work", where="since 10:00", why="it is", fix="wait")
    locked.at("mail1")
    invalid = SpecError([Diagnostic(Origin("b.yaml", 3, 7), "wrong", "do"), Diagnostic(Origin("a.yaml", 1, 2), "bad")])
    invalid.at("mail2")
    first, second, third = reports.errors([locked, invalid])
    nowhere = {"file": None, "line": None, "column": None}
    assert first == nowhere | {
        "where": "since 10:00", "what": "another apply is at work", "why": "it is", "cure": "wait", "host": "mail1",
        "exit": 8,
    }  # fmt: skip
    assert (second["file"], second["line"], second["column"], second["host"]) == ("a.yaml", 1, 2, "mail2")
    assert (third["where"], third["what"], third["cure"], third["exit"]) == ("b.yaml:3:7", "wrong", "do", 3)
    document = json.loads(reports.failure("plan", invalid))
    assert (document["report"], document["command"], document["exit"], len(document["errors"])) == (
        "error",
        "plan",
        3,
        2,
    )


# --- SARIF


def test_errors_and_warnings_at_their_lines() -> None:
    wrong = SpecError([Diagnostic(Origin("team a/mail.yaml", 3, 7), "wrong: {env: X} and {0}", "write {hash: …}")])
    doubt = of_diagnostic(Diagnostic(Origin("/etc/mail.yaml", 9, 1), "doubtful [here](https://evil.example)"))
    nowhere = of_diagnostic(Diagnostic(Origin("", 1, 1), "the host serves no domain"))
    uris = {"team a/mail.yaml": "team%20a/mail.yaml", "/etc/mail.yaml": "file:///etc/mail.yaml"}
    run = require_sarif(sarif.sarif([*complaints([wrong]), doubt, nowhere], uris.__getitem__))
    first, second, third = run["results"]
    assert (first["level"], first["ruleId"]) == ("error", "invalid-declaration")
    # forges show braces as they are: only what would be filled in is kept apart
    assert first["message"]["text"] == "wrong: {env: X} and { 0}\nTo do: write {hash: …}"
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "team%20a/mail.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3, "startColumn": 7},
    }
    assert (second["level"], second["ruleId"]) == ("warning", "doubtful-declaration")
    assert second["message"]["text"] == "doubtful [here] (https://evil.example)"
    assert second["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///etc/mail.yaml"}
    assert (third["level"], third["locations"]) == ("warning", [])
    assert run["invocations"][0]["executionSuccessful"] is True


@given(HOSTILE_TEXT)
def test_sarif_holds_whatever_is_said(said: str) -> None:
    wrong = SpecError([Diagnostic(Origin("a.yaml", 1, 1), said or "x", said)])
    run = require_sarif(sarif.sarif(complaints([wrong]), lambda name: name))
    assert not re.search(r"\{[0-9]+\}|\]\(", run["results"][0]["message"]["text"])
    run = require_sarif(sarif.failure(MailprovError(said or "x", why=said, fix=said)))
    assert (run["results"], run["invocations"][0]["executionSuccessful"]) == ([], False)
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 1


# --- JUnit


def test_what_was_looked_at_as_cases() -> None:
    checks = (
        Check(END, "tls", True, 0.1, "TLSv1.3"),
        Check(END, "chain", False, 0.1, "self-signed", "warning", Cause.SELF_SIGNED),
        Check(END, "old tls refused", False, 0.0, "not tested: no old TLS here", "warning", Cause.NOT_TESTED),
        Check(END, "login", False, 2.5, "refused", "error", Cause.LOGIN_REFUSED),
    )
    gone = MailprovError("no answer", fix="turn it on")
    gone.at("mail2")
    (suite, other) = require_junit(junit.junit([junit.checked("mail1", checks), *junit.failed([gone])]))
    assert [case.get("name").removeprefix("imap 993 ") for case in suite] == [
        "tls",
        "chain",
        "old tls refused",
        "login",
    ]
    assert [[child.tag for child in case] for case in suite] == [[], ["system-out"], ["skipped"], ["failure"]]
    assert (suite.get("time"), suite[3][0].get("type"), suite[1][0].text) == ("2.700", "login-refused", "self-signed")
    assert (other.get("name"), other[0][0].tag, other[0][0].get("message")) == (
        "mail2",
        "error",
        "no answer\nturn it on",
    )


def test_a_rehearsal_as_cases() -> None:
    check = Check(END, "tls", True, 9.0, "")
    (well,) = require_junit(junit.junit([junit.rehearsed("mail1", [check], 5.0, None)]))
    assert [(case.get("name"), case.get("time"), len(case)) for case in well] == [
        ("imap 993 tls", "9.000", 0),
        ("rehearsal", "0.000", 0),
    ]
    wrong = MailprovError("the plan after the apply is not empty")
    wrong.at("mail1")
    (bad,) = require_junit(junit.junit([junit.rehearsed("mail1", [check], 50.0, wrong)]))
    assert (bad.get("errors"), bad[1][0].get("message")) == ("1", "the plan after the apply is not empty")


@given(HOSTILE_TEXT)
def test_junit_holds_whatever_is_said(said: str) -> None:
    wrong = MailprovError(said, where=said, why=said, fix=said)
    roll = LoginReport(said, [Login(said, hostile_check(said))], {said: said})
    suites = [junit.checked(said, [hostile_check(said)]), junit.logged_in(roll), *junit.failed([wrong])]
    root = require_junit(junit.junit(suites))
    assert [len(suite) for suite in root] == [1, 2, 1]
