"""The command line: exit codes, messages, and no secret in any of them."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import click
import jsonschema
import pytest
from simulated_host import BASE, HASH, SimulatedHost, declare

from mailprov import assets, errors
from mailprov.commands import cli, run, validate
from mailprov.commands.init import STARTER
from mailprov.commands.root import COMMANDS, every
from mailprov.connection import connect, ssh
from mailprov.connection.known_hosts import HostKey
from mailprov.connection.sshconfig import Target
from mailprov.engine import plan_file
from mailprov.errors import Diagnostic, Exit, MailprovError, Origin, SpecError

CANARY = "canary-5ecret"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mailprov(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALICE_INITIAL", raising=False)
    monkeypatch.setenv("BOB_INITIAL", "correct horse")

    def call(*arguments: str, stdin: str | bytes = "") -> tuple[int, str, str]:
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
        capsys.readouterr()
        status = run(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedHost:
    """mail.yaml with BASE in it, and a host behind every session."""
    (tmp_path / "mail.yaml").write_text(BASE.replace("$HASH", HASH), encoding="utf-8")
    host = SimulatedHost()
    monkeypatch.setattr(connect, "open_host", lambda declared, **more: host.host())
    return host


# --- staff lists


def test_a_staff_list_is_shown_before_it_is_declared(mailprov: Run, tmp_path: Path) -> None:
    body = "邮箱;姓名;初始密码;容量;性别\n" + "".join(f"user{n};用户{n};{CANARY};2GiB;女\n" for n in range(7))
    (tmp_path / "staff.csv").write_text(body, encoding="gb18030")
    status, out, err = mailprov("users", "import", "staff.csv", "--domain", "example.com")
    assert status == 0
    assert out.splitlines()[:3] == ["GB18030, separated by semicolons", "  address   邮箱", "  name      姓名"]
    assert "  -         性别  (not used)" in out
    assert "7 users; the first 5:\n  user0@example.com  用户0  2,147,483,648 bytes  initial password\n" in out
    assert "user5" not in out
    assert "staff.csv:1:15: 1 column is not used: `性别`" in err
    assert "users: [{from_csv: {file: staff.csv, domain: example.com}}]" in err
    assert CANARY not in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["staff.csv"]


def test_every_fault_of_a_staff_list_is_told(mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "staff.csv").write_text(f"address,password,quota\n{CANARY},,\na@example.com,,2\na@example.com,,\n")
    status, out, err = mailprov("users", "import", "staff.csv", "--encoding", "utf8")
    assert (status, "1 user\n" in out) == (3, True)
    assert "staff.csv:2:1: this is not a mail address" in err
    assert 'staff.csv:3:16: "2" has no unit' in err
    assert "staff.csv:4:1: `a@example.com` is declared already (user, staff.csv:3:1)" in err
    assert CANARY not in out + err
    status, out, err = mailprov("users", "import", "staff.csv", "--encoding", "klingon")
    assert (status, out) == (3, "")
    assert "choose from utf-8, utf-16, gb18030" in err
    assert mailprov("users", "import", "absent.csv")[0] == 3


# --- exit codes


def all_errors() -> Iterator[type[MailprovError]]:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, MailprovError) and not name.startswith("_"):
            yield value


CODES = {
    "MailprovError": 1,
    "SpecError": 3,
    "ExpectationsError": 3,
    "FileError": Exit.INVALID,
    "KeptPlanError": Exit.INVALID,
    "ConnectError": 1,
    "HostError": 1,
    "UndecidedError": 1,
    "InterruptionError": 1,
    "StalePlanError": 4,
    "MovedError": 9,
    "ConsentError": 5,
    "RevertedError": 6,
    "LockedError": 8,
    "VerifyError": 9,
}


def test_the_table_is_whole() -> None:
    assert {kind.__name__ for kind in all_errors()} == set(CODES)
    assert {kind.__name__: int(kind.exit) for kind in all_errors()} == CODES
    help_text = cli.epilog or ""
    for code in Exit:
        assert re.search(rf"^ +(?:\S.* )?{code.value}  ", help_text, re.M), f"--help explains {code.name}"


@pytest.mark.parametrize("name", CODES)
def test_every_error_has_its_exit_code(name: str, mailprov: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = getattr(errors, name)
    error = (
        kind([Diagnostic(Origin("mail.yaml", 3, 5), "wrong", "write right")])
        if issubclass(kind, SpecError)
        else kind("it failed", where="mail1", why="because", fix="do that")
    )
    monkeypatch.setattr(validate, "load", _raise(error))
    status, out, err = mailprov("validate")
    assert (status, out) == (CODES[name], "")
    assert err.startswith("Error: ")
    assert (
        "mail.yaml:3:5: wrong" if issubclass(kind, SpecError) else "mail1: it failed\n  why: because\n  to do: do that"
    ) in err


def _raise(error: BaseException) -> Callable[..., Exit]:
    def fail(*arguments: object, **more: object) -> Exit:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (click.Abort(), "interrupted"),
        (FileNotFoundError(2, "No such file or directory", "/no/where"), "/no/where: No such file or directory"),
        (PermissionError(13, "Permission denied"), "this machine: Permission denied"),
        (click.FileError("x", "is odd"), "is odd"),
    ],
)
def test_other_ends_are_messages(
    error: BaseException, said: str, mailprov: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "load", _raise(error))
    status, _, err = mailprov("validate")
    assert status == 1
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["no-such-verb"],
        ["plan", "--no-such-option"],
        ["plan", "--format", "xml"],
        ["plan", "surplus"],
        ["trust"],
        ["render"],
        ["render", "-o"],
        ["verify", "--ca", "/no/such/file"],
        ["shell"],
        ["completion"],
    ],
)
def test_a_wrong_command_line_is_an_error_and_no_change_found(arguments: list[str], mailprov: Run) -> None:
    """click's own code for this is 2, which here means that a plan found changes."""
    status, out, err = mailprov(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("Error: ")


# --- help


def test_help_lists_every_verb(mailprov: Run) -> None:
    status, out, _ = mailprov("--help")
    assert status == 0
    for name, command in every().items():
        assert re.search(rf"^  {name} +{re.escape(COMMANDS[name])}$", out, re.M)
        assert command.name == name and len(COMMANDS[name]) <= 55
    assert "Exit codes" in out


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_verb_has_help(verb: str, option: str, mailprov: Run) -> None:
    status, out, err = mailprov(verb, option)
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: mailprov {verb}")
    command = every()[verb]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[-1] in out


def test_version(mailprov: Run) -> None:
    from mailprov import __version__

    assert mailprov("--version") == (0, f"mailprov, version {__version__}\n", "")


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_completion_scripts(kind: str, mailprov: Run) -> None:
    status, out, _ = mailprov("completion", kind)
    assert status == 0
    assert mailprov("shell", "--completion", kind)[:2] == (0, out), "as it was called before"
    assert "_MAILPROV_COMPLETE" in out
    assert "mailprov" in out


def test_completion_completes() -> None:
    command = [sys.executable, "-c", "from mailprov.commands import main; main()"]
    for begun, whole in (("va", "validate"), ("te", "test"), ("test --pl", "--plan")):
        at = str(len(begun.split()))
        words = {"COMP_WORDS": f"mailprov {begun}", "COMP_CWORD": at, "_MAILPROV_COMPLETE": "bash_complete"}
        done = subprocess.run(command, env=os.environ | words, capture_output=True, text=True, check=False)
        assert done.stdout == f"plain,{whole}\n"


def test_json_schema(mailprov: Run) -> None:
    status, out, _ = mailprov("schema")
    assert status == 0
    assert mailprov("shell", "--json-schema")[:2] == (0, out), "as it was called before"
    assert json.loads(out)["$schema"].startswith("https://json-schema.org/")
    reports = json.loads(mailprov("schema", "report")[1])
    assert "plan" in reports["$defs"]


@pytest.mark.parametrize("name", ["mailprov.schema.json", "report.schema.json", "providers.schema.json"])
def test_a_schema_is_identified_by_where_it_lies(name: str) -> None:
    """Its `$id` is relative: it resolves to the file itself, be it in the installation or beside a declaration."""
    file = assets.folder("schemas") / name
    document = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    assert urljoin(file.as_uri(), document["$id"]) == file.as_uri()


# --- verbs that ask no host


def test_init_writes_a_valid_declaration(mailprov: Run) -> None:
    assert mailprov("init")[0] == 0
    status, out, _ = mailprov("validate")
    assert (status, out) == (0, "mail.yaml is valid: 1 host, 1 domain, 1 user, 1 alias\n")


def test_the_schema_that_the_starter_names_is_there(mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    assert mailprov("init", "-o", "far/post.yaml")[0] == 0
    first = (tmp_path / "far/post.yaml").read_text().splitlines()[0]
    named = tmp_path / "far" / first.removeprefix("# yaml-language-server: $schema=")
    assert named.read_text(encoding="utf-8") == mailprov("schema")[1]
    named.write_text("mine\n")
    assert mailprov("init", "-o", "far/other.yaml")[0] == 0
    assert named.read_text() == "mine\n"


def test_init_overwrites_nothing(mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.yaml").write_text("mine\n")
    status, _, err = mailprov("init")
    assert status == 1
    assert "there is a file already" in err
    (tmp_path / "link.yaml").symlink_to("elsewhere.yaml")
    assert mailprov("init", "-o", "link.yaml")[0] == 1
    assert (tmp_path / "mail.yaml").read_text() == "mine\n"
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_init_where_there_is_no_folder(mailprov: Run) -> None:
    status, _, err = mailprov("init", "-o", "no/folder/mail.yaml")
    assert (status, "no/folder/mail.yaml: No such file" in err) == (1, True)


def test_what_the_starter_suggests_is_valid_too(mailprov: Run, tmp_path: Path) -> None:
    """Each commented line, taken up."""
    text = re.sub(r"^(\s*)# ((?:become|catch_all|protocols|allow_from): )", r"\1\2", STARTER, flags=re.M)
    text = re.sub(r"^# (aliases:|  - \{address: sales)", r"\1", text, flags=re.M)
    assert text.count("\n# ") == STARTER.count("\n# ") - 2
    (tmp_path / "mail.yaml").write_text(text)
    status, out, err = mailprov("validate")
    assert status == 0, err
    assert "2 aliases" in out


def test_validate_tells_every_error(mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.yaml").write_text(BASE.replace("$HASH", "x").replace("port: 25", "port: x"))
    status, _, err = mailprov("validate")
    assert status == 3
    assert len(re.findall(r"mail\.yaml:\d+:\d+: ", err)) >= 2


def test_validate_without_a_file(mailprov: Run) -> None:
    status, _, err = mailprov("validate")
    assert status in (1, 3)
    assert "mail.yaml" in err


@pytest.mark.parametrize(
    "stdin", ["Hunter 2, 42\n", "Hunter 2, 42", "Hunter 2, 42\r\n", "with blank and ü\n", "密码是那个" * 102 + "xy\r\n"]
)
def test_password_reads_a_line(stdin: str, mailprov: Run) -> None:
    from passlib.hash import sha512_crypt

    status, out, err = mailprov("password", stdin=stdin)
    assert (status, err) == (0, "")
    scheme, _, hashed = out.strip().partition("}")
    assert scheme == "{SHA512-CRYPT"
    assert sha512_crypt.verify(stdin.rstrip("\r\n"), hashed)


@pytest.mark.parametrize("stdin", ["", "\n", "\nhunter2\n"])
def test_an_empty_password_is_refused(stdin: str, mailprov: Run) -> None:
    status, out, err = mailprov("password", stdin=stdin)
    assert (status, out) == (1, "")
    assert "the password is empty" in err


@pytest.mark.parametrize(
    ("stdin", "why"),
    [
        ("密码".encode("gb18030"), "is not UTF-8"),
        (b"hunter\x0b2\n", "holds control characters"),
        ("hunter\u202e2 hunter".encode(), "holds the invisible character U+202E"),
        ("hunter\u200b2 hunter".encode(), "holds the invisible character U+200B"),
        (b"a" * 513, "has more than 512 characters"),
        (b"a" * 4097 + b"\n", "has more than 512 characters"),
        ("密".encode() * 4097, "has more than 512 characters"),
        (b"{SHA512-CRYPT}$6$" + b"a" * 99, "is the hash of a password"),
        (b"$6$saltsalt$" + b"a" * 86, "is the hash of a password"),
        (b"{PLAIN}hunter2 hunter2", "is the hash of a password"),
    ],
)
def test_a_password_that_nobody_could_type_is_refused(stdin: bytes, why: str, mailprov: Run) -> None:
    status, out, err = mailprov("password", stdin=stdin)
    assert (status, out) == (1, "")
    assert why in err


@pytest.mark.parametrize(
    ("stdin", "why"),
    [("1\n", "fewer than 8 characters"), ("5f4dcc3b5aa765d61d8327deb882cf99", "a hash in hexadecimal")],
)
def test_a_password_that_is_guessed_soon_is_told(stdin: str, why: str, mailprov: Run) -> None:
    status, out, err = mailprov("password", stdin=stdin)
    assert (status, out[:14]) == (0, "{SHA512-CRYPT}")
    assert err.startswith("! this password ") and why in err and stdin.strip() not in err.replace("than 8", "")


ASKING = (
    ("profiles", "-o", "out", "--user"),
    ("handout", "send", "--welcome"),
    ("handout", "purge", "--yes"),
    ("verify", "--password-env", "BOB_INITIAL", "--user"),
)


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_an_address_is_read_as_in_the_declaration(
    words: tuple[str, ...], simulated: SimulatedHost, mailprov: Run
) -> None:
    for address in ("bob@EXAMPLE.com", "Bob@example.com", "BOB@例子.测试"):
        _, _, err = mailprov(*words, address)
        assert "BOB" not in err.replace("BOB_INITIAL", "")
        assert "Bob" not in err
        assert "EXAMPLE" not in err
    status, _, err = mailprov(*words, "bob")
    assert status == 1
    assert "write the whole address: alice@example.com" in err


def test_no_verb_at_all_is_help(mailprov: Run) -> None:
    for words in ((), ("handout",)):
        _, _, err = mailprov(*words)
        assert err.startswith("Usage: mailprov")
        assert err.count("Usage:") == 1


def test_what_an_import_says_can_be_declared(mailprov: Run, tmp_path: Path) -> None:
    for name, encoding in (("staff, new.csv", "GBK"), ("职员.csv", ""), ("a: b.csv", "")):
        (tmp_path / name).write_text("邮箱\nwang@example.com\n", encoding="gb18030")
        more = ("--encoding", encoding) if encoding else ()
        status, _, err = mailprov("users", "import", name, *more)
        assert status == 0, err
        said = err[err.index("users: ") :].splitlines()[0]
        rest = BASE.replace("$HASH", HASH).partition("users:")[0] + "tls: {self_signed: {}}\nservices: {smtp: true}\n"
        (tmp_path / "mail.yaml").write_text(f"{rest}{said}\n", encoding="utf-8")
        status, _, err = mailprov("validate")
        assert status == 0, err


@pytest.mark.parametrize("release", ["11", "12", "13"])
def test_render_holds_no_secret(release: str, mailprov: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = _certificate(tmp_path)
    text = BASE.replace("$HASH", HASH)
    text = text.replace("tls: {self_signed: {}}", "tls: {certificate: {file: mail.pem}, key: {file: mail.key}}")
    (tmp_path / "mail.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("BOB_INITIAL", CANARY)
    status, _, err = mailprov("render", "-o", "out", "--release", release)
    assert status == 0, err
    written = {path: path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path / "out" / "mail1")) for path in written} >= {
        "etc/dovecot/dovecot.conf",
        "etc/dovecot/mailprov/accounts",
        "etc/mailprov/mailprov.nft",
        "etc/mailprov/tls/default.pem",
        "etc/postfix/main.cf",
        "etc/postfix/mailprov/aliases",
    }
    for path, content in written.items():
        assert "$6$" not in content, path
        assert CANARY not in content, path
        assert "PRIVATE KEY" not in content, path
        assert key.splitlines()[1] not in content, path
    assert "alice@example.com:<secret>:::managed:::" in written[tmp_path / "out/mail1/etc/dovecot/mailprov/accounts"]
    assert "bob@example.com::::initial:::" in written[tmp_path / "out/mail1/etc/dovecot/mailprov/accounts"]


def _certificate(folder: Path) -> str:
    """A certificate and its key as files; returns the key."""
    names = ["-subj", "/CN=mail.example.com", "-addext", "subjectAltName=DNS:mail.example.com"]
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    out = ["-days", "90", "-keyout", str(folder / "mail.key"), "-out", str(folder / "mail.pem")]
    subprocess.run([*request, *names, *out], check=True, capture_output=True)
    return (folder / "mail.key").read_text()


def test_render_overwrites_nothing(mailprov: Run, simulated: SimulatedHost, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    status, _, err = mailprov("render", "-o", "out")
    assert (status, "it is there already" in err) == (1, True)
    assert not list((tmp_path / "out").iterdir())


# --- plan, against a host in memory


def test_plan_and_its_exit_codes(mailprov: Run, simulated: SimulatedHost, tmp_path: Path) -> None:
    status, out, _ = mailprov("plan")
    assert status == 0
    assert "Plan: " in out
    assert mailprov("plan", "--detailed-exitcode")[0] == 2
    simulated.become(declare(tmp_path))
    assert mailprov("plan", "--detailed-exitcode")[0] == 0
    assert "No changes on 1 host." in mailprov("plan")[1]
    document = json.loads(mailprov("plan", "--format", "json")[1])
    assert document["changed"] is False
    assert "No changes on 1 host." in mailprov("plan", "--format", "markdown")[1]


def test_limit(mailprov: Run, simulated: SimulatedHost) -> None:
    assert mailprov("plan", "--limit", "mail1")[0] == 0
    status, _, err = mailprov("plan", "--limit", "mial1")
    assert (status, "did you mean `mail1`?" in err) == (1, True)


def test_two_names_for_one_machine(mailprov: Run, simulated: SimulatedHost, tmp_path: Path) -> None:
    """Two addresses of one machine look like two hosts: found by what the machine says that it is."""
    twice = "".join(f"  mail{n}: {{address: 192.0.2.{n}, hostname: {n}.example.com}}\n" for n in (1, 2))
    file = tmp_path / "mail.yaml"
    text = re.sub(r"^hosts:.*?(?=^\S)", f"hosts:\n{twice}", file.read_text(encoding="utf-8"), flags=re.M | re.S)
    file.write_text(text, encoding="utf-8")
    status, out, err = mailprov("plan")
    assert (status, out) == (7, "")
    assert "mail1: this is the same machine as mail2" in err and "mail2: this is the same machine as mail1" in err
    assert mailprov("apply", "--yes")[0] == 7
    assert mailprov("plan", "--limit", "mail1")[0] == 0


def test_apply_asks_or_stops(mailprov: Run, simulated: SimulatedHost) -> None:
    status, _, err = mailprov("apply")
    assert status == 5
    assert "--yes" in err


def test_a_hostile_host_steers_no_terminal(mailprov: Run, simulated: SimulatedHost, tmp_path: Path) -> None:
    simulated.become(declare(tmp_path))
    simulated.entries["/etc/postfix/main.cf"].content += "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202e\n"
    simulated.managed.append("/etc/\x1b[31mx")
    simulated.entries["/etc/\x1b[31mx"] = simulated.entries["/etc/postfix/main.cf"]
    simulated.kept += f"desired file {'0' * 32} /etc/\x1b[31mx\n"
    for form in ("text", "json", "markdown"):
        status, out, err = mailprov("plan", "--details", "--format", form)
        assert status == 0
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out + err)
        assert "main.cf" in out


def test_what_a_failing_host_says_steers_no_terminal(
    mailprov: Run, simulated: SimulatedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mailprov.connection.fake import FakeHost
    from mailprov.model import Completed

    said = Completed(127, b"", b"\x1b[2Jsh: \xc2\x9b31m\xe2\x80\xae not found\r\n")
    monkeypatch.setattr(connect, "open_host", lambda declared, **more: FakeHost("mail1", said))
    status, out, err = mailprov("plan")
    assert status == 1
    assert "not found" in err
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out + err)


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": ""}])
@pytest.mark.parametrize("terminal", [False, True])
def test_colour(terminal: bool, environ: dict[str, str], tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    variables |= {"TERM": "xterm"} | environ
    command = [
        sys.executable,
        "-c",
        "from mailprov.commands import main; main()",
        "init",
        "-o",
        str(tmp_path / "mail.yaml"),
    ]
    if terminal:
        main, other = pty.openpty()
        subprocess.run(command, env=variables, stdin=other, stdout=other, stderr=other, check=True)
        os.close(other)
        said = os.read(main, 65536)
        os.close(main)
    else:
        done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
        said = done.stdout
    coloured = terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    assert (b"\x1b[" in said) is coloured
    assert b"wrote" in said


# --- secrets


def test_a_mistake_of_ours_shows_no_value(mailprov: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> Exit:
        password = CANARY  # noqa: F841 - it lies about when this fails
        held = {CANARY: [CANARY]}
        return held[f"{CANARY} is no key"]  # type: ignore[return-value]

    monkeypatch.setattr(validate, "load", fail)
    status, out, err = mailprov("validate")
    assert status == 1
    assert "has a mistake: KeyError" in err
    assert "test_cli.py" in err
    assert CANARY not in out + err


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, TypeError, UnicodeError, RecursionError, AssertionError])
def test_no_mistake_shows_a_value(kind: type[Exception], mailprov: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    error = kind(f"cannot use {CANARY}")
    error.__cause__ = ValueError(CANARY)
    error.add_note(CANARY)
    monkeypatch.setattr(validate, "load", _raise(error))
    status, out, err = mailprov("validate")
    assert status == 1
    assert kind.__name__ in err
    assert CANARY not in out + err


def test_no_verb_shows_a_declared_secret(
    mailprov: Run, simulated: SimulatedHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BOB_INITIAL", CANARY)
    host_says = []
    for arguments in (
        ["validate"],
        ["plan"],
        ["plan", "--details"],
        ["plan", "--format", "json"],
        ["plan", "--format", "markdown"],
        ["render", "-o", "out"],
        ["apply"],
    ):
        _, out, err = mailprov(*arguments)
        host_says.append(out + err)
        assert CANARY not in out + err
        assert "$6$" not in out + err
    assert any("bob@example.com" in said for said in host_says)


def test_a_kept_plan_is_for_its_own_hosts_only(tmp_path: Path) -> None:
    """Neither a plan of no host nor --limit to another one turns into a fresh plan."""
    (tmp_path / "mail.yaml").write_text(
        "mailprov: 1\nhosts: {a: {address: 127.0.0.1, hostname: a.example.com}}\n"
        "domains: [example.com]\ntls: {self_signed: {}}\nservices: {smtp: true}\n",
        encoding="utf-8",
    )
    (tmp_path / "plan").write_text(plan_file.dump(True, ()), encoding="utf-8")
    for more, status, said in (
        ([], 0, "nothing to do: it is for no host"),
        (["--limit", "a"], 1, "the plan is not for all of these hosts"),
    ):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from mailprov.commands import main; main()",
                "apply",
                str(tmp_path / "plan"),
                "--yes",
                "-f",
                str(tmp_path / "mail.yaml"),
                *more,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status
        assert said in done.stderr


EARLY = """
import builtins, mailprov.__main__
real = builtins.__import__
def load(name, *more):
    if name == "mailprov.commands":
        raise KeyboardInterrupt
    return real(name, *more)
builtins.__import__ = load
mailprov.__main__.main()
"""


def test_an_interruption_while_it_is_loaded_is_a_message() -> None:
    ran = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "Error: interrupted: nothing was changed\n")


def test_hosts_that_are_kept_stay_until_somebody_interrupts() -> None:
    """Also without a terminal, where nobody can press Enter."""
    words = "from mailprov.commands.rehearse import _wait; _wait(); print('thrown away')"
    waits = subprocess.Popen(
        [sys.executable, "-c", words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waits.stderr is not None and "until this is interrupted" in waits.stderr.readline()
    assert waits.poll() is None
    waits.send_signal(signal.SIGINT)
    assert (waits.communicate(timeout=30)[0], waits.returncode) == ("thrown away\n", 0)


# --- what only shows


def test_purge_only_shows_until_it_is_told_a_number(mailprov: Run, simulated: SimulatedHost) -> None:
    simulated.said["leftovers"] = "4096 2 gone@example.com\n"
    status, out, err = mailprov("purge")
    assert (status, err) == (0, "")
    assert "gone@example.com  2 messages, 4,096 bytes\n  nothing was deleted; to delete 1 mailbox" in out
    assert mailprov("purge", "gone@example.com")[0] == 0
    (told,) = json.loads(mailprov("purge", "--format", "json")[1])["hosts"]
    box = {"address": "gone@example.com", "messages": 2, "bytes": 4096}
    assert told == {"host": "mail1", "mailboxes": [box], "deleted": 0}
    status, out, _ = mailprov("purge", "--delete", "2", "--format", "json")
    assert (status, json.loads(out)["failed"][0]["exit"], json.loads(out)["hosts"][0]["deleted"]) == (5, 5, 0)
    status, _, err = mailprov("purge", "--delete", "2")
    assert (status, "--delete says 2" in err) == (5, True)
    assert mailprov("purge", "--delete", "0")[0] == 5


def test_a_known_key_is_shown_and_not_asked_about(
    mailprov: Run, simulated: SimulatedHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [HostKey("ssh-ed25519", b"one"), HostKey("ecdsa-sha2-nistp256", b"two")]
    file, shown = tmp_path / "known_hosts", list(keys)
    files = (file, tmp_path / "global")
    where = ("mail1", "192.0.2.10", 22, "root", (), (), False, None, False, files, ("192.0.2.10", 22), 1.0)
    target = Target(*where)
    monkeypatch.setattr(ssh, "scan", lambda *_, **__: ssh.Scan(target, tuple(shown)))
    assert mailprov("trust", "mail1")[0] == 5
    # Nobody is there to say that they are right, and a program still gets to know them.
    status, out, _ = mailprov("trust", "mail1", "--format", "json")
    told = json.loads(out)
    assert (status, told["known"], told["recorded"], told["failed"][0]["exit"]) == (5, False, 0, 5)
    assert [key["fingerprint"] for key in told["keys"]] == [key.fingerprint for key in keys]
    status, out, _ = mailprov("trust", "mail1", "--yes", "--format", "json")
    assert (status, json.loads(out)["recorded"]) == (0, 2)
    assert json.loads(mailprov("trust", "mail1", "--format", "json")[1])["known"] is True
    file.unlink()
    assert mailprov("trust", "mail1", "--yes")[0] == 0
    before = file.read_bytes()
    for words in ((), ("--yes",), ("--replace",)):
        status, out, err = mailprov("trust", "mail1", *words)
        assert (status, f"known already: {file}:1" in err) == (0, True)
        assert all(key.fingerprint in out for key in keys)
    # Another key, one that is not known yet, a revoked one: these are.
    shown[0] = HostKey("ssh-ed25519", b"other")
    assert mailprov("trust", "mail1")[0] == 5
    shown[0] = keys[0]
    file.write_bytes(before + b"192.0.2.10 ssh-rsa b3RoZXI=\n")
    assert mailprov("trust", "mail1")[0] == 0
    assert mailprov("trust", "mail1", "--replace")[0] == 5
    file.write_bytes(b"@revoked " + before.splitlines(keepends=True)[0] + before)
    assert mailprov("trust", "mail1")[0] == 5
