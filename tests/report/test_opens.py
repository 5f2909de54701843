"""Which ports a plan opens to whom: told in a line, in every form, of a plan and of a kept one."""

from __future__ import annotations

import json as reader
from dataclasses import replace
from pathlib import Path

import pytest
from hostile import HOSTILE_TEXT, hostile_plan, steers
from hypothesis import given
from hypothesis import strategies as st
from simulated_host import SimulatedHost, declare

from mailprov.engine.saved_plan import SavedPlan, claim
from mailprov.model import Plan
from mailprov.report import json, kept, markdown, opening, text


@pytest.fixture
def made(tmp_path: Path) -> Plan:
    """A first install, where POP3 is for the office only."""
    services = {"pop3": {"tls": 995}, "imap": {"tls": 993}, "smtp": {"port": 25}}
    allow = [{"port": 995, "from": ["10.0.0.0/8"]}, {"port": 443}]
    return SimulatedHost().plan(declare(tmp_path, {"services": services, "firewall": {"manage": True, "allow": allow}}))


SAID = "opens ports 25, 993 to everyone; port 995 to 10.0.0.0/8"


def test_a_plan_says_it_in_one_line(made: Plan) -> None:
    assert made.opens == ("tcp/25", "tcp/993", "tcp/995 from 10.0.0.0/8")
    lines = [line.text for line in text.plan(made)]
    assert lines.count(f"  {SAID}") == 1
    assert f"- 🔓 {SAID}" in markdown.plans([made])
    (host,) = reader.loads(json.plans([made]))["hosts"]
    assert host["opens"] == [
        {"port": "tcp/25", "from": None},
        {"port": "tcp/993", "from": None},
        {"port": "tcp/995", "from": "10.0.0.0/8"},
    ]


def test_a_kept_plan_says_it_too(made: Plan) -> None:
    plan = SavedPlan(False, (claim(made, "SHA256:x", {}),))
    assert f"  {SAID}" in [line.text for line in kept.text(plan)]
    assert f"- 🔓 {SAID}" in kept.as_markdown(plan)
    (host,) = reader.loads(kept.as_json(plan))["hosts"]
    assert host["opens"][2] == {"port": "tcp/995", "from": "10.0.0.0/8"}


def test_a_plan_that_opens_nothing_says_nothing_of_it(made: Plan) -> None:
    closed = replace(made, opens=())
    assert "opens" not in "".join(line.text for line in text.plan(closed)) + markdown.plans([closed])
    assert opening(()) == ""


@pytest.mark.parametrize(
    ("opens", "said"),
    [
        (("tcp/25",), "opens port 25 to everyone"),
        (("udp/500", "tcp/25"), "opens ports UDP 500, 25 to everyone"),
        (("all",), "opens all ports that the firewall keeps closed"),
        (("all", "tcp/25"), "opens all ports that the firewall keeps closed; port 25 to everyone"),
        (
            tuple(f"tcp/{n}" for n in range(15)),
            "opens ports " + ", ".join(map(str, range(12))) + " and 3 more to everyone",
        ),
        (
            tuple(f"tcp/{n} from n{n}" for n in range(7)),
            "opens port 0 to n0; port 1 to n1; port 2 to n2; port 3 to n3; port 4 to n4; and 2 more",
        ),
    ],
)
def test_in_words(opens: tuple[str, ...], said: str) -> None:
    assert opening(opens) == said


@given(opens=st.lists(HOSTILE_TEXT, min_size=1, max_size=4).map(tuple))
def test_whatever_a_file_says_that_it_opens_stays_text(opens: tuple[str, ...]) -> None:
    hostile = replace(hostile_plan("x"), opens=opens)
    plan = SavedPlan(False, (replace(claim(hostile, "x", {}), opens=opens),))
    for lines in (text.plan(hostile), kept.text(plan)):
        assert not any(steers(line.text) for line in lines)
    reader.loads(kept.as_json(plan))
    assert not steers(kept.as_markdown(plan).replace("\n", ""))
