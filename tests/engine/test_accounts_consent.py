"""No account is closed without a consent, whatever it is called in the live table; and what is shown of a change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from simulated_host import HASH, SimulatedHost, changes, declare

from mailprov.model import Plan
from mailprov.report import text
from mailprov.resources import accounts
from mailprov.resources.rows import FieldChange

TABLE = "/etc/dovecot/mailprov/accounts"
NAMES = ["root", "- x@example.com", "-", "~ ", "+ a@b", " leading@example.com", "\ttab", "(line 1)", "(line", "D", "S"]
NAMES += [
    "# no",
    "jürgen",
    "a b",
    "(line 3)@example.com",
    "x@y",
    "--",
    "~",
    "\"'$(reboot)",
    "*",
    "alice",
    "ALICE@example.com",
]
LINES = st.builds(
    lambda name, rest: f"{name}{rest}",
    st.one_of(st.sampled_from(NAMES), st.text("-+~ ()#@.:1aé\t", max_size=8)),
    st.sampled_from(["", ":", ":x", ":{PLAIN}hunter2::::::", f":{HASH}:::managed:::", ":::", " :x"]),
)


def read_by_dovecot(content: str) -> set[str]:
    """The accounts of a passwd-file as Dovecot's db-passwd-file.c finds them."""
    lines = [line for line in content.split("\n") if line and line[0] not in ":#" and ":" in line]
    return {line.split(":")[0] for line in lines}


def planned(folder: Path, *lines: str) -> tuple[Plan, SimulatedHost]:
    host, spec = SimulatedHost(), declare(folder)
    host.become(spec)
    host.entries[TABLE].content = "\n".join([*host.entries[TABLE].content.splitlines(), *lines, ""])
    return host.plan(spec), host


@given(st.lists(LINES, min_size=1, max_size=4))
@example(["root:x"])
@example(["- x@y:x"])
@example(["(line 1):x"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_account_escapes_the_consent(tmp_path: Path, lines: list[str]) -> None:
    made, host = planned(tmp_path, *lines)
    extra = read_by_dovecot(host.entries[TABLE].content) - {"alice@example.com", "bob@example.com"}
    closed = {name for delta in accounts.deltas(made.changes) for name in delta.removed}
    assert closed <= extra
    flags = {risk.flag for risk in made.risks}
    # A name that ends in blanks is no account of its own where nothing but a blank tells it apart.
    assert ("removals" in flags) is bool(extra), (extra, made.risks)
    shown = "\n".join(line.text for line in text.plan(made, details=True))
    assert "hunter2" not in shown and "$6$" not in shown


@pytest.mark.parametrize("name", ["root", "-x", "(line", "~", "postmaster"])
def test_an_account_without_an_at_is_one(tmp_path: Path, name: str) -> None:
    made, _ = planned(tmp_path, f"{name}:{HASH}:::managed:::")
    assert [(risk.flag, risk.text) for risk in made.risks] == [("removals", f"closes 1 account: {name}")]
    (delta,) = accounts.deltas(made.changes)
    assert (delta.removed, delta.broken) == ((name,), ())


def test_a_line_that_dovecot_may_read_is_told_by_its_number(tmp_path: Path) -> None:
    made, _ = planned(tmp_path, "# a comment: no account", " eve@example.com:{PLAIN}hunter2", "no colon")
    (delta,) = accounts.deltas(made.changes)
    assert (delta.removed, delta.broken, delta.unclear) == ((), (3, 4, 5), (4,))
    words = f"drops 1 line that Dovecot may read as accounts: 4 of {TABLE}"
    assert [(risk.flag, risk.text) for risk in made.risks] == [("removals", words)]
    assert changes(made) == [f"update accounts {TABLE} (drift): 3 lines that are no rows go"]


# --- which fields change


ROW = "jun.hu@example.com:{H}a:::managed:::"
OLD = "userdb_quota_rule=*:bytes="
NEW = "userdb_quota_storage_size="
DAYS = "userdb_namespace/inbox/mailbox/INBOX/autoexpunge="


@pytest.mark.parametrize(
    ("was", "will", "found"),
    [
        (f"{ROW}{OLD}1073741824", f"{ROW}{OLD}2147483648", "quota 1 GiB → 2 GiB"),
        (f"{ROW}{NEW}1073741824B", ROW, "quota 1 GiB → none"),
        (ROW, f"{ROW}{OLD}5", "quota none → 5 bytes"),
        (f"{ROW}{OLD}0", f"{ROW}{OLD}1536", "quota 0 bytes → 1,536 bytes"),
        (f"{ROW}{DAYS}30d", f"{ROW}{DAYS}1d", "messages kept 30 days → 1 day"),
        (ROW, f"{ROW}{DAYS}90d", "messages kept for good → 90 days"),
        (ROW, f"{ROW}allow_nets=10.0.0.0/8,::1", "networks any → 10.0.0.0/8, ::1"),
        (f"{ROW}allow_nets={{PLAIN}}hunter2", ROW, "networks unreadable → any"),
        (ROW, ROW.replace("{H}a", "{H}b"), "password"),
        (ROW, ROW.replace("{H}a:::managed", ":::initial"), "password of the declaration → the user"),
        (ROW.replace("{H}a:::managed", ":::initial"), ROW, "password of the user → the declaration"),
        (ROW, f"{ROW}hunter2=hunter2", "other fields"),
        ("jun.hu@example.com:{PLAIN}hunter2", ROW, "password"),
        (f"{ROW}{OLD}1024", f"{ROW}{NEW}1024B", "other fields"),
        (
            f"{ROW}{OLD}1073741824",
            f"{ROW.replace('{H}a', '{H}b')}{OLD}2147483648",
            "quota 1 GiB → 2 GiB, password",
        ),
    ],
)
def test_which_fields_of_an_account_change(was: str, will: str, found: str) -> None:
    told = accounts.fields(was, will)
    assert ", ".join(map(str, told)) == found
    assert "hunter2" not in repr(told)


def test_details_tell_the_fields(tmp_path: Path) -> None:
    host = SimulatedHost()
    user = {"address": "jun.hu@example.com", "password": {"hash": HASH}, "quota": "1GiB"}
    host.become(declare(tmp_path, {"users": [user]}))
    other = {"hash": HASH.replace("a" * 86, "b" * 86)}
    made = host.plan(declare(tmp_path, {"users": [{**user, "quota": "2GiB", "password": other}]}))
    lines = [line.text.strip() for line in text.plan(made, details=True)]
    assert "~ jun.hu@example.com  quota 1 GiB → 2 GiB, password" in lines
    (delta,) = accounts.deltas(made.changes)
    assert delta.fields == {"jun.hu@example.com": (FieldChange("quota", "1 GiB", "2 GiB"), FieldChange("password"))}


@pytest.mark.parametrize(
    ("there", "shown"),
    [
        ("alice@example.com, bob@example.com", "alice@example.com, bob@example.com"),
        ("hunter2", "unreadable"),
        ("relay@example.com:hunter2", "unreadable"),
        ("alice@example.com hunter2", "unreadable"),
    ],
)
def test_details_tell_where_an_alias_leads(tmp_path: Path, there: str, shown: str) -> None:
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    host.entries["/etc/postfix/mailprov/aliases"].content = f"postmaster@example.com {there}\n"
    lines = [line.text.strip() for line in text.plan(host.plan(spec), details=True)]
    assert f"~ postmaster@example.com  to {shown} → alice@example.com" in lines
    assert "hunter2" not in "".join(lines)
