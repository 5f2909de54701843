"""mailprov secret, typed in real processes: what it makes, what it changes, what it refuses; rekey in its own file."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from age_tools import Person, person, ssh_person, text
from secret_repository import CANARY, DECLARED, Repository, failed

from mailprov.encrypted import age, armour


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.fixture
def begun(repo: Repository) -> Repository:
    """With an identity, its recipient, and a declaration."""
    return repo.begin()


# --- init


def test_init_makes_an_identity_and_its_recipient(repo: Repository) -> None:
    done = repo.typed("secret", "init")
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(repo.identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(repo.identity.parent.stat().st_mode) == 0o700
    assert repo.recipients.read_text().splitlines()[1:] == done.stdout.splitlines()
    assert done.stdout.startswith("age1")
    assert "keep a copy in a safe place" in done.stderr
    assert "AGE-SECRET" not in done.stdout + done.stderr + "".join(map(str, repo.tree().values()))
    before = repo.tree()
    again = repo("secret", "init")
    assert (again.returncode, again.stdout, repo.tree()) == (0, done.stdout, before)
    assert "uses the identity in" in again.stderr


def test_init_adds_to_what_is_there(repo: Repository) -> None:
    other = person().recipient
    repo.recipients.write_text(f"# the others\n{other}")
    done = repo.typed("secret", "init", "--identity", "../home/mine")
    assert done.returncode == 0
    assert repo.recipients.read_text() == f"# the others\n{other}\n{done.stdout}"
    assert "somebody who can open the secrets run `mailprov secret rekey`" in done.stderr


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_init_takes_an_ssh_key(kind: str, repo: Repository) -> None:
    who = ssh_person(repo.home, kind)
    key = repo.home / f"ssh-{kind}-False"
    before = key.read_bytes()
    assert repo("secret", "init", "--identity", str(key)).returncode == 0
    assert key.read_bytes() == before
    repo.recipients.write_text(who.recipient + "\n")  # with its comment
    assert repo("secret", "init", "--identity", str(key)).returncode == 0
    assert repo.recipients.read_text() == who.recipient + "\n"


def test_init_for_a_pipeline_makes_no_file(repo: Repository) -> None:
    who = person()
    done = repo("secret", "init", MAILPROV_AGE_IDENTITY=who.identity)
    assert (done.returncode, done.stdout) == (0, who.recipient + "\n")
    assert not repo.identity.exists()
    named = repo("secret", "init", MAILPROV_AGE_IDENTITY_FILE=str(repo.home / "named"))
    assert named.returncode == 0
    assert (repo.home / "named").exists()


@pytest.mark.parametrize("where", ["age.txt", "sub/age.txt", "link/age.txt", "../repo/age.txt"])
def test_an_identity_is_not_made_in_the_repository(where: str, repo: Repository) -> None:
    (repo.folder / "sub").mkdir()
    (repo.folder / "sub/mail.yaml").write_text("")
    (repo.home / "link").symlink_to(repo.folder)
    path = str(repo.home / where) if where.startswith("link") else where
    before = repo.tree()
    for declaration in ("mail.yaml", "sub/mail.yaml"):
        failed(
            repo("secret", "init", "-f", declaration, "--identity", path),
            1,
            "an identity is a secret",
            str(repo.folder),
        )
    assert repo.tree() == before


def test_init_says_why_it_cannot(repo: Repository) -> None:
    ssh_person(repo.home, "ed25519", "a passphrase")
    locked = str(repo.home / "ssh-ed25519-True")
    failed(repo("secret", "init", "--identity", locked), 3, "is an SSH key with a passphrase", "secret init")
    (repo.home / "wrong").write_text("hunter2")
    said = failed(repo("secret", "init", "--identity", str(repo.home / "wrong")), 3, "holds no age identity in line 1")
    assert "hunter2" not in said
    failed(repo("secret", "init", "--identity", str(repo.home)), 3, "not a regular file")
    failed(repo("secret", "init", HOME=""), 3, "without HOME")
    failed(repo("secret", "init", "--identity", str(repo.home / "wrong/below")), 1, "cannot be written")
    assert not repo.recipients.exists()


# --- encrypt


def test_encrypt_prints_what_the_declaration_takes(begun: Repository) -> None:
    done = begun.typed("secret", "encrypt", stdin=f"{CANARY}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert age.decrypted(armour.unarmoured(done.stdout), begun.me()) == f"{CANARY}\n".encode()
    placed = DECLARED.replace("{age: TODO}", "{env: X}").replace(
        "age: TODO   # theirs", "age: |\n" + _indented(done.stdout, 10)
    )
    begun.mail.write_text(placed)
    said = begun("validate", X="x")
    assert said.returncode == 0, said.stderr


def _indented(lines: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in lines.splitlines())


def test_encrypt_asks_at_a_terminal(begun: Repository) -> None:
    """The secret is typed twice, is not echoed, and is in no argument list."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(begun.folder)
        words = [sys.executable, "-m", "mailprov", "secret", "encrypt", "-o", "x.age"]
        os.execve(sys.executable, words, begun.environ())  # noqa: S606 - a terminal of its own
    said = b""
    for prompt in (b"Secret: ", b"Repeat for confirmation: "):
        while prompt not in said:
            said += os.read(terminal, 4096)
        time.sleep(0.2)  # until the echo is off
        os.write(terminal, f"{CANARY}\n".encode())
        said = said.partition(prompt)[2]
    _, status = os.waitpid(pid, 0)
    said += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert CANARY.encode() not in said
    assert age.decrypted(armour.of_file((begun.folder / "x.age").read_bytes())[0], begun.me()) == CANARY.encode()


