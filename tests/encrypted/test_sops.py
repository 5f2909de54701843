"""Files of SOPS: what is handed to the program `sops`, and what becomes of whatever it does."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.files import Surroundings, Unavailable, described
from mailprov.encrypted import sops
from mailprov.encrypted.decryption import Decryption
from mailprov.errors import FileError

SECRETS = {"mail": {"sudo": "s3same", "list": ["zero", "one"]}, "number": 5, "plain": "top", "dotted.key": "x"}
PROGRAM = """\
#!{python}
import json, os, sys, time
with open({log!r}, "a") as file:
    print(json.dumps({{"argv": sys.argv[1:], "environ": dict(os.environ), "stdin": sys.stdin.read()}}), file=file)
{act}
"""
ANSWER = """\
if "--output-type" in sys.argv:
    print({json!r})
else:
    print("-----BEGIN PRIVATE KEY-----")
"""


class Fake:
    """A program `sops` on a PATH of its own, that notes how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "calls"
        self.file = folder / "secrets.sops.yaml"
        self.file.write_text("sops: {}\n")
        self.environ = {"PATH": str(folder / "bin")}
        (folder / "bin").mkdir()
        self.does(ANSWER.format(json=json.dumps(SECRETS)))

    def does(self, act: str) -> None:
        path = self.folder / "bin/sops"
        path.write_text(PROGRAM.format(python=sys.executable, log=str(self.log), act=act))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def calls(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def text(self, **node: str) -> str:
        source = {"sops": {"file": "secrets.sops.yaml", **node}}
        return Surroundings(self.folder, self.environ, decryption=Decryption(self.environ)).line(source)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def test_a_key_is_looked_up(fake: Fake) -> None:
    assert fake.text(key="mail.sudo") == "s3same"
    assert fake.text(key="mail.list.1") == "one"
    assert fake.text(key="plain") == "top"
    assert described({"sops": {"file": "a.yaml", "key": "b.c"}}) == "sops file a.yaml, key b.c"


def test_a_whole_file_is_taken_as_it_is(fake: Fake) -> None:
    assert fake.text() == "-----BEGIN PRIVATE KEY-----"
    assert fake.calls()[0]["argv"] == ["--decrypt", str(fake.file)]


def test_a_file_is_opened_once(fake: Fake) -> None:
    by = Decryption(fake.environ)
    assert [by.sops(fake.file, key) for key in ("plain", "mail.sudo", "plain")] == [b"top", b"s3same", b"top"]
    assert [call["argv"] for call in fake.calls()] == [["--decrypt", "--output-type", "json", str(fake.file)]]
    fake.does("sys.exit(128)")
    by = Decryption(fake.environ)
    for _ in range(2):
        with pytest.raises(FileError, match="none of your keys opens it"):
            by.sops(fake.file, "plain")
    assert len(fake.calls()) == 2


def test_it_gets_no_input_and_nothing_of_the_environment_but_its_own(fake: Fake) -> None:
    fake.environ |= {"HOME": "/root", "SOPS_AGE_KEY_FILE": "k", "AWS_PROFILE": "p", "VAULT_TOKEN": "t"}
    secrets = {
        "ALICE_INITIAL": "hunter2",
        "MAILPROV_AGE_IDENTITY": "hunter2",
        "SUDO_PASSWORD": "hunter2",
        "CI_JOB_TOKEN": "x",
    }
    fake.environ |= secrets
    fake.text(key="plain")
    (call,) = fake.calls()
    environ = call["environ"]
    assert isinstance(environ, dict)
    given = {name: value for name, value in environ.items() if name not in ("LC_CTYPE", "PWD", "_", "SHLVL")}
    assert given == {name: value for name, value in fake.environ.items() if name not in secrets}
    assert call["stdin"] == ""


def test_no_name_of_a_file_is_an_option(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fake.folder)
    Path("--exec").write_text("{}")
    sops.decrypted(Path("--exec"), fake.environ)
    assert fake.calls()[0]["argv"] == ["--decrypt", str(fake.folder / "--exec")]


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("absent", "there is no `absent` in it"),
        ("mail.absent", "there is no `mail.absent` in it"),
        ("mail", "`mail` is a mapping"),
        ("mail.list", "`mail.list` is a list"),
        ("mail.list.2", "there is no `mail.list.2`"),
        ("mail.list.-1", "there is no"),
        ("number", "`number` is no text"),
        ("plain.x", "there is no `plain.x`"),
        ("..", "there is no"),
    ],
)
def test_a_key_that_has_no_text(key: str, told: str, fake: Fake) -> None:
    with pytest.raises(InvalidValue, match=r"secrets\.sops\.yaml: ") as raised:
        fake.text(key=key)
    assert told in raised.value.what
    assert raised.value.fix


