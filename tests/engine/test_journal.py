"""The journal: what the host's script writes, and what the controller reads of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell_sandbox import Sandbox

from mailprov.engine.transaction import Event, event, outcome, script
from mailprov.model import Phase, Step
from mailprov.standard import REGISTRY

Journal = Callable[[str], list[str]]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder whose name no other process's tests have: the script's own file in /run is named after it."""
    with TemporaryDirectory(prefix="journal-") as folder:
        yield Path(folder)
        Path(f"/run/mailprov-{Path(folder).name}.out").unlink(missing_ok=True)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The journal that the host's script has written after running `commands` of its own functions."""

    def after(commands: str) -> list[str]:
        (tmp_path / "run").write_text(f"{script(REGISTRY)}\n{commands}\n:\n")
        (tmp_path / "settings").write_text("KEPT 10\n")
        sums = subprocess.run(["sha256sum", "settings"], cwd=tmp_path, check=True, capture_output=True).stdout
        (tmp_path / "sums").write_bytes(sums)
        subprocess.run(["dash", tmp_path / "run", tmp_path, "nothing"], check=True, capture_output=True)
        path = tmp_path / "journal"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    return after


def events(lines: list[str]) -> list[Event]:
    read = [event(line) for line in lines]
    assert all(read)
    return [each for each in read if each]


def test_what_is_journalled_is_what_is_read(journal: Journal) -> None:
    found = events(journal("journal do 3; journal says one  two; journal verdict applied"))
    assert [(each.name, each.text) for each in found] == [("do", "3"), ("says", "one two"), ("verdict", "applied")]
    assert all(each.seconds > 1_700_000_000 for each in found)


@pytest.mark.parametrize(
    "said",
    [
        r"a\n1700000000 verdict applied",
        r"a\c verdict applied",
        r"a\0121700000000 verdict applied",
        "a\r1700000000 verdict applied",
        "a\0b",
        "\x1b]0;title\x07\x1b[31mred\x9b31m",
        "-n -e $(id) `id` %s %d * ~ \\",
        "ä\u202e\U0001f600",
    ],
)
def test_what_a_command_says_forges_no_event(journal: Journal, tmp_path: Path, said: str) -> None:
    (tmp_path / "said").write_bytes(said.encode() + b"\n")
    found = events(journal('run sh -c \'cat "$1"; exit 1\' sh "$T/said"'))
    seen = "".join(c for c in said if c.isascii() and c.isprintable())
    assert [(each.name, each.text) for each in found] == ([("says", seen)] if seen else [])


def test_a_line_that_speaks_of_a_verdict_is_none(journal: Journal) -> None:
    lines = journal('journal do 1; run sh -c "echo there is no verdict yet; exit 1"; journal failed 1')
    assert outcome(events(lines), [_step("put a")]).verdict == "unknown"


def test_only_the_last_lines_are_told_and_long_ones_are_cut(journal: Journal) -> None:
    found = events(journal('run sh -c "seq 1 100; printf %01000d 7; exit 1"'))
    assert [each.text for each in found[:-1]] == [str(number) for number in range(82, 101)]
    assert found[-1].text == "0" * 400


def test_what_succeeds_says_nothing(journal: Journal) -> None:
    assert journal("run echo hello") == []


def test_commands_read_nothing_and_hold_no_lock(journal: Journal, tmp_path: Path) -> None:
    read = "exec 9>>\"$T/lock\"; run sh -c 'cat; [ ! -e /proc/self/fd/9 ] || echo the lock is held; exit 1'"
    assert journal(read) == []


def test_a_failure_in_a_function_is_told(journal: Journal) -> None:
    found = events(journal("broken() { echo broken; return 1; }; journal do 1; run broken || journal failed 1"))
    assert [(each.name, each.text) for each in found] == [("do", "1"), ("says", "broken"), ("failed", "1")]
    assert outcome(found, [_step("write /etc/x")]).failed == "write /etc/x"
    assert outcome(found, [_step("write /etc/x")]).says == ("broken",)


@given(st.text(max_size=40) | st.from_regex(r"\A[0-9²٣]{1,20} [a-z]{1,5}( [a-z0-9]{0,5})?\Z"))
def test_any_line_is_an_event_or_none(line: str) -> None:
    found = event(line)
    assert found is None or (found.seconds >= 0 and found.name and line.endswith(found.text))


@given(
    st.lists(st.sampled_from(["do 1", "failed 1", "failed 99", "failed x", "verdict reverted", "says a", "failed "]))
)
def test_any_journal_has_an_outcome(lines: list[str]) -> None:
    read = [event(f"1700000000 {line}") for line in lines]
    found = outcome([each for each in read if each], [_step("one")])
    assert found.verdict == ("reverted" if "verdict reverted" in lines else "unknown")


