"""Secrets that keep nobody out earn a warning, and `validate --strict` makes it an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from spec_tools import HASH, SMALL, Load

from mailprov.commands import run
from mailprov.declaration.staff import preview
from mailprov.declaration.weakness import weakness
from mailprov.errors import SpecError

WEAK = (
    "1",
    "123456",
    "12345678",
    "password",
    "Passw0rd!",
    "passwort123",
    "aaaaaaaa",
    "abababab",
    "qwertyui",
    "87654321",
)
WEAK += ("20240131", "alice2024", "Example!!1", "changeme", "A1b2c3", "Welcome2024")
WEAK += ("alice@example.com", "Alice@Example.com2024!", "example.com")
FINE = ("k7mr-9wpx-f4hc-3aye", "correct horse", "Geheim-nora-81", "482915703648", "väg över å", "王伟喜欢吃苹果很多")


@pytest.mark.parametrize("password", WEAK)
def test_what_is_guessed_first(password: str, load_text: Load, tmp_path: Path) -> None:
    assert weakness(password, "alice@example.com")
    (said,) = load_text(SMALL, {"PW": password}).warnings
    assert "mail.yaml:5:44: this initial password " in said
    (tmp_path / "staff.csv").write_text(f"email,password\nalice@example.com,{password}\n", encoding="utf-8")
    (tmp_path / "staff.csv").chmod(0o600)
    (told,) = preview(tmp_path / "staff.csv", "", "").warnings
    assert "1 initial password is weak" in told
    if len(password) > 1 and password != "password":
        assert password not in said + told


@pytest.mark.parametrize("password", FINE)
def test_what_is_not(password: str, load_text: Load) -> None:
    assert not weakness(password, "alice@example.com")
    assert load_text(SMALL, {"PW": password}).warnings == ()


def test_a_default_and_a_hash_in_hexadecimal(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "staff.csv").write_text("email\nb@example.com\n")
    users = "users:\n  - from_csv: {file: staff.csv, defaults: {password: {initial: {env: PW}}}}\n"
    text = SMALL.replace("users:\n", users).replace("{initial: {env: PW}}}\n", "{initial: {env: PX}}}\n")
    found = load_text(text, {"PW": "123456", "PX": "5f4dcc3b5aa765d61d8327deb882cf99"}).warnings
    assert ["fewer than 8 characters" in each for each in found] == [True, False]
    assert "looks like a hash in hexadecimal" in found[1]


@pytest.mark.parametrize(
    ("bare", "told"),
    [
        ("$2y$10$abcdefghijklmnopqrstuuJ1qS9T0m7wC1e5l3mJ0y3uQGm7eX8aK", "did you mean {BLF-CRYPT}$2y$…?"),
        ("{CRYPT}$6$saltsaltsaltsalt$" + "a" * 86, "did you mean {SHA512-CRYPT}$6$…?"),
        ("!!", "an account that is locked"),
    ],
)
@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_bare_hash_is_nobodys_password(bare: str, told: str, kind: str, load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(f"{bare}\n")
    text = SMALL.replace("{env: PW}", "{env: PW}" if kind == "env" else "{file: pw}")
    with pytest.raises(SpecError) as raised:
        load_text(text, {"PW": bare})
    (error,) = raised.value.errors
    assert told in f"{error.what} {error.fix}"


@pytest.mark.parametrize(
    ("mode", "open_"), [(0o600, False), (0o400, False), (0o640, False), (0o644, True), (0o660, True)]
)
def test_files_that_others_can_read(mode: int, open_: bool, with_certificates: Path, load_text: Load) -> None:
    (with_certificates / "pw").write_text("correct horse\n")
    (with_certificates / "certs/mail.key").chmod(mode)
    (with_certificates / "pw").chmod(mode)
    text = SMALL.replace("{self_signed: {}}", "{certificate: {file: certs/mail.pem}, key: {file: certs/mail.key}}")
    text = text.replace("{env: PW}", "{file: pw}").replace("2.10}", "2.10, become: true, become_password: {file: pw}}")
    found = [each.partition(".yaml:")[2].partition(": ")[0] for each in load_text(text).warnings]
    assert found == (["2:80", "5:44", "6:49"] if open_ else [])


@pytest.mark.parametrize(
    ("mode", "password", "open_"),
    [(0o600, "correct horse", False), (0o644, "correct horse", True), (0o644, "", False), (0o644, HASH, False)],
)
def test_staff_lists_that_others_can_read(
    mode: int, password: str, open_: bool, load_text: Load, tmp_path: Path
) -> None:
    (tmp_path / "staff.csv").write_text(f'address,password\nb@example.com,"{password}"\n')
    (tmp_path / "staff.csv").chmod(mode)
    found = load_text(SMALL.replace("users:\n", "users:\n  - from_csv: staff.csv\n")).warnings
    assert [
        f"staff.csv holds passwords, and is open to others on this machine (mode {mode:04o})" in w for w in found
    ] == ([True] if open_ else [])
    assert len(preview(tmp_path / "staff.csv", "", "").warnings) == open_


def test_strict(
    load_text: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PW", "123456")
    assert (run(["validate"]), run(["validate", "--strict"])) == (0, 3)
    assert "1 warning, and --strict takes warnings for errors" in capsys.readouterr().err
    monkeypatch.setenv("PW", "correct horse")
    assert run(["validate", "--strict"]) == 0
