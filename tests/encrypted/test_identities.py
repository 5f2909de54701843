"""Identities and recipients: which are understood, and what is told of those that are not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from age_tools import Person, person, sealed, ssh_person
from hypothesis import given
from hypothesis import strategies as st

from mailprov.encrypted import age, identities
from mailprov.encrypted.recipients import MOST, NAME, recipients
from mailprov.errors import FileError, SpecError
from mailprov.model import Secret


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    folder = tmp_path_factory.mktemp("people")
    found = {kind: ssh_person(folder, kind) for kind in ("ed25519", "rsa", "ecdsa")}
    found["locked"] = ssh_person(folder, "ed25519", "a passphrase")
    found["locked rsa"] = ssh_person(folder, "rsa", "a passphrase")
    return found | {"x25519": person()}


def identity(who: Person) -> age.Identity:
    return age.identity(Secret(who.identity), "there")


@pytest.mark.parametrize("kind", ["x25519", "ed25519", "rsa"])
def test_each_kind_opens_what_is_for_it(kind: str, people: dict[str, Person]) -> None:
    who = people[kind]
    data = sealed("for several", who, person())
    assert age.decrypted(data, identity(who)) == b"for several"
    (own,) = age.recipients_of(Secret(who.identity), "there")
    assert own.split()[:2] == who.recipient.split()[:2]


@pytest.mark.parametrize("kind", ["x25519", "ed25519", "rsa"])
def test_another_key_opens_nothing(kind: str, people: dict[str, Person]) -> None:
    with pytest.raises(FileError, match="encrypted for other identities than the one in there") as raised:
        age.decrypted(sealed("secret", person()), identity(people[kind]))
    assert raised.value.denied
    assert "--identity" in raised.value.fix
    assert "secret rekey" in raised.value.fix


def test_a_passphrase_is_asked_of_nobody() -> None:
    import pyrage

    with pytest.raises(FileError, match="encrypted with a passphrase"):
        age.decrypted(pyrage.passphrase.encrypt(b"x", "y"), identity(person()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no identity"),
        ("# only a comment\n", "holds no identity"),
        ("hunter2", "holds no age identity in line 1"),
        ("# mine\n\nAGE-SECRET-KEY-1HUNTER2", "holds no age identity in line 3"),
        ("age1t708njsw824ufwegsd7r3l42aly7ywaks9ukt8vkyrwyz6ygg3jqjvtxc3", "holds no age identity in line 1"),
        ("AGE-PLUGIN-YUBIKEY-1HUNTER2", "holds no age identity in line 1"),
        ("age-encryption.org/v1\n-> scrypt x 18\n", "is encrypted itself"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", "is encrypted itself"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n", "is no SSH key that age knows"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n", "is an SSH key with a passphrase"),
    ],
    ids=str,
)
def test_what_is_no_identity_is_told_and_not_shown(text: str, told: str) -> None:
    with pytest.raises(FileError, match=told) as raised:
        age.identity(Secret(text), "there")
    assert raised.value.denied
    assert raised.value.fix
    assert "hunter2" not in str(raised.value).lower()


@pytest.mark.parametrize("kind", ["locked", "locked rsa"])
def test_an_ssh_key_with_a_passphrase_is_told(kind: str, people: dict[str, Person]) -> None:
    with pytest.raises(FileError, match="there is an SSH key with a passphrase") as raised:
        identity(people[kind])
    assert "mailprov secret init" in raised.value.fix


def test_a_kind_that_age_does_not_know(people: dict[str, Person]) -> None:
    with pytest.raises(FileError, match="is no SSH key that age knows"):
        identity(people["ecdsa"])
    with pytest.raises(FileError, match="this is no recipient"):
        age.recipient(people["ecdsa"].recipient)


@given(st.text(max_size=200) | st.text(max_size=40).map(lambda text: f"ssh-ed25519 {text}"))
def test_any_text_as_a_recipient_is_an_error_at_most(text: str) -> None:
    with pytest.raises(FileError, match="recipient"):
        age.recipient(text)


@given(st.text(max_size=200) | st.text().map(lambda text: f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}"))
def test_any_text_as_an_identity_is_an_error_at_most(text: str) -> None:
    with pytest.raises(FileError, match="the age identity in there"):
        age.identity(Secret(text), "there")


# --- where it is


def test_which_one_is_taken(tmp_path: Path) -> None:
    named, by_text, by_file, usual = person(), person(), person(), person()
    path = named.write(tmp_path / "named")
    environ = {"HOME": str(tmp_path)}
    usual.write(tmp_path / ".config/mailprov/age.txt")
    assert identities.text(environ)[0].reveal().strip() == usual.identity
    environ["MAILPROV_AGE_IDENTITY_FILE"] = str(by_file.write(tmp_path / "file"))
    assert identities.text(environ)[0].reveal().strip() == by_file.identity
    environ["MAILPROV_AGE_IDENTITY"] = by_text.identity
    assert identities.text(environ) == (Secret(by_text.identity), "MAILPROV_AGE_IDENTITY")
    assert identities.text(environ, path)[0].reveal().strip() == named.identity
    # what a pipeline sets to nothing, because it has none for strangers, is not set
    environ |= {"MAILPROV_AGE_IDENTITY": "", "MAILPROV_AGE_IDENTITY_FILE": ""}
    assert identities.text(environ)[0].reveal().strip() == usual.identity


def test_a_file_may_hold_several(tmp_path: Path) -> None:
    first, second = person(), person()
    (tmp_path / "both").write_text(f"# mine\n{first.identity}\r\n\n# theirs\n{second.identity}\n")
    found = identities.identity({}, tmp_path / "both")
    assert age.decrypted(sealed("x", second), found) == age.decrypted(sealed("x", first), found) == b"x"


@pytest.mark.parametrize(
    ("environ", "named", "told"),
    [
        ({}, None, "without HOME no identity is found"),
        ({"HOME": "relative"}, None, "without HOME no identity is found"),
        ({"HOME": "/nowhere"}, None, "no identity to open it: no file /nowhere/.config/mailprov/age.txt"),
        ({"MAILPROV_AGE_IDENTITY_FILE": "/nowhere/key"}, None, "/nowhere/key cannot be read"),
        ({"MAILPROV_AGE_IDENTITY_FILE": "~/key"}, None, "without HOME"),
        ({}, Path("/nowhere/key"), "/nowhere/key cannot be read"),
        ({}, Path("/dev/zero"), "not a regular file"),
        ({}, Path("/"), "not a regular file"),
    ],
    ids=str,
)
def test_where_there_is_none(environ: dict[str, str], named: Path | None, told: str) -> None:
    with pytest.raises(FileError, match=told) as raised:
        identities.identity(environ, named)
    assert raised.value.denied
    assert raised.value.fix


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="is no text"):
        identities.identity({}, tmp_path / "key")
    with pytest.raises(FileError, match="MAILPROV_AGE_IDENTITY is no text"):
        identities.identity({"MAILPROV_AGE_IDENTITY": "-----BEGIN X PRIVATE KEY-----\udcff"})
    (tmp_path / "key").write_bytes(b"#" * 100_000)
    with pytest.raises(FileError, match="larger than"):
        identities.identity({}, tmp_path / "key")


# --- recipients


def test_recipients_are_lines(tmp_path: Path, people: dict[str, Person]) -> None:
    keys = [people[kind].recipient for kind in ("x25519", "ed25519", "rsa")]
    (tmp_path / NAME).write_text("# Anna\n" + "\n\n# and\n".join([*keys, keys[0]]) + "\r\n")
    assert [each.text for each in recipients(tmp_path)] == keys


def test_every_line_that_is_none_is_told(tmp_path: Path, people: dict[str, Person]) -> None:
    lines = [people["x25519"].recipient, "anna@example.com", people["ecdsa"].recipient, people["x25519"].identity]
    (tmp_path / NAME).write_text("\n".join(["# who", *lines]))
    with pytest.raises(SpecError) as raised:
        recipients(tmp_path)
    said = str(raised.value)
    assert [each.origin.line for each in raised.value.errors] == [3, 4, 5]
    assert f"{tmp_path / NAME}:5:1: this is an identity, which is a secret" in said
    assert "anna@" not in said
    assert people["x25519"].identity not in said


def test_without_recipients(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read") as raised:
        recipients(tmp_path)
    assert "mailprov secret init" in raised.value.fix
    (tmp_path / NAME).write_text("# nobody\n")
    with pytest.raises(FileError, match="nobody is there to encrypt for"):
        recipients(tmp_path)
    (tmp_path / NAME).write_bytes(b"\xff\xff")
    with pytest.raises(FileError, match="no text"):
        recipients(tmp_path)
    (tmp_path / NAME).write_text("".join(f"{person().recipient}\n" for _ in range(MOST + 1)))
    with pytest.raises(FileError, match="more than 100 recipients"):
        recipients(tmp_path)


def test_without_pyrage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    for act in (age.generated, lambda: age.recipient("age1"), lambda: age.identity(Secret("x"), "there")):
        with pytest.raises(FileError, match="age needs pyrage, which is not installed") as raised:
            act()
        assert raised.value.denied
        assert "`age`" in raised.value.fix