def _step(what: str) -> Step:
    return Step(Phase.COMMIT, what, ("keep",), ("keep",))


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def test_debts_are_noted_and_struck_out(sandbox: Sandbox) -> None:
    owed = sandbox.state / "owed"
    assert sandbox.call("paid", "dovecot").returncode == 0
    for debt in (("postfix", "reload"), ("dovecot", "reload"), ("postfix", "restart")):
        assert sandbox.call("owe", *debt).returncode == 0
    assert owed.read_text().splitlines() == ["postfix reload", "dovecot reload", "postfix restart"]
    assert sandbox.call("paid", "postfix").returncode == 0
    assert owed.read_text() == "dovecot reload\n"
    assert sandbox.call("paid", "dove").returncode == 0
    assert owed.read_text() == "dovecot reload\n"
    assert sandbox.call("paid", "dovecot").returncode == 0
    assert owed.read_text() == ""


@pytest.mark.parametrize(
    ("running", "fails", "acts", "left"),
    [
        ("yes", "", ["reload dovecot.service", "restart postfix.service"], ""),
        ("", "", [], ""),
        ("yes", "reload", ["reload dovecot.service"], "postfix reload\ndovecot reload\npostfix restart\n"),
    ],
)
def test_every_debt_is_paid_once(sandbox: Sandbox, running: str, fails: str, acts: list[str], left: str) -> None:
    (sandbox.state / "owed").write_text("postfix reload\ndovecot reload\npostfix restart\n")
    systemctl = f"""systemctl() {{
        case $1 in
            -q) [ -n "{running}" ] ;;
            show) echo forking ;;
            *) echo "$1 $2" >>"$STATE/acts"; [ "$1" != "{fails}" ] ;;
        esac
    }}
    dovecot_reload() {{ systemctl reload dovecot.service; }}"""
    done = sandbox.call("pay", before=systemctl)
    said = sandbox.state / "acts"
    assert done.returncode == (1 if fails else 0)
    assert (said.read_text().splitlines() if said.exists() else []) == acts
    assert (sandbox.state / "owed").read_text() == left


def test_what_came_is_on_the_disk_before_anything_begins(journal: Journal, tmp_path: Path) -> None:
    """A power cut may empty whatever nobody synced (sync(1)), and these files are what takes a change back then."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sync").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{tmp_path}/synced\n')
    (tmp_path / "bin/sync").chmod(0o755)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/1").touch()
    others = "; ".join(f"{name}() {{ :; }}" for name in ("reserve", "note_running", "note_ports", "arm"))
    opened = 'opened() { cp "$T/synced" "$T/before"; }'
    assert [line.split()[1] for line in journal(f"PATH=$T/bin:$PATH STATE=$T; {others}; {opened}; begin")] == ["begin"]
    synced = set((tmp_path / "before").read_text().splitlines())
    assert {str(tmp_path / name) for name in ("", "run", "settings", "sums", "new/1")} <= {*synced, f"{tmp_path}/"}


def test_why_nothing_could_begin_is_told(journal: Journal) -> None:
    others = "; ".join(f"{name}() {{ :; }}" for name in ("landed", "reserve", "note_running", "note_ports", "arm"))
    said = journal(f"STATE=$T/none; {others}; begin || journal failed begin")
    assert [line.split(" ", 1)[1] for line in said][-1:] == ["failed begin"]
    assert any(" says " in line and "/none/open.new" in line for line in said), said


@pytest.mark.parametrize(
    ("happened", "comes"),
    [("", True), ("1 verdict applied", True), ("1 verdict mixed", True), ("1 do 3", False)],
)
def test_whoever_comes_while_the_last_one_is_being_closed_waits(journal: Journal, happened: str, comes: bool) -> None:
    """One apply straight after another: its verdict is known before it has let go of the host."""
    found = events(
        journal(f"""
            STATE=$T/state; mkdir -p "$STATE/txn/other"; echo somebody >"$STATE/holder"; : >"$STATE/lock"
            [ -z "{happened}" ] || {{ echo other >"$STATE/open"; echo "{happened}" >"$STATE/txn/other/journal"; }}
            ( flock 8; sleep 2 ) 8>>"$STATE/lock" & sleep 0.2
            hold() {{ :; }}; ours() {{ journal says ours; }}; locked ours
        """)
    )
    told = [(each.name, each.text) for each in found]
    assert told == ([("says", "ours")] if comes else [("says", "somebody"), ("verdict", "locked")])