def test_encrypt_fills_in_a_place(begun: Repository) -> None:
    for place, secret in (("mail.yaml:9", CANARY), ("mail.yaml:3", "the sudo password")):
        done = begun.typed("secret", "encrypt", "--at", place, stdin=secret)
        assert done.returncode == 0, done.stderr
        assert "encrypted: mail.yaml:" in done.stderr
    lines = begun.mail.read_text().splitlines()
    kept = [line for line in DECLARED.splitlines() if "TODO" not in line]
    assert [line for line in lines if line in kept] == kept
    assert "        age: |   # theirs" in lines
    # the value that is there is exchanged, and one that is a file is written there
    number = str(lines.index("        age: |   # theirs") + 3)
    assert begun("secret", "encrypt", "--at", f"mail.yaml:{number}", stdin="another battery").returncode == 0
    where = next(at for at, line in enumerate(begun.mail.read_text().splitlines(), 1) if "secrets/b.age" in line)
    for secret in ("first battery", "second battery"):
        assert begun("secret", "encrypt", "--at", f"mail.yaml:{where}", stdin=secret).returncode == 0
    file = (begun.folder / "secrets/b.age").read_bytes()
    assert age.decrypted(armour.of_file(file)[0], begun.me()) == b"second battery"
    assert begun("validate", "--strict").returncode == 0


def test_encrypt_writes_whole_files(begun: Repository) -> None:
    key = os.urandom(5000)
    for _ in range(2):
        done = begun.typed("secret", "encrypt", "-o", "certs/mail.key.age", stdin=key)
        assert done.returncode == 0, done.stderr
        assert "{age: {file: certs/mail.key.age}}" in done.stderr
    written = (begun.folder / "certs/mail.key.age").read_bytes()
    assert written.startswith(armour.HEADER.encode())
    assert age.decrypted(armour.of_file(written)[0], begun.me()) == key
    (begun.folder / "binary.age").write_bytes(armour.of_file(written)[0])
    assert begun("secret", "encrypt", "--output", "binary.age", stdin=b"new").returncode == 0
    assert (begun.folder / "binary.age").read_bytes().startswith(armour.MAGIC)


