"""Files of this machine: what is none is one error at once, and nothing is read or written without a bound."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailprov import local_files
from mailprov.commands import run
from mailprov.connection import keyfile, known_hosts, sshconfig
from mailprov.credentials.folder import Folder
from mailprov.credentials.sent import Record
from mailprov.errors import ConnectError, Exit, FileError, MailprovError
from mailprov.local_files import contents, entered, put, replace

KINDS = ("folder", "pipe", "socket", "device", "loop", "large")
DECLARED = """\
mailprov: 1
include: [teams/*.yaml]
hosts: {mail1: {address: 127.0.0.1, hostname: mail.example.com, ssh: {known_hosts: known, identity_file: id}}}
domains: [example.com]
users: [{from_csv: staff.csv}, {address: carol@example.com, password: {initial: {file: secret}}}]
tls: {certificate: {file: mail.pem}, key: {file: mail.key}}
services: {pop3: {tls: 995}, submission: {tls: 465}}
handout: {from: it@example.com, relay: {host: 127.0.0.1, port: 1}}
"""


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 20


def strange(path: Path, kind: str) -> Path:
    """Something at `path` that no program should read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's name may have 107 bytes
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(before)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_one_error(tmp_path: Path, kind: str) -> None:
    path = strange(tmp_path / "x\n\x1b", kind)
    with pytest.raises(FileError) as caught:
        contents(path, 1000)
    assert (caught.value.exit, caught.value.absent) == (Exit.INVALID, False)
    assert caught.value.fix and "\\u001b" in str(caught.value)


def test_a_file_may_be_larger_than_it_says() -> None:
    assert contents(Path("/proc/self/status"), 1 << 20)
    with pytest.raises(FileError, match="is larger than"):
        contents(Path("/proc/self/status"), 100)


def test_a_slow_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("x")
    monkeypatch.setattr(local_files, "SLOWEST", -1.0)
    with pytest.raises(FileError, match="too slowly"):
        contents(tmp_path / "x", 1000)


def test_links_are_followed_where_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    (tmp_path / "link").symlink_to("x")
    assert contents(tmp_path / "link", 10) == b"x"
    with pytest.raises(FileError, match="a link"):
        contents(tmp_path / "link", 10, follow=False)
    with pytest.raises(FileError) as caught:
        contents(tmp_path / "none", 10)
    assert caught.value.absent


@pytest.mark.parametrize("kind", [*KINDS[:-1], "dangling"])
def test_nothing_but_a_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    path.symlink_to("none") if kind == "dangling" else strange(path, kind)
    before = path.lstat()
    with pytest.raises(MailprovError, match="would be replaced"):
        replace(path, b"new")
    assert path.lstat() == before and [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    (tmp_path / "x.new").write_text("mine")
    replace(tmp_path / "x", b"new", 0o640)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x": "new", "x.new": "mine"}
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    with pytest.raises(MailprovError, match="cannot be written"):
        replace(tmp_path / "none/x", b"new")


@pytest.mark.parametrize("name", ["link", "file", "..", ".", "", "/etc", "a\0"])
def test_no_way_leads_out_of_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "in/folder").mkdir(parents=True)
    (tmp_path / "in/link").symlink_to(tmp_path)
    (tmp_path / "in/file").write_text("")
    for make in (False, True):
        with pytest.raises(NotADirectoryError), entered(tmp_path / "in", name, make=make) as folder:
            put(folder, "x", b"x", 0o600)
    assert not (tmp_path / "x").exists()


# --- every file that mailprov reads


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a declaration whose files are all in order, but for the certificate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "mail.yaml").write_text(DECLARED)
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams/a.yaml").write_text("users: [{address: dan@example.com}]")
    (tmp_path / "staff.csv").write_text("address\nalice@example.com\n")
    for name in ("secret", "mail.pem", "mail.key"):
        (tmp_path / name).write_text("x")
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["mail.yaml", "teams/b.yaml", "staff.csv", "secret", "mail.pem", "mail.key", "known", "id"]
)
def test_a_declared_file_that_is_none(site: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str) -> None:
    if name == "teams/b.yaml" and kind in ("folder", "device"):
        return  # a folder matches no pattern for files; a link that leads out is refused for that
    strange(site / name, kind)
    assert run(["validate"]) == Exit.INVALID
    said = capsys.readouterr().err
    assert f"{name} " in said and "has a mistake" not in said, said
    assert "not a regular file" in said or "is larger than" in said or "Too many levels" in said, said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("users", "import", "X"), Exit.INVALID),
        (("apply", "X", "--yes"), Exit.INVALID),
        (("verify", "--ca", "X"), Exit.INVALID),
        (("profiles", "-o", "out", "--ca", "X"), Exit.INVALID),
        (("profiles", "-o", "out", "--sign-cert", "X", "--sign-key", "X"), Exit.INVALID),
        (("handout", "send", "--welcome", "--ca", "X"), Exit.INVALID),
        (("doctor", "--ca", "X"), Exit.INVALID),
        (("plan", "--out", "X"), Exit.ERROR),
        (("verify", "--all-users", "--junit", "X"), Exit.ERROR),
        (("verify", "--json", "X"), Exit.ERROR),
        (("validate", "--sarif", "X"), Exit.ERROR),
        (("apply", "--yes", "--markdown", "X"), Exit.ERROR),
        (("init", "-o", "X"), Exit.ERROR),
        (("render", "-o", "X"), Exit.ERROR),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_option_that_names_no_file(
    site: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: Exit, kind: str
) -> None:
    for name in ("mail.pem", "mail.key"):
        (site / name).unlink()
    text = DECLARED.replace("certificate: {file: mail.pem}, key: {file: mail.key}", "self_signed: {}")
    (site / "mail.yaml").write_text(text)
    strange(site / "X", kind)
    if kind == "large" and status == Exit.ERROR:
        return  # it is not read, and may be replaced
    missing = kind == "loop" and bool({"--ca", "--sign-cert"} & {*arguments})
    assert run(list(arguments)) == (Exit.ERROR if missing else status)
    said = capsys.readouterr().err
    assert "X" in said and "has a mistake" not in said, said


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
@pytest.mark.parametrize("verb", [("handout", "list"), ("handout", "purge"), ("verify", "--all-users"), ("plan",)])
def test_a_handout_folder_that_is_none(
    site: Path, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...], kind: str
) -> None:
    strange(site / "X", kind)
    assert run([*verb, "--handout", "X"]) == Exit.ERROR
    said = capsys.readouterr().err
    assert "./X: this is no folder" in said or "'X' is a file" in said, said
    strange(site / "handout", kind)
    if verb[0] == "handout":
        assert run([*verb]) == Exit.ERROR
        assert "handout: this is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_what_ssh_reads(site: Path, kind: str) -> None:
    home = site / "home"
    reads: tuple[tuple[Path, Callable[[], object]], ...] = (
        (home / ".ssh/config", lambda: sshconfig.load_config(environ={"HOME": str(home)})),
        (site / "id", lambda: keyfile.read(site / "id")),
        (site / "known", lambda: known_hosts.load([site / "known"])),
        (site / "known", lambda: known_hosts.record(site / "known", "a", 22, [])),
    )
    for path, read in reads:
        if not os.path.lexists(path):
            strange(path, kind)
        with pytest.raises(ConnectError, match="cannot"):
            read()


def test_a_configuration_that_includes_itself(site: Path) -> None:
    config = site / "home/.ssh/config"
    config.parent.mkdir(parents=True)
    config.write_text("Include config\n" * 10)
    with pytest.raises(ConnectError, match="more than 1,000 files"):
        sshconfig.load_config(environ={"HOME": str(site / "home")})


def test_folders_among_the_included_are_passed_over(site: Path) -> None:
    ssh = site / "home/.ssh"
    (ssh / "conf.d/old").mkdir(parents=True)
    (ssh / "config").write_text("Include conf.d/*\n")
    (ssh / "conf.d/a").write_text("Host mail1\n  Port 2222\n")
    found = sshconfig.load_config(environ={"HOME": str(site / "home")})
    assert found.lookup("mail1")["port"] == ("2222",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["passwords.csv", "sent.csv"])
def test_what_the_handout_folder_holds(tmp_path: Path, name: str, kind: str) -> None:
    folder = Folder(tmp_path / "handout")
    folder.change(lambda before: ())
    strange(folder.path / name, kind)
    if name == "passwords.csv":
        with pytest.raises(MailprovError, match="cannot be read"):
            folder.entries()
        return
    with pytest.raises(MailprovError, match="cannot be read"):
        folder.sent()
    if kind != "large":
        with pytest.raises(MailprovError, match="cannot be written"):
            folder.record(Record("welcome", "a@example.com", "a@example.com", "", "now"))


def test_a_plan_replaces_nothing_but_a_plan(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (site / "mail.yaml").read_text()
    assert run(["plan", "--out", "mail.yaml"]) == Exit.ERROR
    assert "no kept plan" in capsys.readouterr().err
    assert (site / "mail.yaml").read_text() == before
