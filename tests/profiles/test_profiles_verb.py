"""mailprov profiles: which files come to be, in which folder, and what is said of it."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_profiles_formats import pair

from mailprov.commands import run

INITIAL = "canary-5ecret"
Run = Callable[..., tuple[int, str]]
DECLARED = """\
mailprov: 1
hosts: {mail1: {address: 127.0.0.1, hostname: mail.example.com}}
domains: [example.com, 例子.公司]
users:
  - from_csv: staff.csv
tls: {on_host: {certificate: /etc/x.pem, key: /etc/x.key}}
services: {pop3: {tls: 995}, imap: {tls: 993}, submission: {tls: 465}}
"""
HEAD = "邮箱地址,姓名,初始密码,protocols,enabled\n"
ALICE = f"alice@example.com,Alice Example,{INITIAL},,\n"
LI = f"li.lei@例子.公司,李雷,{INITIAL},,\n"
BOB = f"bob@example.com,Bob,{INITIAL},imap,\n"
NOBODY = f"info@example.com,,{INITIAL},,no\n"
LI_FOLDER = "li.lei@xn--fsqu00a.xn--55qx5d"


@pytest.fixture
def mailprov(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in a folder with a declaration: its exit code, and all that it said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mail.yaml").write_text(DECLARED, encoding="utf-8")
    (tmp_path / "staff.csv").write_text(HEAD + ALICE + LI + BOB + NOBODY, encoding="gb18030")

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        status = run(["profiles", "--lang", "en", "-o", "out", *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def people(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "people").iterdir())


def test_a_folder_for_each_person_and_what_domains_publish(mailprov: Run, tmp_path: Path) -> None:
    status, said = mailprov("--lang", "en,zh", "--helpdesk", "ext. 4400")
    assert (status, "wrote profiles into out: 3 people, 2 domains" in said) == (0, True)
    assert "! info@example.com: nobody may log in to it" in said
    assert "mail1: .mobileconfig files are not signed" in said
    out = tmp_path / "out"
    assert out.stat().st_mode & 0o777 == 0o700
    assert people(out) == ["alice@example.com", "bob@example.com", LI_FOLDER]
    made = files(out)
    guides = {f"guide.{tag}.{kind}" for tag in ("en", "zh") for kind in ("html", "pdf")}
    common = {"autoconfig.xml", "autodiscover.xml", "fetchmailrc", "mbsyncrc", "mpoprc", "thunderbird-android.png"}
    mine = {name.removeprefix(f"people/{LI_FOLDER}/") for name in made if LI_FOLDER in name and "people" in name}
    assert mine == guides | common | {f"{LI_FOLDER}.mobileconfig"}
    # Bob may not send, so no Apple profile and no code can be made.
    bobs = {name.removeprefix("people/bob@example.com/") for name in made if "people/bob" in name}
    assert bobs == guides | {"autoconfig.xml", "autodiscover.xml", "fetchmailrc", "mbsyncrc"}
    assert made["publish/autoconfig.example.com/mail/config-v1.1.xml"]
    assert b"ext. 4400" in made["people/alice@example.com/guide.zh.html"]
    assert not [name for name, content in made.items() if INITIAL.encode() in content]
    assert INITIAL not in said
    assert set(json.loads(made.pop(".mailprov-files"))["files"]) == made.keys()


def test_a_later_run_takes_away_what_is_of_nobody_now(mailprov: Run, tmp_path: Path) -> None:
    assert mailprov()[0] == 0
    out = tmp_path / "out"
    (out / "people/bob@example.com/note.txt").write_text("mine")
    (out / "people/alice@example.com/mpoprc").unlink()
    (tmp_path / "staff.csv").write_text(HEAD + ALICE, encoding="utf-8")
    status, said = mailprov()
    assert status == 0 and "1 person, 2 domains; 15 old files deleted" in said, said
    # What somebody else put there stays.
    assert people(out) == ["alice@example.com", "bob@example.com"]
    assert [path.name for path in (out / "people/bob@example.com").iterdir()] == ["note.txt"]
    assert (out / "people/alice@example.com/mpoprc").exists()


def test_one_person_and_nobody_else_is_touched(mailprov: Run, tmp_path: Path) -> None:
    assert mailprov()[0] == 0
    out = tmp_path / "out"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    status, said = mailprov("--user", "alice@example.com", "--prefer", "imap")
    assert status == 0 and "1 person" in said
    changed = {
        path.relative_to(out).parts[1]
        for path, then in before.items()
        if path.stat().st_mtime_ns != then and path.name != ".mailprov-files"
    }
    assert changed == {"alice@example.com"}
    assert b"993" in (out / "people/alice@example.com/fetchmailrc").read_bytes()
    assert mailprov()[1].count("deleted") == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--user", "alice@example.org"), 1, "did you mean `alice@example.com`?"),
        (("--user", "info@example.com"), 1, "nobody may log in to it"),
        (("--lang", "en,fr"), 1, "there is no guide in `fr`"),
        (("--limit", "mail9"), 1, "no host is called `mail9`"),
        (("--sign-cert", "mail.yaml"), 1, "give --sign-cert and --sign-key together"),
        (("--sign-cert", "mail.yaml", "--sign-key", "mail.yaml"), 1, "no PEM file"),
        (("-f", "no.yaml"), 3, "no.yaml"),
        (("--helpdesk", "a\u202eb"), 1, "the invisible character U+202E is not allowed in a name"),
        (("--helpdesk", "a\nb"), 1, "the invisible character U+000A is not allowed in a name"),
        (("--helpdesk", "a" * 201), 1, "this name has more than 200 characters"),
        (("--verified",), 9, "no listener could be verified from here"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    mailprov: Run, tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    ended, words = mailprov(*arguments)
    assert (ended, said in words) == (status, True), words
    assert "has a mistake" not in words
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("inside", "content"),
    [("letter.txt", "mine"), (".mailprov-files", "mine"), (".mailprov-files", '{"verb": "handout", "files": []}')],
)
def test_a_folder_of_somebody_else_is_left_alone(mailprov: Run, tmp_path: Path, inside: str, content: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / inside).write_text(content)
    status, said = mailprov()
    assert status == 1 and "name a new folder" in said
    assert files(tmp_path / "out") == {inside: content.encode()}


def test_a_forged_marker_deletes_nothing_elsewhere(mailprov: Run, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    marker = {"verb": "profiles", "files": ["../victim", str(victim), "people/../../victim", "", ".", "people"]}
    (tmp_path / "out/.mailprov-files").write_text(json.dumps(marker))
    assert mailprov()[0] == 0
    assert victim.read_text() == "mine"


def test_profiles_are_signed_with_what_is_given(mailprov: Run, tmp_path: Path) -> None:
    chain, key = pair(tmp_path, "ec")
    key.chmod(0o644)
    status, said = mailprov("--sign-cert", str(chain), "--sign-key", str(key))
    assert status == 0 and "not signed" not in said and f"! {key} is a secret, and open to others" in said
    key.chmod(0o600)
    assert "open to others" not in mailprov("--sign-cert", str(chain), "--sign-key", str(key))[1]
    signed = tmp_path / f"out/people/{LI_FOLDER}/{LI_FOLDER}.mobileconfig"
    verify = ("openssl", "cms", "-verify", "-inform", "DER", "-in", str(signed), "-purpose", "any", "-binary")
    done = subprocess.run((*verify, "-CAfile", str(chain)), capture_output=True, check=True)
    assert plistlib.loads(done.stdout)["PayloadContent"][0]["EmailAddress"] == LI_FOLDER
    assert b"not signed" not in (signed.parent / "guide.en.html").read_bytes()


def test_profiles_are_signed_with_the_declared_certificate(mailprov: Run, tmp_path: Path) -> None:
    chain, key = pair(tmp_path, "rsa")
    key.chmod(0o600)
    declared = f"tls: {{certificate: {{file: {chain.name}}}, key: {{file: {key.name}}}}}"
    text = DECLARED.replace("tls: {on_host: {certificate: /etc/x.pem, key: /etc/x.key}}", declared)
    (tmp_path / "mail.yaml").write_text(text, encoding="utf-8")
    status, said = mailprov()
    assert status == 0 and "not signed" not in said, said
    signed = (tmp_path / f"out/people/{LI_FOLDER}/{LI_FOLDER}.mobileconfig").read_bytes()
    assert signed[0] == 0x30 and b"<plist" in signed
    made = files(tmp_path / "out")
    secret = "".join(key.read_text().splitlines()[1:3])
    assert not [name for name, content in made.items() if secret.encode() in content.replace(b"\n", b"")]


@pytest.mark.parametrize("package", ["typst", "segno", "manimgx_fonts_cjk"])
def test_what_is_not_installed_is_named(
    mailprov: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    if package == "manimgx_fonts_cjk":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    else:
        monkeypatch.setitem(sys.modules, package, None)
    status, said = mailprov()
    assert (status, "(the extra `profiles`)" in said) == (1, True), said


def test_what_is_cut_off_can_be_done_again(mailprov: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mailprov.profiles import typeset

    whole = typeset.Typesetter.__call__

    def full(self: typeset.Typesetter, values: dict[str, object]) -> bytes:
        if values["address"] == "bob@example.com":
            raise OSError(28, os.strerror(28), "out")
        return whole(self, values)  # type: ignore[arg-type]

    monkeypatch.setattr(typeset.Typesetter, "__call__", full)
    status, said = mailprov()
    assert (status, "No space left" in said) == (1, True)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert mailprov()[0] == 0
    assert not list((tmp_path / "out").rglob(".new-*"))


def forged(folder: Path, listed: object) -> None:
    (folder / ".mailprov-files").write_text(json.dumps({"verb": "profiles", "files": listed}))


def test_a_link_in_the_folder_leads_nobody_out(mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "victim/inner").mkdir(parents=True)
    for name in ("passwd", "inner/deep"):
        (tmp_path / "victim" / name).write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").symlink_to("../victim")
    forged(tmp_path / "out", ["x/passwd", "x/inner/deep", "x/inner/none", "./x/passwd", "/etc/none/none", "y\0/z"])
    status, said = mailprov()
    assert (status, "deleted" in said) == (0, False), said
    assert files(tmp_path / "victim") == {"passwd": b"mine", "inner/deep": b"mine"}
    assert (tmp_path / "out/x").is_symlink()


@pytest.mark.parametrize("name", ["people", "people/alice@example.com", "publish"])
def test_nothing_is_written_through_a_link(mailprov: Run, tmp_path: Path, name: str) -> None:
    assert mailprov()[0] == 0
    (tmp_path / "out" / name).rename(tmp_path / "victim")
    before = files(tmp_path / "victim")
    for path in sorted((tmp_path / "victim").rglob("*.xml")):
        path.write_text("mine")
        before[path.relative_to(tmp_path / "victim").as_posix()] = b"mine"
    (tmp_path / "out" / name).symlink_to(tmp_path / "victim")
    status, said = mailprov()
    assert status == 1 and "a link or a file is in the place of a folder" in said, said
    assert files(tmp_path / "victim") == before


def test_a_link_in_the_place_of_a_file_is_replaced(mailprov: Run, tmp_path: Path) -> None:
    assert mailprov()[0] == 0
    (tmp_path / "victim").write_text("mine")
    file = tmp_path / "out/people/alice@example.com/mpoprc"
    file.unlink()
    file.symlink_to(tmp_path / "victim")
    assert mailprov()[0] == 0
    assert (tmp_path / "victim").read_text() == "mine" and not file.is_symlink()


@pytest.mark.parametrize("kind", ["link", "loop", "file", "marker-pipe", "marker-link", "marker-numbers", "deep"])
def test_a_folder_of_another_kind_is_one_error(mailprov: Run, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "link":
        (tmp_path / "victim").mkdir()
        out.symlink_to("victim")
    elif kind == "loop":
        out.symlink_to("out")
    elif kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        if kind == "marker-pipe":
            os.mkfifo(out / ".mailprov-files")
        elif kind == "marker-link":
            forged(tmp_path, [])
            (out / ".mailprov-files").symlink_to(tmp_path / ".mailprov-files")
        else:
            forged(out, [1, 2])
        if kind == "deep":
            (out / ".mailprov-files").write_text("[" * 100_000)
    status, said = mailprov()
    assert status == 1 and "has a mistake" not in said and "to do: name" in said, said
    assert not (tmp_path / "victim/people").exists()
