"""mailprov secret rekey: all values of a declaration or none, whatever fails, and whenever it is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from age_tools import Person, block, person, sealed, ssh_person, text
from secret_repository import Repository, failed

from mailprov import local_files
from mailprov.declaration.age_values import age_values
from mailprov.encrypted import age, armour
from mailprov.errors import FileError
from mailprov.model import Secret

ME, ANNA = person(), person()
ARMOUR = re.compile(rf"{armour.HEADER}.*?{armour.FOOTER}", re.S)


def declared(*for_: Person) -> str:
    return f"""\
mailprov: 1   # the version
hosts:
  mail1: {{address: 192.0.2.10, hostname: mail.example.com, ssh: {{user: it}},
          become: true, become_password: {{age: "{armour.one_line(text("sudo battery", *for_))}"}} }}   # sudo

include: [{{files: own/*.yaml, trusted: true}}, people.yaml]
domains: [example.com]
users:
  # hers
  - address: alice@example.com
    password: &one
      initial:
        age: |-   # a comment
{block("alices battery", *for_, indent=10)}
  - {{address: bob@example.com, password: *one}}
  - {{address: c@example.com, password: {{initial: {{age: {{file: secrets/c.age}}}}}}}}
  - {{address: d@example.com, password: {{initial: {{age: {{file: ../shared/d.age}}}}}}}}
  - {{address: e@example.com, password: {{initial: {{age: {{file: secrets/link.age}}}}}}}}
tls: {{self_signed: {{}}}}
services: {{imap: true}}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """Values in the main file, in a part, and in files within and without; all for ME, and ANNA should have them."""
    made = Repository(tmp_path)
    ME.write(made.identity)
    for name in ("own", "secrets", "../shared"):
        (made.folder / name).mkdir()
    made.mail.write_text(declared(ME))
    made.mail.chmod(0o640)
    part = "users:\n  - address: r@example.com\n    password:\n      initial:\n        age: >\n"
    part += block("rs battery", ME, indent=10)
    (made.folder / "own/part.yaml").write_bytes(part.replace("\n", "\r\n").encode())
    (made.folder / "people.yaml").write_text("users: [{address: postmaster@example.com}]\n")
    (made.folder / "secrets/c.age").write_bytes(sealed("cs battery", ME))
    (made.folder / "../shared/d.age").write_text(text("ds battery", ME))
    (made.folder / "secrets/link.age").symlink_to("c.age")
    made.recipients.write_text(f"# all of us\n{ME.recipient}\n{ANNA.recipient}\n")
    return made


FILES = ("mail.yaml", "own/part.yaml", "secrets/c.age", "../shared/d.age")
SECRETS = {"sudo battery", "alices battery", "rs battery", "cs battery", "ds battery"}


def contents(repo: Repository) -> dict[str, bytes]:
    return {name: (repo.folder / name).read_bytes() for name in FILES}


def ciphertexts(name: str, content: bytes) -> list[bytes]:
    if name.endswith(".age"):
        return [armour.of_file(content)[0]]
    return [armour.unarmoured(value.text) for value in age_values(content.decode(), name) if value.text]


def opened(repo: Repository, who: Person) -> set[str]:
    """What this person can open."""
    found = set()
    for name, content in contents(repo).items():
        for data in ciphertexts(name, content):
            try:
                found.add(age.decrypted(data, age.identity(Secret(who.identity), "x")).decode())
            except FileError as error:
                assert error.denied, error
    return found


def test_everybody_who_should_can_open_everything(repo: Repository) -> None:
    before, modes = contents(repo), {name: (repo.folder / name).stat().st_mode for name in FILES}
    assert opened(repo, ANNA) == set()
    done = repo.typed("secret", "rekey", "--identity", str(repo.identity))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "encrypted anew for 2 recipients: 5 in 4 files"
    assert done.stdout.splitlines() == [
        "secrets/c.age: 1 value",
        "../shared/d.age: 1 value",
        "mail.yaml: 2 values",
        "own/part.yaml: 1 value",
    ]
    assert opened(repo, ANNA) == opened(repo, ME) == SECRETS
    # comments, layout, line ends and modes are as they were; every value is another
    for name, content in contents(repo).items():
        if name.endswith(".yaml"):
            assert ARMOUR.sub("", content.decode()) == ARMOUR.sub("", before[name].decode())
            assert content.count(b"\r\n") == (content.count(b"\n") if name.startswith("own") else 0)
        assert not set(ciphertexts(name, content)) & set(ciphertexts(name, before[name]))
        assert (repo.folder / name).stat().st_mode == modes[name]
    assert (repo.folder / "secrets/c.age").read_bytes().startswith(armour.MAGIC)
    assert (repo.folder / "../shared/d.age").read_bytes().startswith(armour.HEADER.encode())
    assert (repo.folder / "secrets/link.age").is_symlink()
    said = repo("validate", "--strict", MAILPROV_AGE_IDENTITY=ANNA.identity)
    assert said.returncode == 0, said.stderr


def test_who_is_taken_out_opens_nothing_new(repo: Repository) -> None:
    repo("secret", "rekey")
    repo.recipients.write_text(ME.recipient)
    assert repo("secret", "rekey").returncode == 0
    assert opened(repo, ANNA) == set()
    assert opened(repo, ME) == SECRETS


def test_ssh_keys_of_both_kinds(repo: Repository) -> None:
    people = [ssh_person(repo.home, "ed25519"), ssh_person(repo.home, "rsa")]
    repo.recipients.write_text("\n".join(each.recipient for each in people))
    repo.recipients.write_text(f"{repo.recipients.read_text()}\n{ME.recipient}\n")
    assert repo("secret", "rekey").returncode == 0
    assert all(opened(repo, each) == SECRETS for each in people)
    repo.recipients.write_text("\n".join(each.recipient for each in people))
    assert repo("secret", "rekey", "--identity", str(repo.home / "ssh-rsa-False")).returncode == 0
    assert opened(repo, ME) == set()
    assert all(opened(repo, each) == SECRETS for each in people)


def test_nobody_locks_himself_out(repo: Repository) -> None:
    """Who could not open the result could not finish it either, were it cut off."""
    repo.recipients.write_text(ANNA.recipient)
    before = contents(repo)
    failed(repo("secret", "rekey"), 3, ".age-recipients has no recipient for the identity in", "secret init")
    assert contents(repo) == before


def test_all_that_cannot_be_opened_is_told_and_nothing_is_changed(repo: Repository) -> None:
    whole = repo.mail.read_text()
    other = person()
    repo.mail.write_text(
        whole.replace("password: *one", f"password: {{hash: {{age: '{armour.one_line(text('x', other))}'}}}}")
    )
    (repo.folder / "secrets/c.age").write_bytes(sealed("x", ME)[:-1])
    (repo.folder / "../shared/d.age").unlink()
    before = repo.tree()
    said = failed(repo("secret", "rekey"), 3, "4 errors in the declaration")
    lines = {
        name: next(n for n, line in enumerate(repo.mail.read_text().splitlines(), 1) if name in line)
        for name in ("bob@", "c@", "d@")
    }
    assert f"mail.yaml:{lines['bob@']}:49: this is encrypted for other identities than the one in" in said
    assert f"mail.yaml:{lines['c@']}:50: secrets/c.age: this age text or file is damaged" in said
    assert re.search(rf"mail\.yaml:{lines['d@']}:50: .*shared/d\.age.* cannot be read", said)
    assert repo.tree() == before


@pytest.mark.parametrize(
    ("wrong", "code", "told"),
    [
        ({"MAILPROV_AGE_IDENTITY": "hunter2"}, 3, "the age identity in MAILPROV_AGE_IDENTITY holds no age identity"),
        ({"HOME": "/nowhere"}, 3, "no identity to open it: no file /nowhere/.config/mailprov/age.txt"),
        ({"MAILPROV_AGE_IDENTITY_FILE": "/nowhere/key"}, 3, "/nowhere/key cannot be read"),
    ],
    ids=["no identity", "none", "absent"],
)
def test_one_error_for_what_is_wrong_with_the_identity(
    wrong: dict[str, str], code: int, told: str, repo: Repository
) -> None:
    before = repo.tree()
    said = failed(repo("secret", "rekey", **wrong), code, told)
    assert len(said.splitlines()) == 2
    assert "hunter2" not in said
    assert repo.tree() == before


def test_recipients_that_are_none(repo: Repository) -> None:
    repo.recipients.write_text(f"{ME.recipient}\nage1nobody\n\nssh-dss AAAA\n")
    before = repo.tree()
    said = failed(repo("secret", "rekey"), 3, ".age-recipients:2:1: this is no recipient", "2 errors")
    assert ".age-recipients:4:1: this is no recipient" in said
    assert repo.tree() == before


def test_a_declaration_with_faults_is_put_right_first(repo: Repository) -> None:
    repo.mail.write_text(repo.mail.read_text().replace("become: true", "becom: true"))
    before = repo.tree()
    failed(repo("secret", "rekey"), 3, "`becom` is not known here")
    (repo.folder / "people.yaml").write_text(
        f"users: [{{address: a@b, password: {{hash: {{age: '{armour.one_line(text('x', ME))}'}}}}}}]"
    )
    failed(repo("secret", "rekey"), 3, "`age` may stand in the main file only")
    assert {name: data for name, data in repo.tree().items() if name != "people.yaml"} == {
        name: data for name, data in before.items() if name != "people.yaml"
    }


def test_nothing_to_do(repo: Repository) -> None:
    repo.mail.write_text("mailprov: 1\nhosts: {mail.example.com: {}}\n")
    done = repo("secret", "rekey")
    assert (done.returncode, done.stdout) == (0, "")
    assert "encrypted anew for 2 recipients: 0 in 0 files" in done.stderr
    failed(repo("secret", "rekey", "-f", "absent/mail.yaml"), 3, "cannot be read")


# --- all or nothing


def test_what_cannot_be_written_leaves_everything(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full when the third file is staged: nothing was put in its place yet."""
    stage, count = local_files.stage, iter(range(99))

    def full(*given: object, **more: object) -> None:
        if next(count) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        stage(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(local_files, "stage", full)
    before = repo.tree()
    failed(repo("secret", "rekey"), 1, "cannot be written: No space left on device")
    assert repo.tree() == before


@pytest.mark.parametrize("at", range(4))
def test_what_cannot_be_put_in_its_place_takes_the_others_back(
    at: int, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, count = os.replace, iter(range(99))

    def refused(*given: object, **more: object) -> None:
        if next(count) == at:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        put(*given, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "replace", refused)
    before = repo.tree() | contents(repo)
    failed(repo("secret", "rekey"), 1, "cannot be written: Operation not permitted")
    assert repo.tree() | contents(repo) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="chattr needs root")
def test_a_file_that_may_not_be_changed(repo: Repository) -> None:
    """Its folder may be written to, so that it shows last of all: when it is renamed over."""
    file = repo.folder / "own/part.yaml"
    if subprocess.run(("chattr", "+i", file), check=False, capture_output=True).returncode:
        pytest.skip("this file system knows no immutable files")
    before = repo.tree() | contents(repo)
    try:
        failed(repo("secret", "rekey"), 1, "part.yaml cannot be written: Operation not permitted")
    finally:
        subprocess.run(("chattr", "-i", file), check=True)
    assert repo.tree() | contents(repo) == before


def test_who_edits_meanwhile_is_not_overwritten(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = local_files.stage

    def and_somebody_edits(*given: object, **more: object) -> None:
        stage(*given, **more)  # type: ignore[arg-type]
        (repo.folder / "own/part.yaml").write_text("# mine\n")

    monkeypatch.setattr(local_files, "stage", and_somebody_edits)
    before = repo.tree()
    failed(repo("secret", "rekey"), 1, "part.yaml: this file was changed meanwhile")
    assert repo.tree() == before | {"own/part.yaml": b"# mine\n"}


def test_one_at_a_time(repo: Repository) -> None:
    folder = os.open(repo.folder, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        failed(repo("secret", "rekey"), 8, "somebody else is at work on the secrets here")
    finally:
        os.close(folder)
    assert repo("secret", "rekey").returncode == 0


KILLED = """\
import os, signal, sys
from mailprov.commands import main
put, done = os.{act}, 0
def killed(*given, **more):
    global done
    done += 1
    if done == {at} + 1:
        os.kill(os.getpid(), signal.{how})
    return put(*given, **more)
os.{act} = killed
main()
"""


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("act", ["replace", "fsync"])
def test_killed_between_two_files_a_second_run_finishes_it(at: int, act: str, repo: Repository) -> None:
    """SIGKILL before each rename and each fsync: every file is whole, I can open all, and it is done again."""
    before = contents(repo)
    script = KILLED.format(act=act, at=at, how="SIGKILL")
    words = (sys.executable, "-c", script, "secret", "rekey")
    done = subprocess.run(words, cwd=repo.folder, env=repo.environ(), capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert opened(repo, ME) == SECRETS
    exchanged = [name for name, content in contents(repo).items() if content != before[name]]
    assert len(exchanged) == (at if act == "replace" else 0)
    said = repo("validate", "--strict")
    assert said.returncode == 0, said.stderr
    assert repo("secret", "rekey").returncode == 0
    assert opened(repo, ANNA) == opened(repo, ME) == SECRETS
    assert [*repo.folder.rglob(".new-*"), *(repo.folder / "../shared").glob(".*")] == []


@pytest.mark.parametrize("at", range(1, 4))
def test_interrupted_everything_is_as_it_was(at: int, repo: Repository) -> None:
    before = repo.tree() | contents(repo)
    script = KILLED.format(act="replace", at=at, how="SIGTERM")
    words = (sys.executable, "-c", script, "secret", "rekey")
    done = subprocess.run(words, cwd=repo.folder, env=repo.environ(), capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.endswith(b"interrupted\n")
    assert repo.tree() | contents(repo) == before


def test_the_owner_of_a_file_stays_its_owner(repo: Repository) -> None:
    if os.geteuid():
        pytest.skip("only root can tell")
    os.chown(repo.mail, 12345, 54321)
    assert repo("secret", "rekey").returncode == 0
    status = repo.mail.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 54321, 0o640)
