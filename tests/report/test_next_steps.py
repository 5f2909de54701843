"""What failed is followed by what to do next: a command that can be typed, for the very host, user and protocol."""

from __future__ import annotations

import json as reader
import re
import shlex
from typing import get_args

import pytest
from click.testing import CliRunner

from mailprov.checks import Cause, Check, Endpoint
from mailprov.checks.all_users import Login
from mailprov.checks.check import Step
from mailprov.commands import cli
from mailprov.report import json, junit, logins, markdown, text
from mailprov.report.logins import LoginReport
from mailprov.report.next_steps import _WORDS, to_do

IMAP = Endpoint("imap", "tls", "192.0.2.1", 993, "mail.example.com")
ALICE = "alice@example.com"


def check(step: str, *, ok: bool = False, severity: str = "error") -> Check:
    return Check(IMAP, step, ok, 0.1, "it is wrong", severity, cause=Cause.OTHER)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", get_args(Step))
def test_each_step_has_one_that_can_be_typed(step: str) -> None:
    said = to_do("mail1", check(step), ALICE)
    assert step in _WORDS
    commands = [shlex.split(each) for each in re.findall("`(mailprov [^`]+)`", said)]
    assert commands
    for _, name, *words in commands:
        done = CliRunner().invoke(cli, [name, *words, "--help"])
        assert done.exit_code == 0, done.output
        known = {option for each in cli.get_command(None, name).params for option in each.opts}  # type: ignore[arg-type, union-attr]
        assert {word for word in words if word.startswith("--")} <= known
    doctor = [words for words in commands if words[1] == "doctor"]
    assert all(words[2:4] == ["--limit", "mail1"] and words[-2:] == ["--protocol", "imap"] for words in doctor)


def test_whose_account_it_was_is_named_where_it_matters() -> None:
    command = f"mailprov doctor --limit mail1 --user {ALICE} --protocol imap"
    assert f"`{command}`" in to_do("mail1", check("login"), ALICE)
    assert "--user" not in to_do("mail1", check("tls"), ALICE) + to_do("mail1", check("login"))


def test_nothing_is_to_be_done_about_what_is_well_or_no_declared_host() -> None:
    assert to_do("mail1", check("tls", ok=True)) == to_do("mail1", check("tls", severity="warning")) == ""
    assert to_do("", check("tls")) == ""


def test_every_form_says_it() -> None:
    made = [check("connect", ok=True), check("login"), check("login")]
    step = to_do("mail1", made[1], ALICE)
    lines = [line.text for line in text.verification(made, host="mail1", user=ALICE)]
    assert lines.count(f"  to do: {step}") == 1
    assert not any("to do" in line.text for line in text.verification(made))
    told = reader.loads(json.checks([("mail1", made)], (), ALICE))["hosts"][0]["checks"]
    assert [each["cure"] for each in told] == ["", step, step]
    assert markdown.checks([("mail1", made)], (), ALICE).count("to do: ") == 1
    assert junit.junit([junit.checked("mail1", made, ALICE)]).count("to do: ") == 2
    assert "to do: " not in junit.junit([junit.checked("mail1", made, declared=False)])


def test_everybody_who_was_refused_gets_one() -> None:
    roll = LoginReport("mail1", [Login(ALICE, check("login"))], {})
    step = f"mailprov doctor --limit mail1 --user {ALICE} --protocol imap"
    assert [line.text for line in logins.table(roll) if step in line.text] == [
        f"    to do: `{step}` names the cause, and its cure"
    ]
    told = reader.loads(logins.as_json([roll]))["hosts"][0]["accounts"][0]["logins"]
    assert step in told[0]["cure"]
    assert step in junit.junit([junit.logged_in(roll)])
