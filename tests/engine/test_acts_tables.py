"""Merging what changes into a passwd-file or a map, against a model of it in Python.

Both ends must agree on what a row is: the controller (resources/rows.py) sends what differs from what it saw, the host
(acts.sh) merges that into what is there, and the outcome must be the declared table, byte for byte.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shell_sandbox import Sandbox, me
from simulated_host import HASH, without_own_passwords

from mailprov.encode import map_row, passwd_row
from mailprov.model import Action, Change, Reason, RowsChange, Secret
from mailprov.resources import accounts, rows
from mailprov.resources.accounts import owns_password, with_password

EXAMPLES = settings().max_examples // 2  # each starts a shell
NAMES = tuple(f"{name}@example.com" for name in ("a", "ab", "b", "c", "mailprov-test-1", "z.z"))
OWN = "{SHA512-CRYPT}$6$own$own"
INITIAL = "{SHA512-CRYPT}$6$initial$initial"

# Lines that somebody may have left in a table, rows and no rows.
ODD = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                " ",
                "\t",
                "#",
                "# comment",
                "# a: comment",
                ":",
                "::::",
                "a@example.com",
                " a@example.com OK",
                "\tOK",
            ),
            *(
                "a@example.com\tOK",
                "a@example.com  OK",
                "a@example.com OK ",
                "a@example.com OK\r",
                "a@example.com |/bin/sh",
            ),
            *(
                "a@example.com:{PLAIN}x",
                "a@example.com:{PLAIN}x:::initial",
                "a@example.com:x:::initial:::\r",
                "Dx",
                "Sx",
            ),
            *(
                "@example.com b@example.com",
                "ä@example.com OK",
                "a@example.com \\n \\\\ & $1 %s",
                "\x01\x02 OK",
                "(line 1)",
            ),
            *(
                "a@example.com:" + OWN + ":::initial:::",
                "A@example.com:" + OWN + ":::initial:::",
                "\x0b",
                "\x85",
                "\u2028",
            ),
        ]
    ),
    st.text(st.sampled_from("a@.: \t#\r\\&\x0c\x1cäOK"), max_size=8),
)

ACCOUNTS = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        lambda managed, quota: (managed, quota),
        st.booleans(),
        st.sampled_from([(), (("userdb_quota_rule", "*:bytes=1"),), (("allow_nets", "2001:db8::/32,10.0.0.0/8"),)]),
    ),
)
MAPS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([("OK",), NAMES[:1], NAMES[:2]]))


def account_rows(wanted: dict[str, tuple[bool, tuple[tuple[str, str], ...]]]) -> dict[str, str]:
    """The desired rows: what is managed has its hash, what is initial has none."""
    return {
        name: passwd_row(name, HASH if managed else "", "managed" if managed else "initial", extra)
        for name, (managed, extra) in wanted.items()
    }


def delta(before: dict[str, str], after: dict[str, str]) -> bytes:
    """What is sent to make the one of the other."""
    return rows.payload(rows.change("rows", rows.Seen(before), rows.Seen(after)), after)


def digest(table: dict[str, str]) -> str:
    """Of the table that must come out."""
    return rows.table(table.values(), "").digest()


def live_file(lines: list[str], ending: str) -> bytes:
    return "\n".join(lines).encode("utf-8", "surrogateescape") + (ending.encode() if lines else b"")


def seen(live: bytes, *, passwords: bool) -> str:
    """What the probe shows of it."""
    text = live.decode("utf-8", "replace")
    return without_own_passwords_keeping_end(text) if passwords else text


def without_own_passwords_keeping_end(text: str) -> str:
    lines = [without_own_passwords(line + "\n").removesuffix("\n") if line else line for line in text.split("\n")]
    return "\n".join(lines)


def merge(folder: Path, live: bytes | None, payload: bytes, *command: str) -> tuple[int, str, bytes]:
    sandbox = Sandbox(folder)
    path = sandbox.etc / "table"
    if live is not None:
        path.write_bytes(live)
    (sandbox.transaction / "new" / "1").write_bytes(payload)
    done = sandbox.call(command[0], "1", str(path), *command[1:], before='postmap() { : >"${1#hash:}.db"; }')
    assert live is None or path.read_bytes() == live, "merging only stages"
    assert not (sandbox.transaction / "new" / "1.merged").exists() or done.returncode
    return done.returncode, done.stdout, (sandbox.transaction / "new" / "1").read_bytes()


@settings(max_examples=EXAMPLES)
@given(MAPS, MAPS, st.lists(ODD, max_size=4), st.sampled_from(["\n", ""]), st.randoms())
@example({}, {"a@example.com": ("OK",)}, [" a@example.com OK", "", "# x"], "", None)
@example({}, {"a@example.com": ("OK",)}, ["a@example.com b@example.com", "a@example.com OK"], "\n", None)
@example({}, {"a@example.com": ("OK",)}, ["a@example.com OK\x0bb@example.com OK"], "\n", None)
def test_a_map_becomes_what_is_declared(
    before: dict[str, tuple[str, ...]], after: dict[str, tuple[str, ...]], odd: list[str], ending: str, chance: object
) -> None:
    lines = [*(map_row(name, values) for name, values in before.items()), *odd]
    if chance is not None:
        chance.shuffle(lines)  # type: ignore[attr-defined]
    live = live_file(lines, ending)
    desired = {name: map_row(name, values) for name, values in after.items()}
    payload = delta(rows.parse(seen(live, passwords=False), " ").rows, desired)
    with tempfile.TemporaryDirectory() as folder:
        status, said, made = merge(Path(folder), live, payload, "merge_map", digest(desired))
    assert (status, said) == (0, "")
    assert made == "".join(f"{row}\n" for row in sorted(desired.values())).encode()


@settings(max_examples=EXAMPLES)
@given(ACCOUNTS, ACCOUNTS, st.lists(ODD, max_size=4), st.sampled_from(["\n", ""]), st.randoms())
@example({}, {}, ["a@example.com:x:::initial:::\r"], "\n", None)
@example({"a@example.com": (True, ())}, {"a@example.com": (False, ())}, [], "\n", None)
def test_a_passwd_file_becomes_what_is_declared(
    before: dict[str, tuple[bool, tuple[tuple[str, str], ...]]],
    after: dict[str, tuple[bool, tuple[tuple[str, str], ...]]],
    odd: list[str],
    ending: str,
    chance: object,
) -> None:
    there = {
        name: with_password(row, Secret(OWN)) if owns_password(row) else row
        for name, row in account_rows(before).items()
    }
    lines = [*there.values(), *odd]
    if chance is not None:
        chance.shuffle(lines)  # type: ignore[attr-defined]
    live = live_file(lines, ending)
    desired = account_rows(after)
    old = rows.parse(seen(live, passwords=True), ":").rows
    sent = {
        name: with_password(row, Secret(INITIAL)) if name not in old and owns_password(row) else row
        for name, row in desired.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        status, said, made = merge(Path(folder), live, delta(old, sent), "merge", ":", digest(desired))
    assert (status, said) == (0, "")
    # What the host holds now: every row as declared, and a password in every one.
    made_rows = rows.parse(made.decode("ascii"), ":").rows
    blanked = {name: without_own_passwords(row + "\n").rstrip("\n") for name, row in made_rows.items()}
    assert blanked == desired
    assert made.decode("ascii").splitlines() == sorted(made_rows.values())
    for name, row in made_rows.items():
        password = row.split(":")[1]
        odd_row = any(name in line for line in odd)
        if name in there and owns_password(desired[name]) and not odd_row:
            assert password == there[name].split(":")[1], "an account keeps the password that it has"
        elif not odd_row:
            assert password in (HASH, INITIAL)


def test_what_moved_since_the_plan_is_not_flattened(tmp_path: Path) -> None:
    desired = account_rows({"a@example.com": (True, ())})
    live = f"{desired['a@example.com']}\nb@example.com:x:::managed:::\n".encode()
    status, said, _ = merge(tmp_path, live, b"", "merge", ":", digest(desired))
    assert status == 1
    assert "other rows than planned" in said


def test_a_table_that_is_not_there_yet(tmp_path: Path) -> None:
    desired = account_rows({"a@example.com": (True, ())})
    status, _, made = merge(tmp_path, None, delta({}, desired), "merge", ":", digest(desired))
    assert (status, made.decode()) == (0, desired["a@example.com"] + "\n")


def test_passwords_hold_every_character_of_their_alphabet(tmp_path: Path) -> None:
    own = "{BLF-CRYPT}$2y$05$./+,=-AZaz09"
    live = f"a@example.com:{own}:::initial:::\n".encode()
    desired = account_rows({"a@example.com": (False, (("allow_nets", "::/0"),))})
    payload = delta(rows.parse(seen(live, passwords=True), ":").rows, desired)
    status, _, made = merge(tmp_path, live, payload, "merge", ":", digest(desired))
    assert (status, made.decode()) == (0, f"a@example.com:{own}:::initial:::allow_nets=::/0\n")


def test_an_undo_keeps_passwords_that_users_changed_meanwhile(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    path = sandbox.etc / "accounts"
    rows_before = [f"a@example.com:{HASH}:::managed:::", f"b@example.com:{OWN}:::initial:::"]
    path.write_text("".join(f"{row}\n" for row in rows_before))
    (sandbox.transaction / "new" / "1").write_text(
        f"b@example.com:{OWN}:::initial:::\nc@example.com:{INITIAL}:::initial:::\n"
    )
    assert sandbox.call("put", "1", str(path), "640", *me()).returncode == 0
    path.write_text(path.read_text().replace(OWN, OWN + "2"))
    assert sandbox.call("former_accounts", "1", str(path)).returncode == 0
    assert path.read_text() == "".join(f"{row}\n" for row in rows_before).replace(OWN, OWN + "2")
    assert not sandbox.leftovers()


def test_an_undo_where_nothing_was(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    path = sandbox.etc / "accounts"
    (sandbox.transaction / "new" / "1").write_text("a@example.com:x:::managed:::\n")
    assert sandbox.call("put", "1", str(path), "640", *me()).returncode == 0
    assert sandbox.call("former_accounts", "1", str(path)).returncode == 0
    assert not path.exists()


@pytest.mark.parametrize(("undo", "again"), [("former_accounts", True), ("names_again", True), ("former_map", False)])
def test_what_is_as_it_was_is_not_put_back(tmp_path: Path, undo: str, again: bool) -> None:
    """What kept it from being replaced (chattr +i) would keep it from being put back, for good."""
    sandbox = Sandbox(tmp_path)
    path = sandbox.etc / "accounts"
    path.write_text("a@example.com:hash:::initial:::\n")
    assert sandbox.call("save", "1", str(path)).returncode == 0
    held = "mv() { return 1; }; next_second() { :; }"
    done = sandbox.call(undo, "1", str(path), before=held)
    assert done.returncode == 0, done.stderr
    assert not sandbox.leftovers()
    if again:  # a password that its user has changed since stays, and is no reason to write either
        path.write_text("a@example.com:new:::initial:::\n")
        assert sandbox.call(undo, "1", str(path), before=held).returncode == 0
    path.write_text("b@example.com:hash:::initial:::\n")
    assert sandbox.call(undo, "1", str(path), before=held).returncode != 0


def test_sessions_of_closed_accounts_end_however_many_are_closed(tmp_path: Path) -> None:
    gone = accounts.Accounts("/a", "", rows=rows.table([], ":"))
    names = [f"account-{n}.of-a-large-place@example.com" for n in range(20_000)]
    closed = RowsChange("accounts", removed=tuple(names))
    change = Change(gone.key, Action.UPDATE, Reason.PENDING, gone, gone, closed)
    [_, step] = accounts.steps([change])
    sandbox = Sandbox(tmp_path)
    (sandbox.transaction / "new" / "2").write_bytes(step.payload or b"")
    online = [names[7], names[19_999], names[7], "account-7", "other@example.com"]
    who = "".join(f"{name} imap 1 (192.0.2.7)\\n" for name in ("username", *online))
    programs = f"""sleep() {{ :; }}; doveadm() {{ case $1 in who) printf '{who}' ;; kick) echo "$2" ;; esac; }}"""
    done = sandbox.call(*("2" if word == "@" else word for word in step.do), before=programs)
    assert (done.returncode, done.stderr) == (0, "")
    assert {*done.stdout.split()} == {names[7], names[19_999]}


@pytest.mark.parametrize("separator", [":", " "])
@pytest.mark.parametrize("line", ["alice@example.com{PLAIN}hunter2", "# hunter2", " hunter2: x", "hunter2\t:"])
def test_what_is_no_row_is_not_shown(separator: str, line: str) -> None:
    found = rows.change("rows", rows.parse(f"{line}\n", separator), None)
    assert "hunter2" not in f"{found}{found.summary}{found.detail}"
    assert (found.broken, found.removed, found.detail) == ((1,), (), ("- (line 1)",))
