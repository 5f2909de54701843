"""Generated passwords from their making until they are settled, and the file that holds them meanwhile."""

from __future__ import annotations

import csv
import math
import stat
import subprocess
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.credentials import sent
from mailprov.credentials.entries import COLUMNS, Entry, dump, first_asked, overdue, parse, renamed, settled, supplied
from mailprov.credentials.folder import Folder
from mailprov.credentials.passwords import BITS, LETTERS, generated, initial_hash
from mailprov.credentials.sent import Record
from mailprov.encode import csv_cell, csv_text
from mailprov.errors import MailprovError
from mailprov.model import GENERATED, Person, Secret, User

NOW = datetime(2030, 6, 1, 12, 0, 0, 999, tzinfo=UTC)
ANN, BEN, ANNA = "ann@example.com", "ben@example.com", "anna@example.com"
USERS = {
    ANN: User(ANN, GENERATED, "Ann", person=Person("ann@home.example")),
    BEN: User(BEN, GENERATED, '=1+1 "Ben", 王'),
    ANNA: User(ANNA, GENERATED, "Anna", was=ANN),
}


def made(before: tuple[Entry, ...], created: Mapping[str, Collection[str]], word: str = "new") -> tuple[Entry, ...]:
    numbers = count(1)
    return supplied(before, created, USERS, make=lambda: Secret(f"{word}-{next(numbers)}"), now=NOW, days=14)


def done(
    entries: tuple[Entry, ...], first: Mapping[str, Collection[str]], took: Mapping[str, bool]
) -> tuple[Entry, ...]:
    return settled(entries, first, {}, took)


def shown(entries: tuple[Entry, ...]) -> dict[str, tuple[str, str, str]]:
    return {it.address: (it.password.reveal(), " ".join(it.hosts), " ".join(it.pending)) for it in entries}


# --- passwords


def test_a_generated_password_can_be_read_out() -> None:
    words = [generated().reveal() for _ in range(200)]
    assert len(set(words)) == 200
    assert all([len(part) for part in word.split("-")] == [4, 4, 4, 4] for word in words)
    used = set("".join(words)) - {"-"}
    assert used == set(LETTERS) and len(LETTERS) == len(set(LETTERS))
    for alike in ("0oO", "1lIi", "2zZ", "5sS", "6bG", "8B", "9gq", "uv"):
        assert len(set(alike) & used) <= 1, alike
    assert math.log2(len(used)) * 16 == pytest.approx(BITS) and BITS >= 70


def test_only_a_generated_password_that_was_generated_makes_an_account() -> None:
    with pytest.raises(MailprovError, match="was not generated"):
        initial_hash(USERS[ANN])
    ready = replace(USERS[ANN], password=replace(GENERATED, plaintext=generated()))
    assert initial_hash(ready).reveal().startswith("{SHA512-CRYPT}$6$")


# --- who has which password where


def test_a_person_has_one_password_on_every_host() -> None:
    first = made((), {ANN: ["a", "b"], BEN: ["b"]})
    assert shown(first) == {ANN: ("new-1", "", "a b"), BEN: ("new-2", "", "b")}
    assert (first[0].contact, first[0].made, first[0].until) == (
        "ann@home.example",
        NOW.replace(microsecond=0),
        date(2030, 6, 15),
    )
    there = done(first, {ANN: ["a", "b"], BEN: ["b"]}, {"a": True, "b": True})
    assert shown(there) == {ANN: ("new-1", "a b", ""), BEN: ("new-2", "b", "")}
    more = made(there, {ANN: ["c"]}, "other")
    assert shown(more)[ANN] == ("new-1", "a b", "c")


@pytest.mark.parametrize(
    ("took", "left"),
    [
        ({"a": True, "b": False}, {ANN: "a", BEN: None}),
        ({"a": False, "b": True}, {ANN: "b", BEN: "b"}),
        ({"a": False, "b": False}, {ANN: None, BEN: None}),
        ({"a": False}, {ANN: "b?", BEN: "b?"}),
        ({}, {ANN: "a?b?", BEN: "b?"}),
    ],
)
def test_what_no_host_took_is_gone_and_what_one_may_have_stays(
    took: dict[str, bool], left: dict[str, str | None]
) -> None:
    created = {ANN: ["a", "b"], BEN: ["b"]}
    there = {it.address: it for it in done(made((), created), created, took)}
    found = {
        name: "".join((*there[name].hosts, *(f"{host}?" for host in there[name].pending))) if name in there else None
        for name in created
    }
    assert found == left


