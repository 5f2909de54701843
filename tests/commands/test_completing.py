"""Completion knows what the declaration names, for everything that takes such a name; and is never in the way."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from mailprov.commands.completing import MOST
from mailprov.commands.root import cli, every
from mailprov.credentials.entries import Entry
from mailprov.credentials.folder import Folder
from mailprov.declaration import names as declared
from mailprov.model import Secret

DECLARATION = """\
mailprov: 1
hosts:
  mail1: {address: 192.0.2.1, hostname: mail1.example.com}
  Mail2: {address: 192.0.2.2, hostname: mail2.example.com}
groups:
  europe: {hosts: [mail1]}
domains: [example.com, {name: 例子.公司}]
include: [teams/*.yaml]
users:
  - {address: Alice@example.com}
  - from_csv: staff.csv
tls: {self_signed: {}}
services: {imap: {tls: 993}}
"""
HOSTS, GROUPS = {"mail1", "Mail2"}, {"europe"}
DOMAINS = {"example.com", "xn--fsqu00a.xn--55qx5d"}
USERS = {"alice@example.com", "bob@example.com", "carol@example.com"}

OFFERED = {
    "--limit": HOSTS | GROUPS,
    "explain host": HOSTS,
    "trust host": HOSTS,
    "--domain": DOMAINS,
    "dns domains": DOMAINS,
    "--user": USERS,
    "handout purge addresses": {"waits@example.com"},
    "handout send addresses": USERS,
    "password reset addresses": USERS,
    "--lang": {"en", "zh", "en,zh"},
}
"""by option, or by command and argument"""
UNKNOWN = {
    *("--batch", "--shard", "--executor", "--resolver", "--web", "--client", "--helpdesk", "--encoding", "--ignore"),
    *("--password-env", "--delete"),
    "--to",  # transactions are on hosts, and no host is asked
    "purge addresses",  # closed accounts are declared no longer
}
"""what nobody here can know"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a declaration in parts, in which the command runs."""
    (tmp_path / "mail.yaml").write_text(DECLARATION, encoding="utf-8")
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams/sales.yaml").write_text("users: [{address: bob@example.com}]\n")
    (tmp_path / "staff.csv").write_text("address\ncarol@example.com\n")
    made = datetime(2026, 1, 1, tzinfo=UTC)
    waits = Entry("waits@example.com", "", "", Secret("not to be seen"), ("mail1",), (), made, date(2026, 2, 1))
    Folder(tmp_path / "handout").change(lambda _: [waits])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(*words: str, incomplete: str = "") -> list[str]:
    found = ShellComplete(cli, {}, "mailprov", "_MAILPROV_COMPLETE").get_completions(list(words), incomplete)
    return [item.value for item in found]


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    """Every option and argument that takes a text of somebody's own choice, with its command."""

    def below(path: str, command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
        for each in command.params:
            free = not isinstance(each.type, click.Choice | click.Path | click.IntRange)
            if free and not (isinstance(each, click.Option) and each.is_flag):
                yield path, each
        for name, command_ in command.commands.items() if isinstance(command, click.Group) else ():
            yield from below(f"{path} {name}", command_)

    for name, command in sorted(every().items()):
        yield from below(name, command)


@pytest.mark.parametrize(
    ("path", "parameter"), [pytest.param(*each, id=f"{each[0]} {each[1].opts[-1]}") for each in parameters()]
)
def test_whatever_takes_a_name_offers_those_that_there_are(path: str, parameter: click.Parameter, folder: Path) -> None:
    argument = isinstance(parameter, click.Argument)
    key = f"{path} {parameter.name}" if argument else parameter.opts[0]
    found = offered(*path.split(), *([] if argument else [parameter.opts[0]]))
    if key in ("providers name", "--provider"):
        assert {"tencent-exmail", "gmail"} <= set(found)
    elif key in ("secret edit target", "--at"):
        assert found == [""], "the shell's own files"
    elif key in UNKNOWN:
        assert found == []
    else:
        assert set(found) == OFFERED[key]


def test_the_declaration_that_is_named_is_the_one_that_is_meant(folder: Path) -> None:
    (folder / "mail.yaml").rename(folder / "other.yaml")
    assert offered("plan", "--limit") == []
    assert offered("plan", "-f", "other.yaml", "--limit", incomplete="e") == ["europe"]
    assert offered("users", "import", "other.yaml", "--domain") == [], "FILE is no declaration there"


def test_what_was_given_is_not_offered_again(folder: Path) -> None:
    assert offered("plan", "--limit", "mail1", "--limit") == ["Mail2", "europe"]
    assert offered("dns", "example.com") == ["xn--fsqu00a.xn--55qx5d"]


def test_case_does_not_matter(folder: Path) -> None:
    assert offered("plan", "--limit", incomplete="mail") == ["mail1", "Mail2"]
    assert offered("verify", "--user", incomplete="ALI") == ["alice@example.com"]


def test_keys_of_a_host_are_offered_after_its_name(folder: Path) -> None:
    assert offered("explain", incomplete="mail1.services.imap.t") == ["mail1.services.imap.tls"]
    assert "mail1.hostname" in offered("explain", incomplete="mail1.h")
    assert offered("explain", incomplete="nobody.") == []


def test_a_declaration_with_faults_has_names_all_the_same(folder: Path) -> None:
    text = DECLARATION.replace("tls: 993", "tls: nine") + "nonsense: {}\n"
    (folder / "mail.yaml").write_text(text, encoding="utf-8")
    assert set(offered("plan", "--limit")) == HOSTS | GROUPS
    assert set(offered("verify", "--user")) == USERS


HOSTILE = {
    "no file": None,
    "no YAML": "hosts: [\n",
    "another file": "[a, b]",
    "names that are none": 'mailprov: 1\nhosts: {"a;id": {}, "$(id)": {}, "\\e[2J": {}, "../x": {}}\n',
    "users that are none": 'mailprov: 1\nusers: [{address: "a b@c.d"}, {address: "x\\ny@c.de"}, 7, {}]\n',
    "an include that leads out": "mailprov: 1\ninclude: [../*.yaml, /etc/*]\n",
    "a table that is elsewhere": "mailprov: 1\nusers: [{from_csv: /etc/passwd}, {from_csv: ../out.csv}]\n",
    "a table that never ends": "mailprov: 1\nusers: [{from_csv: endless.csv}]\n",
    "a table of another kind": "mailprov: 1\nusers: [{from_csv: {file: [a]}}, {from_csv: 3}]\n",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_read_offers_nothing_and_says_nothing(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mail.yaml").unlink()
    (folder.parent / "out.csv").write_text("address\nout@example.com\n")
    (folder / "endless.csv").symlink_to("/dev/zero")
    if (text := HOSTILE[case]) is not None:
        (folder / "mail.yaml").write_text(text)
    for words in (("plan", "--limit"), ("verify", "--user"), ("dns",), ("explain",), ("handout", "send")):
        assert offered(*words) == []
    assert capsys.readouterr() == ("", "")


def test_long_lists_are_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"user{number:05}@example.com\n" for number in range(MOST + 500))
    (folder / "staff.csv").write_text(f"address\n{rows}")
    assert len(offered("verify", "--user")) == MOST
    assert offered("verify", "--user", incomplete="user01499") == ["user01499@example.com"]
    monkeypatch.setattr(declared, "MAX_TABLE", 1000)
    assert set(offered("verify", "--user")) == {"alice@example.com", "bob@example.com"}


# --- shells


def completed(folder: Path, **words: str) -> str:
    command = [sys.executable, "-m", "mailprov"]
    environment = {**os.environ, "_MAILPROV_COMPLETE": "bash_complete", **words}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_bash_is_told_the_piece_that_it_replaces(folder: Path) -> None:
    line = "mailprov verify --user "
    assert completed(folder, COMP_LINE=f"{line}alice@ex", COMP_LAST="ex") == "plain,example.com\n"
    assert completed(folder, COMP_LINE=f"{line[:-1]}=al", COMP_LAST="al") == "plain,alice@example.com\n"
    # of a script that an earlier version printed
    assert completed(folder, COMP_WORDS=f"{line}ali", COMP_CWORD="3") == "plain,alice@example.com\n"


def test_a_real_bash_completes(folder: Path) -> None:
    program = Path(sys.executable).parent
    path = f"{program}:{os.environ['PATH']}"
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(PATH=path, PS1="$ ", TERM="dumb", INPUTRC="/dev/null")
        os.execvp("bash", ("bash", "--norc", "--noprofile", "-i"))  # noqa: S606
    try:
        os.write(terminal, b'eval "$(mailprov completion bash)"; echo re""ady\n')
        shown(terminal, b"ready\r\n")
        for typed, whole in (
            (b"mailprov verify --user alice@ex", b"alice@example.com"),
            (b"mailprov verify --user=ali", b"--user=alice@example.com"),
            (b"mailprov plan --limit eu", b"--limit europe"),
            (b"mailprov -", b""),
        ):
            os.write(terminal, typed + b"\t")
            shown(terminal, whole)
            os.write(terminal, b"\x01#\n")  # to its beginning: it becomes a comment
            shown(terminal, b"\n$ ")
        os.write(terminal, b"exit\n")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def shown(terminal: int, wanted: bytes) -> None:
    """Read until `wanted` is on the terminal, for as long as a slow machine may take."""
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, seen
        seen += os.read(terminal, 4096)
