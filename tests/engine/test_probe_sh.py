"""What probe.sh's functions print is what the resources' readers read, tried on real files by dash."""

from __future__ import annotations

import base64
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulated_host import HASH, NOW, self_signed, sha256

from mailprov.engine import probe, transaction
from mailprov.engine.history import transactions
from mailprov.engine.transaction_state import Station, place
from mailprov.errors import HostError
from mailprov.model import Query
from mailprov.resources import accounts, certificates, files, mail_tree, maps, rows, system_users
from mailprov.standard import REGISTRY

OWN = f"bob@example.com:{HASH}:::initial:::\n"
MANAGED = f"alice@example.com:{HASH}:::managed:::\n"


def parsed(answer: bytes) -> probe.Reply:
    """An answer as it is read everywhere."""
    return probe.parse(answer, REGISTRY.stable)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one of each kind of thing."""
    (tmp_path / "state").mkdir()
    for name, text in {"file": "text\n", "empty": "", "binary": "\0\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "folder").mkdir(mode=0o750)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "accounts").write_text(MANAGED + OWN)
    return tmp_path


def ask(folder: Path, function: str, *names: str) -> str:
    """What one function says about files in the folder."""
    script = f'{probe.functions(REGISTRY)}\nSTATE="{folder}/state"\n"$@"\n'
    words = [str(folder / name) if not name.startswith("/") else name for name in names]
    done = subprocess.run(["dash", "-c", script, "probe", function, *words], capture_output=True, check=False)
    return done.stdout.decode()


def test_files(folder: Path) -> None:
    names = ("file", "empty", "binary", "folder", "link", "dangling", "fifo", "missing")
    found = {Path(key.name).name: item for key, item in files.read({"files": ask(folder, "files", *names)}).items()}
    assert {name: (item.type, item.mode, item.sha256) for name, item in found.items()} == {
        "file": ("file", "640", sha256("text\n")),
        "empty": ("file", f"{(folder / 'empty').stat().st_mode & 0o777:o}", sha256("")),
        "binary": ("file", found["empty"].mode, sha256("\0\n")),
        "folder": ("directory", "750", ""),
        "link": ("symlink", "777", ""),
        "dangling": ("symlink", "777", ""),
        "fifo": ("other", found["empty"].mode, ""),
    }


def test_files_that_were_managed_are_looked_at_too(folder: Path) -> None:
    (folder / "state" / "managed").write_text(f"{folder / 'file'}\n{folder / 'folder'}\n")
    found = files.read({"files": ask(folder, "files", "empty", "file")})
    assert sorted(Path(key.name).name for key in found) == ["empty", "file", "folder"]


def test_accounts_and_their_own_passwords(folder: Path) -> None:
    def digest() -> str:
        [found] = accounts.read({"accounts": ask(folder, "accounts", "accounts")}).values()
        return found.digest

    before = digest()
    assert before == rows.table([MANAGED.strip(), OWN.replace(HASH, "").strip()], ":").digest()
    (folder / "accounts").write_text(MANAGED + OWN.replace("salt", "SALT"))
    assert digest() == before, "a password of one's own is nobody else's business"
    (folder / "accounts").write_text(MANAGED.replace("salt", "SALT") + OWN)
    assert digest() != before


@pytest.mark.parametrize("name", ["missing", "folder", "link", "dangling"])
def test_accounts_that_are_no_plain_file(folder: Path, name: str) -> None:
    found = accounts.read({"accounts": ask(folder, "accounts", name)})
    assert [item.type for item in found.values()] == {"missing": [], "folder": ["directory"]}.get(name, ["symlink"])
    assert all(item.obstacles for item in found.values())


def test_maps_and_their_databases(folder: Path) -> None:
    for name in ("fresh", "stale", "bare"):
        (folder / name).write_text(f"{name}@example.com OK\n")
    for name, age in (("fresh", 0), ("stale", -1_000_000)):
        (folder / f"{name}.db").write_text("database")
        when = (folder / name).stat().st_mtime_ns + age
        os.utime(folder / f"{name}.db", ns=(when, when))
    found = maps.read({"maps": ask(folder, "maps", "fresh", "stale", "bare", "missing")})
    databases = {Path(key.name).name: item.database for key, item in found.items()}
    assert databases == {"fresh": sha256("database"), "stale": "", "bare": ""}
    [fresh, *_] = [item for item in found.values() if item.path.endswith("fresh")]
    assert fresh.digest == rows.table(["fresh@example.com OK"], " ").digest()


def test_what_lies_in_a_maps_place(folder: Path) -> None:
    for name in ("plain", "linked", "blocked"):
        (folder / name).write_text("a@example.com OK\n")
    (folder / "plain.db").write_text("database")
    (folder / "plain.db").chmod(0o666)
    (folder / "linked.db").symlink_to("plain.db")
    (folder / "blocked.db").mkdir()
    answer = ask(folder, "maps", "plain", "linked", "blocked", "fifo", "link", "folder")
    found = {Path(key.name).name: item for key, item in maps.read({"maps": answer}).items()}
    assert {name: item.type for name, item in found.items() if item.type != "file"} == {
        "fifo": "other",
        "link": "symlink",
        "folder": "directory",
    }
    kinds = {name: item.beside[:2] if item.beside else None for name, item in found.items()}
    assert (kinds["plain"], kinds["linked"], kinds["fifo"]) == (("file", "666"), ("symlink", "777"), None)
    assert [Path(path).name for path, _ in found["blocked"].obstacles] == ["blocked.db"]


def test_a_system_user_and_its_group() -> None:
    argv = ["dash", "-c", f"{probe.functions(REGISTRY)}\nsystem_users nobody no-such-user"]
    said = subprocess.run(argv, capture_output=True, check=False).stdout.decode()
    found = system_users.read({"users": said})
    assert [(user.name, user.group) for user in found.values()] == [("nobody", "nogroup")]


def test_mail_that_is_anothers_or_lets_nobody_in(tmp_path: Path) -> None:
    home = tmp_path / "mail"
    for name in ("a.test/good", "a.test/bad mode", "a.test/foreign", "b.test/elsewhere", "file.test"):
        (home / name).mkdir(parents=True)
    (home / "a.test" / "bad mode").chmod(0o600)
    (home / "a.test" / "none").mkdir(mode=0)
    os.chown(home / "a.test" / "foreign", 4321, 4321)
    (home / "a.test" / "file").write_text("")
    (tmp_path / "disk").mkdir()
    (home / "linked.test").symlink_to(tmp_path / "disk")
    os.lchown(home / "linked.test", 4321, 4321)  # whose a link is says nothing
    script = f"{probe.functions(REGISTRY)}\nmail_tree root '{home}'"
    said = subprocess.run(["dash", "-c", script], capture_output=True, check=True).stdout.decode()
    folders = mail_tree.read(said)
    assert {folder.path.removeprefix(f"{tmp_path}/"): folder.mode for folder in folders} == {
        "mail": folders[0].mode,
        "mail/a.test/bad mode": "600",
        "mail/a.test/none": "0",
        "mail/a.test/foreign": "755",
    }
    assert {folder.uid for folder in folders} == {0, 4321}


def test_few_folders_of_mail_are_looked_at(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / "mail" / "a.test" / f"u{number}").mkdir(parents=True)
        os.chown(tmp_path / "mail" / "a.test" / f"u{number}", 4321, 4321)
    script = f"{probe.functions(REGISTRY)}\nmail_tree root '{tmp_path}/mail'"
    said = subprocess.run(["dash", "-c", script], capture_output=True, check=True).stdout.decode()
    assert 400 < len(mail_tree.read(said)) < 600


@given(st.text(max_size=80))
@example("1 a 8 /x")
@example("99999999999999999999 root 755 /var/vmail/a")
@example("0 root 0 /var/vmail")
def test_any_answer_about_mail_is_read(text: str) -> None:
    with suppress(HostError):
        mail_tree.refuse(text, "mail1", mail_tree.Owner("vmail", "/var/vmail", 1), lambda domain, name: True)


@pytest.mark.parametrize(
    ("listening", "tried", "told"),
    [
        ("LISTEN 0 128 [::]:22 [::]:*", "false", False),
        ("LISTEN 0 128 *:22 *:*", "false", False),
        ("LISTEN 0 128 0.0.0.0:22 0.0.0.0:*", "true", False),
        ("LISTEN 0 128 0.0.0.0:22 0.0.0.0:*", "false", True),
        ("", "false", True),
    ],
)
def test_whether_there_can_be_ipv6_sockets(listening: str, tried: str, told: bool) -> None:
    fake = f"ss() {{ echo '{listening}'; }}; perl() {{ {tried}; }}"
    argv = ["dash", "-c", f"{probe.functions(REGISTRY)}\n{fake}\nlisteners"]
    said = subprocess.run(argv, capture_output=True, check=False).stdout.decode()
    lines = [line for line in said.splitlines() if not line.startswith("process\t1\t")]
    assert lines == [listening, *(["ipv6 none"] if told else [])]


def test_content_is_a_files_alone(folder: Path) -> None:
    assert base64.b64decode(ask(folder, "content", "binary")) == b"\0\n"
    assert ask(folder, "content", "folder") == ask(folder, "content", "missing") == ""


def test_certificates(folder: Path) -> None:
    key = folder / "key.pem"
    for name, until in (("one", 30), ("two", 60)):
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=x", "-addext", f"subjectAltName=DNS:{name}.example", "-days", str(until)]
        out = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
        subprocess.run([*request, *names, *out], check=True, capture_output=True)
    key.write_text(self_signed(("no.key",), NOW.replace(year=2031)))
    words = ("one.crt", "one.key", "two.crt", "one.key", "missing", "missing", "two.crt", "file", "file", "one.key")
    text = ask(folder, "certificates", *words[:8])
    found = {Path(key.name).name: item for key, item in certificates.read({"certificates": text}).items()}
    assert found["one.crt"].matches
    assert found["one.crt"].names == ("one.example",)
    assert found["one.crt"].issued == "self"
    assert found["one.crt"].key_mode == f"{(folder / 'one.key').stat().st_mode & 0o777:o}"
    assert not found["two.crt"].matches
    assert "missing" not in found
    assert not certificates.read({"certificates": ask(folder, "certificates", *words[8:])})


def test_a_whole_script_is_one_answer_and_writes_nothing(folder: Path) -> None:
    before = sorted((path.name, path.lstat().st_mtime_ns) for path in folder.rglob("*"))
    queries = [
        Query("files", "files", (str(folder / "file"),)),
        Query("more", "content", (str(folder / "file"),)),
    ]
    done = subprocess.run(
        ["dash", "-s"], input=probe.script(REGISTRY, queries), capture_output=True, check=True, cwd=folder
    )
    answer = parsed(done.stdout)
    assert base64.b64decode(answer.sections["more"].strip()) == b"text\n"
    assert [Path(key.name).name for key in files.read(answer.sections)] == ["file"]
    assert sorted((path.name, path.lstat().st_mtime_ns) for path in folder.rglob("*")) == before


HOSTILE = st.lists(
    st.sampled_from(
        ["", "a", "a b", "files x", " ", "\t", "é", "\x85", probe.BEGIN, probe.END, "$mark files", "0-0 files"]
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(HOSTILE, st.booleans()), max_size=4))
@example([(["", ""], True), (["", ""], False), ([], False), (["a", "", "", "b"], False), (["", "a", ""], True)])
def test_no_text_passes_for_another_sections(said: list[tuple[list[str], bool]]) -> None:
    texts = ["\n".join(rows) + ("\n" if ended and rows else "") for rows, ended in said]
    script = probe.script(REGISTRY, [Query(f"s{number}", "printf", ("%s", text)) for number, text in enumerate(texts)])
    done = subprocess.run(["dash", "-s"], input=script, capture_output=True, check=True)
    assert parsed(done.stdout).sections == {
        f"s{number}": text + ("\n" if text and not text.endswith("\n") else "") for number, text in enumerate(texts)
    }


def test_what_ends_the_shell_leaves_no_answer() -> None:
    script = probe.script(REGISTRY, [Query("facts", "facts"), Query("dead", "exit", ("3",)), Query("users", "true")])
    with pytest.raises(HostError, match="cut short"):
        parsed(subprocess.run(["dash", "-s"], input=script, capture_output=True).stdout)


def test_what_is_asked_reads_none_of_the_script() -> None:
    script = probe.script(REGISTRY, [Query("in", "cat"), Query("out", "echo", ("here",))])
    done = subprocess.run(["dash", "-s"], input=script, capture_output=True, check=True)
    assert parsed(done.stdout).sections == {"in": "", "out": "here\n"}


def test_the_host_computes_the_same_digest(folder: Path) -> None:
    queries = [
        Query("files", "files", (str(folder / "file"),)),
        Query("facts", "content", (str(folder / "file"),)),
    ]
    said = subprocess.run(["dash", "-s"], input=probe.script(REGISTRY, queries), capture_output=True, check=True).stdout
    stable = "|".join(sorted(REGISTRY.stable))
    seen = subprocess.run(
        ["dash", "-c", f"grep -aE '^({stable}) ' | sha256sum"], input=said, capture_output=True, check=True
    )
    assert seen.stdout.decode().split()[0] == parsed(said).digest


@pytest.mark.parametrize("active", [True, False])
def test_an_open_transaction_tells_the_last_event_of_each_name(folder: Path, active: bool) -> None:
    name = "20300318T170459Z-abcdef"
    journal = [
        f"{1_900_083_900 + at} {line}"
        for at, line in enumerate(
            ["begin", "do 1", "done 1", "do 2", "says one", "says two  words", "failed 2", "revert", "verdict mixed"]
        )
    ]
    (folder / "state" / "txn" / name).mkdir(parents=True)
    (folder / "state" / "txn" / name / "journal").write_text("".join(f"{line}\n" for line in (*journal, " torn")))
    (folder / "state" / "open").write_text(f"{name}\n")
    (folder / "state" / "holder").write_text("anna@desk 3 changes\n")
    systemctl = f"systemctl() {{ echo {'active' if active else 'inactive'}; }}"
    script = f'{probe.functions(REGISTRY)}\nSTATE="{folder}/state"\n{systemctl}\ntransactions\n'
    said = subprocess.run(["dash", "-c", script], capture_output=True, check=False).stdout.decode()
    found = transactions({"transactions": said})
    assert (found.open, found.holder) == (name, "anna@desk 3 changes" if active else "")
    kept = [journal[0], *journal[2:4], *journal[5:]]
    assert [line for line in found.events if line != " torn"] == kept
    where = place([event for line in found.events if (event := transaction.event(line))])
    assert where.station is Station.INCOMPLETE
    assert where.reason == "two  words"
