"""A team's policy on plans: what a plan may close, open and change, before anybody applies it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fleet_in_memory import Fleet
from test_kept_plan import CONSENTS, changed, written
from test_show import steers

from mailprov.engine import saved_plan
from mailprov.errors import Exit

POLICY = """\
expectations: 1
plan:
  - {of: accounts_closed, at_most: 5, reason: more is a mistake in the export}
  - {of: accounts_created, at_most: 50}
  - {of: ports_opened, at_most: 0}
  - {of: restarts, at_most: 0}
  - {of: changes, kind: package, at_most: 0}
  - {of: changes, kind: file, name: /etc/postfix/*, at_most: 0}
  - {of: consents, flag: closing, at_most: 0}
"""
LISTENERS = "".join(
    f'LISTEN 0 100 0.0.0.0:{port} 0.0.0.0:* users:(("{name}",pid={pid},fd=1))\n'
    for port, name, pid in ((993, "dovecot", 7), (587, "master", 8), (25, "master", 8), (22, "sshd", 9))
)
LISTENERS += "process\t7\t0\t1\t/system.slice/dovecot.service\t\n"
LISTENERS += "process\t8\t0\t1\t/system.slice/system-postfix.slice/postfix@-.service\t\n"

Test = Callable[..., tuple[int, str]]


def accounts(numbers: range) -> list[dict[str, Any]]:
    return [{"address": f"user{number}@example.com"} for number in numbers]


@pytest.fixture
def team(fleet: Fleet) -> Fleet:
    """Two hosts with forty accounts, at which mailprov has been at work; and a policy in tests/."""
    fleet.hosts = {}
    fleet.declare(2)
    fleet.document["users"] += accounts(range(40))
    assert fleet.run("apply", "--yes") == 0
    for host in fleet.hosts.values():
        host.said["listeners"] = LISTENERS
    (fleet.folder / "tests").mkdir()
    (fleet.folder / "tests/policy.yaml").write_text(POLICY)
    assert fleet.run("plan", "--detailed-exitcode") == 0
    return fleet


@pytest.fixture
def test_(team: Fleet, capsys: pytest.CaptureFixture[str]) -> Test:
    """Runs `mailprov test`, which touches no host: how it ended, and all that was said."""

    def ran(*words: str) -> tuple[int, str]:
        before = pickle.dumps(team.hosts)
        capsys.readouterr()
        status = team.run("test", *words)
        said = capsys.readouterr()
        assert team.begun == [] and pickle.dumps(team.hosts) == before
        assert "mistake of" not in said.err and "Traceback" not in said.err
        return status, said.out + said.err

    return ran


def honest(team: Fleet) -> None:
    """Two people leave, two come, one gets a smaller mailbox."""
    team.document["users"] = [*team.document["users"][:-2], *accounts(range(50, 52))]
    team.document["users"][5] = {"address": "user3@example.com", "quota": "1GiB"}


def hostile(team: Fleet) -> None:
    """Thirty accounts are closed, and a port is opened."""
    team.document["users"] = team.document["users"][:12]
    team.document["services"]["pop3"] = {"tls": 995}


def test_an_honest_plan_is_let_through_and_a_hostile_one_is_not(team: Fleet, test_: Test) -> None:
    honest(team)
    assert team.run("plan", "--out", "honest.json") == 0
    status, said = test_("--plan", "honest.json", "--details")
    assert status == 0, said
    assert "7 expectations: 7 hold." in said
    assert "the kept plan: the plan closes 4 accounts: h1 2, h2 2" in said, "a mailbox on each of two hosts is two"
    assert team.opened == [], "a kept plan is judged without asking anybody"
    hostile(team)
    assert team.run("plan", "--out", "hostile.json") == 0
    status, said = test_("--plan", "hostile.json")
    assert status == Exit.UNVERIFIED
    assert "FAIL 3:5    the plan closes at most 5 accounts\n" in said
    assert "the plan closes 60 accounts: h1 30, h2 30" in said and "reason: more is a mistake in the export" in said
    assert "the plan opens 2 ports: h1 1 (tcp/995), h2 1 (tcp/995)" in said
    assert "the plan makes 2 changes: h1 1 (package dovecot-pop3d), h2 1 (package dovecot-pop3d)" in said
    assert "7 expectations: 4 hold, 3 do not hold." in said
    # A pipeline ends here; the honest plan goes on.
    honest_again(team)
    assert team.run("apply", "honest.json", *CONSENTS) == 0
    assert team.begun == ["h1", "h2"]


def honest_again(team: Fleet) -> None:
    """The declaration as the honest plan was made of it."""
    del team.document["services"]["pop3"]
    people = [user["address"] for user in team.document["users"]]
    assert len(people) == 12
    team.document["users"] += accounts(range(10, 38))
    honest_end = accounts(range(50, 52))
    team.document["users"] += honest_end


@pytest.mark.parametrize("change", [honest, hostile])
def test_the_plan_of_now_is_judged_as_a_kept_one(team: Fleet, test_: Test, change: Callable[[Fleet], None]) -> None:
    change(team)
    assert team.run("plan", "--out", "kept.json") == 0
    status, said = test_("--live")
    assert team.opened == ["h1", "h2"], "looked at, and nothing else"
    assert (status, said.replace("the plan of now", "the kept plan")) == test_("--plan", "kept.json")
    both, said = test_("--plan", "kept.json", "--live", "--format", "json")
    assert both == status
    told = json.loads(said[: said.rindex("}") + 1])
    assert {each["by"] for it in told["expectations"] for each in it["findings"]} == {"kept_plan", "plan"}


def test_a_host_that_cannot_be_looked_at_has_not_passed(team: Fleet, test_: Test) -> None:
    honest(team)
    team.gone = {"h2"}
    status, said = test_("--live")
    assert status == Exit.PARTIAL
    assert "not told here: there is no plan of h2" in said and "h2: no answer" in said
    assert "7 expectations: 0 hold, 7 are not told here." in said
    hostile(team)
    status, said = test_("--live")
    assert (status, "the plan closes 30 accounts: h1 30" in said) == (Exit.UNVERIFIED, True), (
        "one host is enough for that"
    )


def test_what_a_plan_does_on_some_hosts(team: Fleet, test_: Test) -> None:
    hostile(team)
    assert team.run("plan", "--out", "kept.json") == 0
    (team.folder / "some.yaml").write_text("expectations: 1\nplan: [{of: ports_opened, at_most: 0, host: h2}]\n")
    status, said = test_("some.yaml", "--plan", "kept.json")
    assert (status, "opens 1 port: h2 1 (tcp/995)" in said, "h1" in said) == (9, True, False)
    assert team.run("plan", "--limit", "h1", "--out", "some.json") == 0
    status, said = test_("some.yaml", "--plan", "some.json")
    assert (status, "there is no plan of these hosts" in said) == (9, True), "nothing is told"
    assert test_("some.yaml", "--plan", "some.json", "--limit", "h2")[0] == 1
    team.declare(3)
    assert test_("some.yaml", "--plan", "kept.json")[0] == Exit.STALE, "an apply would refuse it, too"


def test_what_the_firewall_lets_in_counts_as_opened(team: Fleet, test_: Test) -> None:
    def said_of(firewall: object) -> str:
        team.document["firewall"] = firewall
        return test_("--live")[1]

    assert "opens 2 ports: h1 1 (udp/51820), h2" in said_of(
        {"manage": True, "allow": [{"port": 51820, "protocol": "udp"}]}
    )
    assert "opens" not in said_of({"manage": True, "allow": [{"port": 993, "from": ["10.0.0.0/8"]}]}).replace(
        "the plan opens no port", ""
    )
    assert team.run("apply", *CONSENTS) == 0
    for host in team.hosts.values():
        host.said["listeners"] = LISTENERS
    assert "opens 2 ports: h1 1 (tcp/993)" in said_of({"manage": True}), "from everywhere again"
    assert "opens 262,140 ports: h1 131,070" in said_of({"manage": False})


# --- a plan that somebody has written


def test_a_plan_that_lies_passes_here_and_is_refused_when_it_is_applied(team: Fleet, test_: Test) -> None:
    hostile(team)
    assert team.run("plan", "--out", "kept.json") == 0
    document = json.loads((team.folder / "kept.json").read_bytes())
    for host in document["hosts"]:
        host["opens"], host["dangers"] = [], []
        host["changes"] = [change for change in host["changes"] if change["key"][0] != "package"]
        for change in host["changes"]:
            change["rows"] = {}
    (team.folder / "lies.json").write_bytes(written(document, renewed=True))
    assert test_("--plan", "lies.json")[0] == 0
    assert team.run("apply", "lies.json", *CONSENTS) == Exit.STALE
    assert team.begun == []


@pytest.mark.parametrize("count", [-(10**30), 10**4000, True, "30", 1.5, None])
def test_counts_of_any_kind(team: Fleet, test_: Test, count: object) -> None:
    """A negative one takes nothing away from that of another table."""
    hostile(team)
    assert team.run("plan", "--out", "kept.json") == 0
    document = json.loads((team.folder / "kept.json").read_bytes())
    changes = document["hosts"][0]["changes"]
    at = next(number for number, change in enumerate(changes) if change["key"][0] == "accounts")
    forged = changed(document, ("hosts", 0, "changes", at, "rows"), {"removed": count})
    (team.folder / "forged.json").write_bytes(written(forged, renewed=True))
    status, said = test_("--plan", "forged.json")
    assert status == (Exit.UNVERIFIED if type(count) is int else Exit.INVALID), said
    assert len(said) < 20_000


HOSTILE = "\x1b[2J\x9b31m\r\x00\x7f\u202e\u2028</details>| `x` ![x](https://tracker.example) **b**"


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_what_is_written_into_it_steers_nothing(team: Fleet, test_: Test, form: str) -> None:
    hostile(team)
    assert team.run("plan", "--out", "kept.json") == 0
    document = json.loads((team.folder / "kept.json").read_bytes())
    host = document["hosts"][0]
    host["opens"] = [HOSTILE, HOSTILE * 1000]
    host["dangers"] = [{"flag": "closing", "text": HOSTILE}]
    host["changes"][0]["key"] = ["package", HOSTILE]
    host["effects"][HOSTILE] = "RESTART"
    (team.folder / "forged.json").write_bytes(written(document, renewed=True))
    status, said = test_("--plan", "forged.json", "--format", form, "--junit", "r.xml", "--sarif", "r.sarif")
    assert status == Exit.UNVERIFIED
    assert steers(said) == []
    for name in ("r.xml", "r.sarif"):
        text = (team.folder / name).read_text(encoding="utf-8")
        assert "\x1b" not in text and "\u202e" not in text


def test_a_file_that_is_no_plan(team: Fleet, test_: Test) -> None:
    (team.folder / "policy.json").write_text(yaml.safe_dump({}))
    for name in ("policy.json", "absent.json", "mail.yaml"):
        status, said = test_("--plan", name)
        assert (status, "Error: " in said) == (Exit.INVALID, True)
    assert Path("kept.json").exists() is False


def test_a_claim_counts_rows_and_ports() -> None:
    assert saved_plan.rows({"rows": {"removed": 3}}, "removed") == 3
    assert saved_plan.rows({"rows": {}}, "removed") == 0
    assert saved_plan.rows({"rows": {"removed": -3}}, "removed") == 0