def test_encrypt_says_why_it_cannot(begun: Repository) -> None:
    before = begun.tree()

    def refused(code: int, *told: str, at: str = "", out: str = "", stdin: bytes = b"x") -> None:
        words = (*(("--at", at) if at else ()), *(("-o", out) if out else ()))
        failed(begun("secret", "encrypt", *words, stdin=stdin), code, *told)
        assert begun.tree() == before

    refused(1, "the secret is empty", stdin=b" \n")
    refused(1, "larger than 1 MiB", stdin=bytes(2**20 + 1))
    refused(1, "larger than 64 KiB", "-o FILE", at="mail.yaml:9", stdin=b"x" * (2**16 + 1))
    refused(3, "mail.yaml:5: no `age` value stands in this line", "in line 3, 9, 10", at="mail.yaml:5")
    refused(3, "mail.yaml: this is no age file", "name its line", at="mail.yaml")
    refused(3, "absent.yaml cannot be read", at="absent.yaml:3")
    refused(3, "this is no age file", out="mail.yaml")
    refused(3, "not a regular file", out=".git")
    refused(1, "exclude each other", at="mail.yaml:9", out="x.age")
    begun.mail.write_text(DECLARED + "x: {a: {age: TODO}, b: {age: TODO}}\ny: {age: {file: /dev/zero}}\n")
    before = begun.tree()
    refused(3, "several `age` values stand in this line", "mail.yaml:13:8, mail.yaml:13:24", at="mail.yaml:13")
    refused(3, "not a regular file", at="mail.yaml:14")
    begun.mail.write_text(DECLARED + "y: {age: {file: plain.key}}\nz: {age: {file: ~nobody-of-that-name/x}}\n")
    (begun.folder / "plain.key").write_text("not encrypted yet")
    before = begun.tree()
    refused(3, "plain.key: this is no age file", at="mail.yaml:13")
    refused(1, "larger than 1 MiB", at="mail.yaml:14", stdin=bytes(2**20 + 1))
    begun.mail.write_text("a: [")
    before = begun.tree()
    refused(3, "not valid YAML", at="mail.yaml:1")


def test_a_column_chooses_among_several(begun: Repository) -> None:
    begun.mail.write_text("x: {a: {age: TODO}, b: {age: TODO}}\n")
    assert begun("secret", "encrypt", "--at", "mail.yaml:1:24", stdin="second").returncode == 0
    assert begun.mail.read_text().startswith('x: {a: {age: TODO}, b: {age: "-----BEGIN')
    assert begun("secret", "encrypt", "--at", "mail.yaml:1:8", stdin="first").returncode == 0


def test_whom_it_is_for_must_be_known(begun: Repository) -> None:
    who = begun.recipients.read_text()
    begun.recipients.write_text(who + "anna@example.com\n")
    said = failed(
        begun("secret", "encrypt", stdin="x"), 3, ".age-recipients:3:1: this is no recipient", "ssh-ed25519 …"
    )
    assert "anna@" not in said
    begun.recipients.write_text("# nobody\n")
    failed(begun("secret", "encrypt", stdin="x"), 3, "nobody is there to encrypt for")
    begun.recipients.unlink()
    failed(begun("secret", "encrypt", stdin="x"), 3, ".age-recipients cannot be read", "mailprov secret init")


def test_no_option_takes_a_secret() -> None:
    """An argument list is open to everybody on the machine."""
    import click

    from mailprov.commands.secret import command

    paths = {"file", "identity", "output", "at", "target"}
    assert {
        option.name
        for each in command.commands.values()
        for option in each.params
        if isinstance(option, click.Parameter)
    } == paths


# --- edit