def test_an_apply_that_was_cut_off_is_settled_by_the_next_one() -> None:
    cut_off = made((), {ANN: ["a"], BEN: ["a"]})
    # Ann's account was made, and Ben's was not: he comes with the password that a host may have been given.
    again = made(cut_off, {BEN: ["a"]}, "other")
    assert shown(again) == shown(cut_off)
    assert shown(done(again, {BEN: ["a"]}, {"a": True})) == {ANN: ("new-1", "a", ""), BEN: ("new-2", "a", "")}
    # An apply that fails says nothing of what an earlier one did.
    assert shown(done(again, {BEN: ["a"]}, {"a": False})) == {ANN: ("new-1", "", "a")}


def test_who_leaves_takes_the_password_along() -> None:
    both = done(made((), {ANN: ["a", "b"]}), {ANN: ["a", "b"]}, {"a": True, "b": True})
    assert settled(both, {}, {"a": {ANN}}, {"a": False}) == settled(both, {}, {"a": {ANN}}, {}) == both
    one = settled(both, {}, {"a": {ANN}}, {"a": True})
    assert shown(one) == {ANN: ("new-1", "b", "")}
    assert settled(one, {}, {"b": {ANN, BEN}}, {"b": True}) == ()


def test_a_password_goes_with_the_name_host_by_host() -> None:
    kept = done(made((), {ANN: ["h1", "h2"]}), {}, {"h1": True, "h2": True})
    password = kept[0].password.reveal()
    half = renamed(kept, {ANN: ANNA}, {"h1": True})
    assert shown(half) == {ANN: (password, "h2", ""), ANNA: (password, "h1", "")}
    assert renamed(half, {ANN: ANNA}, {"h3": True, "h2": False}) == half
    whole = renamed(half, {ANN: ANNA}, {"h2": True})
    assert shown(whole) == {ANNA: (password, "h1 h2", "")}
    assert shown(renamed(whole, {ANNA: ANN}, {"h1": True})) == {ANNA: (password, "h2", ""), ANN: (password, "h1", "")}


def test_a_host_more_gives_a_renamed_person_no_other_password() -> None:
    kept = done(made((), {ANN: ["h1"]}), {}, {"h1": True})
    password = kept[0].password.reveal()
    both = made(kept, {ANNA: ["h2"]}, "other")
    assert shown(both) == {ANN: (password, "h1", ""), ANNA: (password, "", "h2")}
    took = {"h1": True, "h2": True}
    assert shown(done(renamed(both, {ANN: ANNA}, took), {ANNA: ["h2"]}, took)) == {ANNA: (password, "h1 h2", "")}
    assert shown(done(both, {ANNA: ["h2"]}, {"h2": False})) == {ANN: (password, "h1", "")}


def test_two_passwords_are_never_one() -> None:
    two = made(made((), {ANNA: ["h1"]}), {ANN: ["h2"]}, "other")
    assert renamed(two, {ANN: ANNA}, {"h1": True, "h2": True}) == two


def test_a_stale_plan_takes_nobodys_password() -> None:
    """A plan that was kept says that the account is to be made, and it has been."""
    there = done(made((), {ANN: ["a"]}), {ANN: ["a"]}, {"a": True})
    again = made(there, {ANN: ["a"]}, "other")
    assert again == there
    first = first_asked(there, {ANN: ["a"]})
    assert first == {ANN: ()} and settled(again, first, {}, {"a": False}) == there


def test_they_are_overdue_after_their_day() -> None:
    entries = made((), {ANN: ["a"]})
    assert overdue(entries, date(2030, 6, 15)) == () and overdue(entries, date(2030, 6, 16)) == entries


# --- the file

_TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc"), max_codepoint=0x2FFFF), max_size=12)