@pytest.mark.parametrize(
    ("act", "told", "kind"),
    [
        ("sys.exit(128)", "none of your keys opens it", Unavailable),
        ("sys.exit(51)", "its contents and its MAC do not belong together", InvalidValue),
        ("print('hunter2', file=sys.stderr); sys.exit(3)", "sops ended with exit code 3", InvalidValue),
        ("os.kill(os.getpid(), 9)", "sops ended with exit code -9", InvalidValue),
        ("print('hunter2')", "sops did not answer in JSON", InvalidValue),
        ("print('[' * 100_000)", "sops did not answer in JSON", InvalidValue),
        ('print(\'{"plain": "\\\\ud800"}\')', "is not UTF-8 text", InvalidValue),
        ("sys.stdout.write('x' * (5 << 20))", "holds more than 4 MiB", InvalidValue),
    ],
)
def test_whatever_it_does_is_an_error_that_shows_nothing(act: str, told: str, kind: type, fake: Fake) -> None:
    fake.does(act)
    with pytest.raises(InvalidValue) as raised:
        fake.text(key="plain")
    assert told in raised.value.what
    assert type(raised.value) is kind
    assert raised.value.fix
    assert "hunter2" not in f"{raised.value.what} {raised.value.fix}"


def test_it_takes_no_longer_than_it_may(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does what it has started, and what holds its output open."""
    monkeypatch.setattr(sops, "SLOWEST", 1.0)
    pid = fake.folder / "pid"
    fake.does(f"if os.fork(): time.sleep(60)\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="sops took more than 1 s"):
        fake.text(key="plain")
    assert time.monotonic() - begun < 10
    if pid.exists():
        deadline = time.monotonic() + 5
        while Path(f"/proc/{pid.read_text()}").exists() and time.monotonic() < deadline:
            if "Z" in Path(f"/proc/{pid.read_text()}/stat").read_text().split()[2]:
                break  # nobody has waited for it yet
            time.sleep(0.05)
        else:
            assert not Path(f"/proc/{pid.read_text()}").exists()


def test_without_it(fake: Fake) -> None:
    (fake.folder / "bin/sops").unlink()
    with pytest.raises(Unavailable, match="reading it needs sops, which is not on the PATH"):
        fake.text(key="plain")


def test_what_is_no_file_is_not_handed_to_it(fake: Fake) -> None:
    fake.file.unlink()
    with pytest.raises(Unavailable, match="cannot be read"):
        fake.text(key="plain")
    os.mkfifo(fake.file)
    with pytest.raises(InvalidValue, match="a named pipe"):
        fake.text(key="plain")
    assert fake.calls() == []


# --- what it says, without the program


KEYS = st.text(st.characters(exclude_characters=".", codec="utf-8"), min_size=1, max_size=5)
TREES = st.recursive(
    st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=4),
    max_leaves=12,
)


def leaves(tree: object, *way: str) -> list[tuple[str, object]]:
    if isinstance(tree, dict):
        return [leaf for key, inner in tree.items() for leaf in leaves(inner, *way, key)]
    if isinstance(tree, list):
        return [leaf for number, inner in enumerate(tree) for leaf in leaves(inner, *way, str(number))]
    return [(".".join(way), tree)]


@given(TREES, st.text(max_size=12))
def test_every_text_has_a_key_and_nothing_else_has(tree: object, noise: str) -> None:
    document = sops.parsed(json.dumps(tree).encode(), Path("f"))
    for key, value in leaves(tree) if isinstance(tree, dict | list) else ():
        if isinstance(value, str):
            assert sops.value_at(document, key, Path("f")) == value
        else:
            with pytest.raises(FileError):
                sops.value_at(document, key, Path("f"))
    try:
        assert isinstance(sops.value_at(document, noise, Path("f")), str)
    except FileError as error:
        assert error.fix


@given(st.binary(max_size=100))
def test_any_bytes_for_an_answer(data: bytes) -> None:
    try:
        sops.parsed(data, Path("f"))
    except FileError as error:
        assert error.what == "f: sops did not answer in JSON"