@pytest.fixture
def editor(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """An editor that runs this shell, with the file as $1, and notes where that was."""

    def made(act: str) -> dict[str, str]:
        path = tmp_path / "editor"
        note = f'stat -c "%a %n" "$1" "$(dirname "$1")" >{tmp_path}/noted; stat -f -c %T "$1" >>{tmp_path}/noted'
        path.write_text(f"#!/bin/sh\n{note}\n{act}\n")
        path.chmod(0o755)
        return {"EDITOR": str(path)}

    return made


def place(repo: Repository) -> str:
    """mail.yaml with a value in it, and where."""
    begun = repo("secret", "encrypt", "--at", "mail.yaml:9", stdin=f"{CANARY}\n")
    assert begun.returncode == 0, begun.stderr
    return "mail.yaml:9"


def test_edit_is_in_memory_private_and_gone(
    begun: Repository, editor: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    at = place(begun)
    kept = tmp_path / "kept"
    swap = 'cp "$1" "$(dirname "$1")/.secret.swp"; mkdir "$(dirname "$1")/sub"'
    done = begun.typed("secret", "edit", at, **editor(f'cp "$1" {kept}; {swap}; echo "edited battery" >"$1"'))
    assert done.returncode == 0, done.stderr
    assert kept.read_text() == f"{CANARY}\n"
    file, folder, kind = (tmp_path / "noted").read_text().splitlines()
    assert file.startswith("600 /dev/shm/mailprov-")
    assert folder.startswith("700 /dev/shm/mailprov-")
    assert kind == "tmpfs"
    assert not Path(folder.split()[1]).exists()
    assert CANARY not in done.stdout + done.stderr
    (said,) = begun("secret", "edit", at, **editor(f'cp "$1" {kept}')).stderr.splitlines()
    assert said == "nothing was changed"
    assert kept.read_text() == "edited battery\n"


def test_edit_of_a_file_by_an_ssh_key(
    begun: Repository, editor: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    ssh_person(begun.home, "ed25519")
    key = str(begun.home / "ssh-ed25519-False")
    assert begun("secret", "init", "--identity", key).returncode == 0
    assert begun("secret", "encrypt", "-o", "secrets/b.age", stdin="bobs battery").returncode == 0
    (begun.folder / "secrets/b.age").chmod(0o640)
    done = begun.typed("secret", "edit", "secrets/b.age", "--identity", key, **editor('printf " and more" >>"$1"'))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "noted").read_text().split()[1].endswith("/b")
    assert stat.S_IMODE((begun.folder / "secrets/b.age").stat().st_mode) == 0o640
    data = armour.of_file((begun.folder / "secrets/b.age").read_bytes())[0]
    assert age.decrypted(data, begun.me()) == b"bobs battery and more"


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("exit 3", "the editor ended with exit code 3; nothing was changed"),
        ("kill -9 $$", "the editor ended with exit code -9; nothing was changed"),
        (': >"$1"', "the secret is empty"),
        ('rm "$1"', "cannot be read"),
        ('rm "$1"; mkfifo "$1"', "not a regular file"),
        ('head -c 2000000 /dev/zero >"$1"', "larger than 1 MiB"),
    ],
)
def test_what_an_editor_leaves_may_be_nothing(
    act: str, told: str, begun: Repository, editor: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    at, before = place(begun), begun.tree()
    done = begun("secret", "edit", at, **editor(act))
    assert done.returncode in (1, 3)
    failed(done, done.returncode, told)
    assert begun.tree() == before
    assert not Path((tmp_path / "noted").read_text().split()[3]).exists()


@pytest.mark.parametrize("how", ["HUP", "TERM", "INT"])
def test_who_is_ended_meanwhile_leaves_nothing(
    how: str, begun: Repository, editor: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    at, before = place(begun), begun.tree()
    done = begun.typed("secret", "edit", at, **editor(f"kill -{how} $PPID; exec sleep 30"))
    assert (done.returncode, done.stderr.strip()) == (1, "Error: interrupted")
    assert not Path((tmp_path / "noted").read_text().split()[3]).exists()
    assert begun.tree() == before


def test_without_an_editor(begun: Repository) -> None:
    at = place(begun)
    failed(begun("secret", "edit", at), 1, "no editor is named", "export EDITOR=nano")
    failed(begun("secret", "edit", at, VISUAL="'unclosed"), 1, "no editor is named")
    failed(begun("secret", "edit", at, VISUAL="/nowhere/nano"), 1, "the editor /nowhere/nano cannot be run")


def test_who_edits_meanwhile_is_not_overwritten(begun: Repository, editor: Callable[[str], dict[str, str]]) -> None:
    at = place(begun)
    done = begun("secret", "edit", at, **editor('echo "# mine" >>mail.yaml; echo new >"$1"'))
    failed(done, 1, "this file was changed meanwhile")
    assert begun.mail.read_text().endswith("# mine\n")
    assert list(begun.folder.glob(".new-*")) == []


def test_where_no_memory_is_for_files_it_is_said(
    begun: Repository, editor: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    at = place(begun)
    script = "from mailprov.commands import editor, main; editor._IN_MEMORY = frozenset(); main()"
    words = (sys.executable, "-c", script, "secret", "edit", at)
    environ = begun.environ(TMPDIR=str(begun.home), **editor('echo new >"$1"'))
    done = subprocess.run(words, cwd=begun.folder, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"the secret is on disk while you edit ({begun.home})" in done.stderr
    _, folder, _ = (tmp_path / "noted").read_text().splitlines()
    assert folder.startswith(f"700 {begun.home}/mailprov-")
    assert not Path(folder.split()[1]).exists()


def test_who_cannot_open_it_does_not_edit_it(begun: Repository, editor: Callable[[str], dict[str, str]]) -> None:
    at = place(begun)
    other: Person = person()
    failed(
        begun("secret", "edit", at, MAILPROV_AGE_IDENTITY=other.identity, **editor("exit 9")),
        3,
        "mail.yaml:9:9: this is encrypted for other identities than the one in MAILPROV_AGE_IDENTITY",
    )
    failed(begun("secret", "edit", "mail.yaml:3"), 3, "mail.yaml:3:", "this is no age text")
    (begun.folder / "x.age").write_text(text("x", other)[:-5])
    failed(begun("secret", "edit", "x.age"), 3, "x.age: this age text is cut off")
    failed(begun("secret", "edit", "y.age"), 3, "y.age cannot be read")


# --- whoever needs one that cannot be had


def declared_with(repo: Repository, value: str) -> None:
    repo.mail.write_text(
        "mailprov: 1\nhosts: {mx.example.com: {address: 127.0.0.1, ssh: {port: 1, user: it}, become: true,\n"
        f"  become_password: {{age: {value}}}}}}}\n"
        "domains: [{name: example.com, hosted_by: tencent-exmail}]\ntls: {self_signed: {}}\n"
    )


@pytest.mark.parametrize(
    ("value", "told", "todo"),
    [
        ("OTHER", "this is encrypted for other identities than the one in", "--identity FILE; or have somebody"),
        ("CUT", "this age text is cut off", "take it from the Git history"),
        ("{file: cut.age}", "cut.age: this age text is cut off", "take it from the Git history"),
        ("{file: other.age}", "other.age: this is encrypted for other identities", "--identity FILE; or have somebody"),
        ("{file: absent.age}", "absent.age cannot be read: No such file or directory", "check the path"),
    ],
    ids=["another key", "cut off", "a file that is cut off", "a file for another key", "no file"],
)
def test_each_fault_is_one_error_at_its_place(value: str, told: str, todo: str, begun: Repository) -> None:
    other = text("x", person())
    (begun.folder / "other.age").write_text(other)
    (begun.folder / "cut.age").write_text(other[:150])
    inline = {"OTHER": armour.one_line(other), "CUT": armour.one_line(other[:150])}
    declared_with(begun, f'"{inline[value]}"' if value in inline else value)
    for words in (("plan",), ("apply", "--yes"), ("status",)):
        done = begun(*words)
        said = failed(done, 3, f"Error: mail.yaml:3:20: {told}", todo, "1 error in the declaration")
        assert len(said.splitlines()) == 3, said
    assert begun.typed("plan").returncode == 3


def test_without_pyrage_it_is_told_what_to_install(begun: Repository) -> None:
    me = Person(begun.identity.read_text().strip(), begun.recipients.read_text().splitlines()[1])
    declared_with(begun, f'"{armour.one_line(text("x", me))}"')
    script = "import sys; sys.modules['pyrage'] = None; from mailprov.commands import main; main()"
    for words, code, place in (
        (("plan",), 3, "mail.yaml:3:20: "),
        (("secret", "rekey"), 3, ""),
        (("secret", "init"), 3, ""),
        (("secret", "edit", "mail.yaml:3"), 3, "mail.yaml:3:20: "),
        (("validate", "--confined"), 0, ""),
        (("dns",), 0, ""),
    ):
        done = subprocess.run(
            (sys.executable, "-c", script, *words),
            cwd=begun.folder,
            env=begun.environ(EDITOR="true"),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        if code:
            failed(done, code, f"Error: {place}age needs pyrage, which is not installed", "`age`")
