"""What a host tells of its keys, and what is done where they are not as they shall be."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.model import Action, Backup, Change, Key, KeyPair, Reason
from mailprov.model.listing import Listed
from mailprov.model.signing import Use
from mailprov.resources import dkim_keys
from mailprov.resources.dkim_keys import DkimKey, dkim_key

RSA, ED = "a" * 64, "b" * 64
P = f"{dkim_keys.FOLDER}/example.com/mail1-1"
NOTE = f"use signs 1900000000\nrsa {RSA} {'M' * 40}\ned25519 {ED} {'F' * 43}=\n"
FILES = [f"regular file|644|root|root|{P}.txt", f"regular file|640|root|_rspamd|{P}.rsa"]
FILES += [f"regular file|640|root|_rspamd|{P}.ed25519"]
DIGESTS = [f"{RSA}  {P}.rsa", f"{ED}  {P}.ed25519"]


def answer(note: str = NOTE, files: list[str] = FILES, digests: list[str] = DIGESTS) -> dict[str, str]:
    return {"dkim_keys": "\n".join([*files, *digests, *(f"{P}.txt: {line}" for line in note.splitlines())])}


def read(*words: object) -> DkimKey:
    (found,) = dkim_keys.read(answer(*words)).values()  # type: ignore[arg-type]
    return found


def test_a_pair_as_it_shall_be() -> None:
    found = read()
    assert found.key == Key("dkim_key", "example.com/mail1-1")
    assert found.pair.records[0] == ("mail1-1r._domainkey.example.com", f"v=DKIM1; k=rsa; p={'M' * 40}")
    assert found.pair.records[1][0] == "mail1-1e._domainkey.example.com"
    wanted = dkim_key(found.pair)
    assert found.sound and dkim_keys.same(wanted, found, "") and found.fingerprint == wanted.fingerprint
    assert not dkim_keys.moved(found, wanted.fingerprint, "")


@pytest.mark.parametrize(
    ("files", "digests"),
    [
        (FILES[:2], DIGESTS[:1]),
        (FILES, [DIGESTS[0], f"{RSA}  {P}.ed25519"]),
        ([FILES[0], FILES[1].replace("640", "644"), FILES[2]], DIGESTS),
        ([FILES[0], FILES[1].replace("_rspamd", "www-data"), FILES[2]], DIGESTS),
        ([FILES[0], FILES[1].replace("regular file", "symbolic link"), FILES[2]], DIGESTS[1:]),
    ],
)
def test_what_is_wrong_with_it_differs(files: list[str], digests: list[str]) -> None:
    found = read(NOTE, files, digests)
    wanted = dkim_key(found.pair)
    assert not found.sound and not dkim_keys.same(wanted, found, "")
    assert dkim_keys.moved(found, wanted.fingerprint, "")


def test_one_that_has_signed_needs_its_private_halves_no_more() -> None:
    signed = NOTE.replace("signs", "signed")
    for files, digests in ((FILES, DIGESTS[:1]), (FILES[:2], []), (FILES[:1], [])):
        found = read(signed, files, digests)
        assert not found.pair.intact and dkim_keys.same(dkim_key(found.pair), found, "")
    open_to_all = [FILES[0], FILES[1].replace("640", "644")]
    assert not read(signed, open_to_all, []).sound


@pytest.mark.parametrize(
    "note",
    [
        "",
        "use sings 1\n" + NOTE.split("\n", 1)[1],
        NOTE.replace("1900000000", "-1"),
        NOTE.replace("M" * 40, "p=; t=y"),
        NOTE.replace("ed25519", "ed448"),
        NOTE.replace("use signs 1900000000", "use signs"),
    ],
)
def test_keys_whose_note_means_nothing_sign_no_more_and_keep_their_name(note: str) -> None:
    found = read(note)
    assert (found.pair.use, found.pair.intact, found.pair.records, found.sound) == ("signs", False, (), False)
    (step,) = dkim_keys.steps([change(found, dkim_key(replace(found.pair, use="signed")))])
    assert step.do == ("use_key", "@", P, "signed")
    after = read("use signed 1900000000\n" + "".join(f"{line}\n" for line in note.splitlines()[1:]))
    assert (after.pair.use, after.pair.since, after.sound) == ("signed", 1_900_000_000, True)


def test_what_is_no_note_is_in_the_way_or_nobodys() -> None:
    odd = read("", [FILES[0].replace("regular file", "fifo"), *FILES[1:]])
    assert dkim_keys.obstacles(odd, dkim_key(odd.pair), {})
    stray = [FILES[0].replace("mail1-1", "readme")]
    assert dkim_keys.read(answer("", stray, [])) == {}


@given(st.text(), st.lists(st.text(max_size=90), max_size=9))
def test_nothing_that_a_host_says_breaks_the_reader(note: str, files: list[str]) -> None:
    for found in dkim_keys.read(answer(note, files)).values():
        assert found.fingerprint


def change(before: DkimKey | None, after: DkimKey | None) -> Change:
    known = after or before
    assert known is not None
    delta = dkim_keys.delta(before, after)
    return Change(known.key, Action.UPDATE, Reason.PENDING, before, after, delta)


@pytest.mark.parametrize("use", ["waits", "signs", "signed", "retired"])
def test_steps_and_words(use: Use) -> None:
    live = dkim_key(KeyPair("example.com", "mail1-1", "waits" if use != "waits" else "signs"))
    after = dkim_key(replace(live.pair, use=use))
    told = change(live, after)
    (step,) = dkim_keys.steps([told])
    assert step.do == ("use_key", "@", P, use) and step.undo == ("former_key", "@", P)
    assert told.summary and step.what
    (new,) = dkim_keys.steps([change(None, after)])
    assert (new.stage, new.do) == (("make_key", "@"), ("put_key", "@", P))
    (gone,) = dkim_keys.steps([change(live, None)])
    assert gone.do == ("drop_key", "@", P)


def backup(copies: dict[str, Listed]) -> Backup:
    key = Key("dkim_key", "example.com/mail1-1")
    return Backup(key, "/var/lib/mailprov/txn/x/old/3", copies, {}, "", False, None, (), ())


def test_the_way_back() -> None:
    """What was noted comes back; what was new stays, and signs nothing."""
    live = dkim_key(KeyPair("example.com", "mail1-1", "signs"))
    back = dkim_keys.restored(backup({}), live)
    assert back is not None and back.pair.use == "waits"
    gone = dkim_key(replace(live.pair, use="retired"))
    assert dkim_keys.restored(backup({}), gone) == gone
    assert dkim_keys.restored(backup({}), None) is None
    kept = dkim_keys.restored(backup({"": Listed("3", "file", "644", "root", "root")}), live)
    assert kept is not None
    query = dkim_keys.kept_query(kept)
    assert query is not None and query.words == ("/var/lib/mailprov/txn/x/old/3",)
    told = dkim_keys.with_kept(kept, base64.b64encode(NOTE.replace("signs", "signed").encode()).decode())
    assert told.pair.use == "signed"
    (step,) = dkim_keys.steps([change(live, told)])
    assert step.do == ("put_back_key", "@", P)
    lost = dkim_keys.with_kept(kept, base64.b64encode(b"use what\n").decode())
    assert (lost.pair.use, lost.kept) == ("signed", "")


def test_the_shell_says_what_the_reader_reads(tmp_path: Path) -> None:
    package = Path(dkim_keys.__file__).parent
    folder = tmp_path / "example.com"
    folder.mkdir()
    (folder / "mail1-1.txt").write_text(NOTE)
    (folder / "mail1-1.rsa").write_text("x")
    script = f'. "{package.parent.parent}/engine/probe.sh"; . "{package}/query.sh"; dkim_keys "$1"'
    said = subprocess.run(["dash", "-c", script, "sh", str(tmp_path)], capture_output=True, text=True).stdout
    found = dkim_keys.read({"dkim_keys": said.replace(str(tmp_path), dkim_keys.FOLDER)})
    (one,) = found.values()
    assert (one.pair.use, one.pair.since, one.pair.intact) == ("signs", 1_900_000_000, False)
    none = subprocess.run(["dash", "-c", script, "sh", str(tmp_path / "nothing")], capture_output=True, text=True)
    assert (none.stdout, none.returncode) == ("", 0)


def test_the_shell_says_little_of_what_is_no_note(tmp_path: Path) -> None:
    """One that is no file hides no other, and a huge one is not sent whole; nothing in it becomes another line."""
    package = Path(dkim_keys.__file__).parent
    for name in ("a.test", "example.com"):
        (tmp_path / name).mkdir()
    (tmp_path / "a.test/a.txt").symlink_to("nowhere")
    (tmp_path / "a.test/b.txt").mkdir()
    (tmp_path / "a.test/c.txt").write_text(f"{'x' * 10**6}\\nuse signs 1\n")
    (tmp_path / "example.com/mail1-1.txt").write_text(NOTE.replace("\n", " \n") + "y\n" * 10**5)
    script = f'. "{package.parent.parent}/engine/probe.sh"; . "{package}/query.sh"; dkim_keys "$1"'
    said = subprocess.run(["dash", "-c", script, "sh", str(tmp_path)], capture_output=True, text=True).stdout
    found = dkim_keys.read({"dkim_keys": said.replace(str(tmp_path), dkim_keys.FOLDER)})
    assert len(said) < 9000 and [key.name for key in found] == ["example.com/mail1-1"]
    assert found[Key("dkim_key", "example.com/mail1-1")].pair.since == 1_900_000_000
