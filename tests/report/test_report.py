"""One plan in each form, and what a hostile host can do to them: nothing. UPDATE_GOLDEN=1 writes golden/ anew."""

from __future__ import annotations

import json as reader
import os
import re
from pathlib import Path

import pytest
from hostile import FACTS, HOSTILE_TEXT, hostile_check, hostile_plan, plan_of, steers
from hypothesis import given
from hypothesis import strategies as st
from simulated_host import SimulatedHost, declare

from mailprov.checks import Check, Endpoint
from mailprov.model import Action, Change, Effect, Key, Plan, Reason, Words
from mailprov.report import json, markdown, printable, text
from mailprov.report.text import Line
from mailprov.resources.services import Service

GOLDEN = Path(__file__).parent / "golden"


def real(tmp_path: Path) -> list[Plan]:
    """A host with pending changes and drift, and one without."""
    host = SimulatedHost()
    host.become(declare(tmp_path))
    converged = host.plan(declare(tmp_path))
    host.entries["/etc/postfix/main.cf"].content += "smtp_sasl_password_maps = static:user:hunter2\n```\n"
    host.entries["/etc/dovecot/mailprov/accounts"].content += "eve@example.com:{PLAIN}hunter2::::::\nhunter2\n"
    changed = host.plan(
        declare(
            tmp_path,
            {
                "users": [{"address": "alice@example.com", "password": {"hash": "$HASH"}, "quota": "1GiB"}],
                "services": {"imap": {"tls": 993}, "submission": {"starttls": 587}},
                "firewall": None,
            },
        )
    )
    return [changed, converged]


def shown(lines: list[Line]) -> str:
    return "".join(f"{line.style:<7}{line.text}\n" for line in lines)


@pytest.mark.parametrize("form", ["text", "details", "json", "markdown"])
def test_golden(form: str, tmp_path: Path) -> None:
    plans = real(tmp_path)
    made = {
        "text": lambda: "".join(shown(text.plan(each)) for each in plans) + shown([text.total(plans)]),
        "details": lambda: "".join(shown(text.plan(each, details=True)) for each in plans),
        "json": lambda: json.plans(plans) + "\n",
        "markdown": lambda: markdown.plans(plans) + "\n",
    }[form]()
    made = re.sub(r'("digest": ")[0-9a-f]{64}', r"\g<1>…", made)  # of a certificate that is new each time
    made = re.sub(r"(the certificate has |certificate_days\": )39[678]", r"\g<1>397", made)
    made = re.sub(r"(?<=[\" ])/[^ ]*/mail\.yaml", "mail.yaml", made)
    path = GOLDEN / f"plan.{form}"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")
    assert "hunter2" not in made
    assert "$6$" not in made


def test_a_dovecot_that_is_not_there_yet_is_said_to_come(tmp_path: Path) -> None:
    host = SimulatedHost()
    first, *_ = text.plan(host.plan(declare(tmp_path)))
    assert re.fullmatch(r"\S+  \(Debian 12, Dovecot 2[.][0-9.]+ to be installed\)", first.text)
    host.become(declare(tmp_path))
    first, *_ = text.plan(host.plan(declare(tmp_path)))
    assert "to be installed" not in first.text


def test_a_listener_that_was_not_reached_is_not_said_to_be_well() -> None:
    end = Endpoint("imap", "tls", "192.0.2.1", 993, "mail.example.com")
    lines = [line.text for line in text.verification([Check(end, "connect", False, 0.1, "refused", "warning")])]
    assert lines[0] == "  -    imap         993  not seen from here"
    assert lines[-1] == "  1 check, 1 warning; 1 listener not seen from here"


@given(HOSTILE_TEXT)
def test_text_steers_no_terminal(said: str) -> None:
    check = hostile_check(said)
    lines = [*text.plan(hostile_plan(said)), *text.plan(hostile_plan(said), details=True)]
    lines += [*text.verification([check]), *text.problems([check])]
    for line in lines:
        assert not steers(line.text)
        assert "\n" not in line.text


@given(HOSTILE_TEXT)
def test_json_is_ascii_and_whole(said: str) -> None:
    written = json.plans([hostile_plan(said)])
    assert not steers(written.replace("\x7f", ""))
    assert written.isascii()
    read = reader.loads(written)
    assert read["hosts"][0]["warnings"] == [said]
    assert read["hosts"][0]["changes"][0]["name"] == said
    assert json.checks([("mail1", [hostile_check(said)])]).isascii()


@given(st.text())
def test_printable_is_printable_and_keeps_what_was(said: str) -> None:
    made = printable(said)
    assert not steers(made)
    assert "\n" not in made
    if said.isprintable():
        assert made == said


def test_counts_and_plurals() -> None:
    change = Change(Key("file", "/x"), Action.UPDATE, Reason.BOTH, None, None, Words("content"))
    removed = Change(Key("file", "/y"), Action.REMOVE, Reason.PENDING, None, None, Words("remove"))
    one = plan_of((change,))
    assert text.total([]).text == "No changes on 0 hosts."
    assert text.total([plan_of(())]).text == "No changes on 1 host."
    assert text.total([one]).text == "Plan: 1 to update on 1 host; 1 of them drift (changed on the host)."
    both = text.total([one, plan_of((change, removed)), plan_of(())]).text
    assert both == "Plan: 2 to update, 1 to remove on 2 hosts; 2 of them drift (changed on the host)."


def test_what_is_said_about_sessions() -> None:
    change = Change(Key("file", "/x"), Action.UPDATE, Reason.DRIFT, None, None, Words("content"))
    last = text.plan(plan_of((change,)))[-1].text
    assert last == (
        "  effect on services: dovecot: reload (live sessions stay), postfix: RESTART (live sessions are cut)"
    )
    quiet = Plan("mail1", FACTS, {}, (change,), {"systemd": Effect.RELOAD}, (), "")
    assert text.plan(quiet)[-1].text == "  effect on services: no service is reloaded or restarted"


def test_a_service_that_is_stopped_is_told() -> None:
    runs, down = Service("dovecot"), Service("dovecot", enabled=False, active=False)
    change = Change(runs.key, Action.UPDATE, Reason.PENDING, runs, down, Words("stop"))
    plan = Plan("mail1", FACTS, {}, (change,), {}, (), "")
    assert text.plan(plan)[-1].text == "  effect on services: dovecot: STOP (live sessions are cut)"


def test_json_tells_programs_whether_anything_changes(tmp_path: Path) -> None:
    changed, converged = real(tmp_path)
    assert reader.loads(json.plans([changed, converged]))["changed"] is True
    assert reader.loads(json.plans([converged]))["changed"] is False
    assert reader.loads(json.plans([])) == {"format": 1, "report": "plan", "changed": False, "hosts": [], "failed": []}
