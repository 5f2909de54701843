"""Age texts: what is one, what is a damaged one, and that nothing else than an error comes of any other text."""

from __future__ import annotations

import subprocess

import pytest
from age_tools import person, sealed, text
from hypothesis import example, given
from hypothesis import strategies as st

from mailprov.declaration.unseen import unseen
from mailprov.encrypted import age, armour
from mailprov.errors import FileError
from mailprov.model import Secret

ANNA = person()
TEXT = text("correct horse", ANNA)
IDENTITY = age.identity(Secret(ANNA.identity), "test")


@given(st.binary(max_size=300))
def test_a_round_trip(rest: bytes) -> None:
    data = armour.MAGIC + rest
    made = armour.armoured(data)
    assert max(map(len, made.splitlines())) <= 64
    for form in (made, armour.one_line(made), made.replace("\n", "\r\n"), made.strip(), f"\n {made}"):
        assert armour.unarmoured(form) == data
    assert armour.looks_so(made)
    assert armour.looks_so(armour.one_line(made))
    assert not unseen(armour.one_line(made))
    assert armour.of_file(data) == (data, False)
    assert armour.of_file(made.encode()) == (data, True)


def test_it_is_the_armour_of_age() -> None:
    import pyrage

    key = pyrage.x25519.Identity.from_str(ANNA.identity)
    assert pyrage.decrypt(TEXT.encode(), [key]) == b"correct horse"
    theirs = pyrage.encrypt(b"theirs", [key.to_public()], armored=True).decode()
    assert age.decrypted(armour.unarmoured(theirs), IDENTITY) == b"theirs"


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        ("", "this is no age text"),
        ("TODO", "this is no age text"),
        ("hunter2 " + TEXT, "this is no age text"),
        (TEXT[:200], "this age text is cut off"),
        (armour.HEADER, "this age text is cut off"),
        (f"{armour.HEADER}\n{armour.FOOTER}", "damaged"),
        (TEXT.replace("\nYWdl", "\nhunter2 ", 1), "damaged"),
        (TEXT.replace("\nYWdl", "\nQWdl", 1), "damaged"),
        (TEXT.replace("\nYWdl", "\n====YWdl", 1), "damaged"),
        (TEXT.replace("\nYWdl", "\nÄWdl", 1), "damaged"),
    ],
    ids=[
        "nothing",
        "a mark",
        "words before",
        "cut off",
        "begun",
        "empty",
        "words within",
        "changed",
        "padded",
        "no ASCII",
    ],
)
def test_what_is_damaged_is_told_and_not_shown(damaged: str, told: str) -> None:
    with pytest.raises(FileError, match=told) as raised:
        armour.unarmoured(damaged)
    assert raised.value.fix
    assert "hunter2" not in str(raised.value)


@given(st.data())
@example(None)
def test_whatever_is_changed_in_it_is_an_error_at_most(data: st.DataObject | None) -> None:
    """Never a traceback, never another secret: what is authenticated is refused, or still the same."""
    made = TEXT
    for _ in range(data.draw(st.integers(1, 3)) if data else 0):
        assert data is not None
        at = data.draw(st.integers(0, len(made)))
        length = data.draw(st.integers(0, 40))
        made = made[:at] + data.draw(st.text(max_size=4) | st.sampled_from(["\n", " ", "A", "="])) + made[at + length :]
    try:
        assert age.decrypted(armour.unarmoured(made), IDENTITY) == b"correct horse"
    except FileError as error:
        assert error.fix


@given(st.binary(max_size=400), st.integers(0, 500))
def test_so_it_is_with_files(noise: bytes, at: int) -> None:
    whole = sealed("correct horse", ANNA)
    for data in (noise, armour.MAGIC + noise, whole[:at] + noise + whole[at:], whole[:at], whole + noise):
        try:
            assert age.decrypted(armour.of_file(data)[0], IDENTITY) == b"correct horse"
        except FileError as error:
            assert error.fix


def test_the_program_age_opens_what_is_made_here(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    key = ANNA.write(folder / "key")
    (folder / "text.age").write_text(TEXT)
    (folder / "binary.age").write_bytes(sealed("binary", ANNA))
    for name, secret in (("text.age", b"correct horse"), ("binary.age", b"binary")):
        done = subprocess.run(("age", "-d", "-i", key, folder / name), check=True, capture_output=True)
        assert done.stdout == secret
    (folder / ".age-recipients").write_text(f"# Anna\n{ANNA.recipient}\n")
    for more in ((), ("-a",)):
        said = subprocess.run(
            ("age", "-R", folder / ".age-recipients", *more), input=b"hers", check=True, capture_output=True
        )
        assert age.decrypted(armour.of_file(said.stdout)[0], IDENTITY) == b"hers"