@given(st.lists(st.tuples(_TEXT, _TEXT, st.from_regex(r"[!-~]{1,20}", fullmatch=True)), max_size=4))
def test_the_file_holds_what_was_put_there(people: list[tuple[str, str, str]]) -> None:
    entries = tuple(
        Entry(
            f"u{n}@example.com", name, contact, Secret(word), ("a", "b"), ("c",), NOW.replace(microsecond=0), NOW.date()
        )
        for n, (name, contact, word) in enumerate(people)
    )
    assert parse(dump(entries), "x") == entries


@given(st.text(max_size=20))
def test_no_cell_is_a_formula(text: str) -> None:
    cell = csv_cell(text)
    assert csv_text(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_another_file_is_refused_in_words(text: str) -> None:
    with pytest.raises(MailprovError, match="no file of generated passwords"):
        parse(text, "x")
    with pytest.raises(MailprovError) as caught:
        parse(dump(()) + f"secret{text}\r\n", "x")
    assert "secret" not in str(caught.value)


# --- the folder


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "handout")
    assert folder.entries() == () and folder.sent() == () and not folder.path.exists()
    entries = folder.change(lambda before: made(before, {ANN: ["a"], BEN: ["a"]}))
    assert folder.entries() == entries
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}
    with folder.passwords.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    assert tuple(rows[0]) == COLUMNS and rows[2][1] == "'" + USERS[BEN].name
    subprocess.run(("git", "init", "-q", tmp_path), check=True)
    status = subprocess.run(("git", "-C", tmp_path, "status", "--porcelain", "-uall"), capture_output=True, check=True)
    assert status.stdout == b""


@pytest.mark.parametrize("trouble", ["open", "file", "link", "nowhere", "garbage"])
def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "handout"
    if trouble == "open":
        path.mkdir(mode=0o755)
    elif trouble == "file":
        path.write_text("")
    elif trouble == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    elif trouble == "garbage":
        path.mkdir(mode=0o700)
        (path / "passwords.csv").write_bytes(b"\xff\xfe")
    else:
        path = tmp_path / "nowhere" / "handout"
    with pytest.raises(MailprovError) as caught:
        Folder(path).change(lambda before: made(before, {ANN: ["a"]}))
    assert caught.value.fix
    assert not list(tmp_path.rglob("*.new"))


def test_what_is_linked_away_is_not_followed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "handout")
    folder.change(lambda before: ())
    (tmp_path / "target").write_text("mine")
    for name in ("passwords.csv", "sent.csv"):
        (folder.path / name).unlink(missing_ok=True)
        (folder.path / name).symlink_to(tmp_path / "target")
    with pytest.raises(MailprovError):
        folder.entries()
    with pytest.raises(MailprovError):
        folder.record(Record("welcome", ANN, ANN, "", "now"))
    assert (tmp_path / "target").read_text() == "mine"


def test_several_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "handout")

    def add(host: str) -> None:
        Folder(folder.path).change(lambda before: made(before, {ANN: [host], BEN: [host]}))

    threads = [threading.Thread(target=add, args=(f"h{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hosts = " ".join(sorted(f"h{n}" for n in range(8)))
    assert shown(folder.entries()) == {ANN: ("new-1", "", hosts), BEN: ("new-2", "", hosts)}


def test_the_record_survives_a_torn_line(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "handout")
    first = Record("passwords", ANN, "ann@home.example", "v1", "2030-06-01T12:00:00Z")
    second = first._replace(address=BEN)
    folder.record(first)
    with (folder.path / "sent.csv").open("a") as stream:
        stream.write("passwords,x@exa")
    folder.record(second)
    assert folder.sent() == (first, second)
    assert sent.parse("") == ()


def test_a_purge_leaves_what_is_not_ours(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "handout")
    assert folder.purge() == ()
    folder.change(lambda before: made(before, {ANN: ["a"]}))
    (folder.path / "notes.txt").write_text("mine")
    assert folder.purge() == ("notes.txt",)
    assert {path.name for path in folder.path.iterdir()} == {".gitignore", "notes.txt"}
    (folder.path / "notes.txt").unlink()
    assert folder.purge() == () and not folder.path.exists()
