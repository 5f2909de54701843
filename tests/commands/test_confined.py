"""--confined: what strangers have changed reads nothing outside its folder and no secret, and asks no host."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import Ran, Run

from mailprov.commands import run as call
from mailprov.commands.options import OFFLINE
from mailprov.commands.root import every
from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.files import contents
from mailprov.workflows.selection import refuse_confined

HEAD = "mailprov: 1\nservices: {imap: true}\ndomains: [example.com]\n"
HOSTS = "hosts: {mail.example.com: {tls: {self_signed: {}}}}\n"
USERS = "users: [{address: postmaster@example.com}]\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`validate --confined` of a text in repo/mail.yaml, beside outside/ with what nobody should read."""
    repo, outside = tmp_path / "repo", tmp_path / "outside"
    repo.mkdir()
    outside.mkdir()
    (outside / "staff.csv").write_text("address\nleaked@example.com\n")
    (outside / "part.yaml").write_text("users: [{address: leaked@example.com}]\n")
    (outside / "mail.yaml").write_text("leaked: 1\n")
    monkeypatch.chdir(repo)

    def run(text: str, *words: str) -> Ran:
        if text:
            (repo / "mail.yaml").write_text(text, encoding="utf-8")
        status = call([*(words or ("validate", "--confined"))])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


@pytest.mark.parametrize(
    "path",
    [
        "../outside/staff.csv",
        "OUTSIDE/staff.csv",
        "~/staff.csv",
        "link.csv",
        "folder/staff.csv",
        "up/../outside/staff.csv",
    ],
)
def test_no_path_leaves_the_folder(path: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "outside"))
    Path("link.csv").symlink_to("../outside/staff.csv")
    Path("folder").symlink_to(tmp_path / "outside")
    Path("up").symlink_to("..")
    path = path.replace("OUTSIDE", str(tmp_path / "outside"))
    host = "hosts: {mail.example.com: {%s}}\n"
    user = "users: [{address: postmaster@example.com%s}]\n"
    lists = HOSTS + user.replace("%s", f"}}, {{from_csv: '{path}'")
    key = host.replace("%s", f"tls: {{self_signed: {{}}}}, ssh: {{identity_file: '{path}', known_hosts: '{path}'}}")
    secret = HOSTS + user.replace("%s", f", password: {{initial: {{file: '{path}'}}}}")
    tls = host.replace("%s", f"tls: {{certificate: {{file: '{path}'}}, key: {{file: '{path}'}}}}")
    for text, count in ((lists, 1), (key + USERS, 2), (secret, 1), (tls + USERS, 2)):
        found = run(HEAD + text)
        assert found.exit_code == 3, found.output
        assert found.output.count("leads out of the folder of the main file") == count, found.output
        assert "leaked" not in found.output


def test_what_lies_in_the_folder_is_read(run: Run, tmp_path: Path) -> None:
    Path("teams").mkdir()
    Path("teams/a.yaml").write_text("users: [{address: a@example.com}]\n")
    Path("staff.csv").write_text("address\nb@example.com\n")
    Path("link.csv").symlink_to("teams/../staff.csv")
    text = HEAD + HOSTS + "users: [{address: postmaster@example.com}, {from_csv: teams/../link.csv}]\n"
    found = run(text + "include: [teams/*.yaml, '**/a.*']\n")
    assert found.exit_code == 0, found.output
    assert "3 users" in found.output


@pytest.mark.parametrize("pattern", ["teams/*.yaml", "**/*.yaml", "out/*.yaml", "out/part.yaml"])
def test_no_included_file_lies_elsewhere(pattern: str, run: Run) -> None:
    Path("teams").mkdir()
    Path("teams/link.yaml").symlink_to("../../outside/part.yaml")
    Path("out").symlink_to("../outside")
    found = run(HEAD + HOSTS + USERS + f"include: ['{pattern}']\n")
    assert found.exit_code == 3
    assert "leaked" not in found.output


def test_the_main_file_is_no_link_out(run: Run, tmp_path: Path) -> None:
    Path("mail.yaml").symlink_to("../outside/mail.yaml")
    found = run("")
    assert found.exit_code == 3
    assert "mail.yaml:1:1: mail.yaml leads out" in found.output
    Path("sub").symlink_to("../outside")
    found = run("", "validate", "--confined", "-f", "sub/mail.yaml")
    assert found.exit_code == 3
    assert "is reached through a link" in found.output


def test_no_secret_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOLEN", "hunter2 ".strip() + "\n!")  # read, it would be called wrong
    Path("key").write_text("no key at all")
    os.mkfifo("fifo")
    hosts = """\
hosts:
  mail.example.com: {become: true, become_password: {env: STOLEN}, tls: {certificate: {env: STOLEN}, key: {file: key}}}
handout: {from: it@example.com, relay: {host: smtp.example.org, user: it, password: {env: STOLEN}}}
"""
    users = "users: [{address: postmaster@example.com, password: {hash: {env: STOLEN}}},\n"
    users += "        {address: b@example.com, password: {initial: {file: fifo}}}]\n"
    for words in (("validate",), ("render", "-o", "out"), ("dns",), ("explain", "mail.example.com")):
        found = run(HEAD + hosts + users, *words, "--confined")
        assert found.exit_code == 0, found.output
        assert "hunter2" not in found.output


def confinable() -> list[tuple[str, ...]]:
    found = []
    for name, command in every().items():
        for path, each in [
            ((name,), command),
            *(((name, sub), one) for sub, one in getattr(command, "commands", {}).items()),
        ]:
            if any("--confined" in option.opts for option in each.params) and name not in OFFLINE:
                found.append(path)
    return found


@pytest.mark.parametrize("words", confinable(), ids=" ".join)
def test_who_asks_a_host_refuses(words: tuple[str, ...], run: Run) -> None:
    more = {"trust": ("mail.example.com",)}.get(words[0], ())
    found = run(HEAD + HOSTS + USERS, *words, *more, "--confined")
    assert found.exit_code == 1, found.output
    assert "which --confined refuses" in found.output
    refuse_confined("what comes after it in this process")


@pytest.mark.parametrize("words", [("dns", "--check"), ("profiles", "-o", "out", "--verified")], ids=" ".join)
def test_nor_does_an_option_that_asks(words: tuple[str, ...], run: Run) -> None:
    found = run(HEAD + HOSTS + USERS, *words, "--confined")
    assert found.exit_code == 1, found.output
    assert "which --confined refuses" in found.output


def test_a_folder_that_is_exchanged_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "repo/teams"
    inside.mkdir(parents=True)
    (inside / "a").write_text("ours")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("theirs")
    root = Root(tmp_path / "repo")
    inside.rename(tmp_path / "repo/was")
    inside.symlink_to("../out")
    with pytest.raises(InvalidValue, match="leads out"):
        contents(inside / "a", 10, root)
    (tmp_path / "repo").rename(tmp_path / "moved")
    (tmp_path / "repo").symlink_to("out")
    assert contents(tmp_path / "repo/was/a", 10, root) == b"ours"  # the folder that was held, wherever it is now
    root.close()


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with closing(Root(tmp_path)) as root, pytest.raises(InvalidValue, match="symbolic links"):
        contents(tmp_path / "a", 10, root)


@pytest.mark.parametrize(("verb", "code"), [("validate", 0), ("plan", 1)])
def test_a_process_is_confined(verb: str, code: int, run: Run) -> None:
    run(HEAD + HOSTS + USERS)
    words = (sys.executable, "-m", "mailprov", verb, "--confined")
    assert subprocess.run(words, check=False, capture_output=True).returncode == code
