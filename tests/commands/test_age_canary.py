"""A canary in every place of a declaration where an age value can stand: no output, plan or file here ever holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from age_tools import block, person, sealed, text
from secret_repository import Ran, Repository
from simulated_host import SimulatedHost

from mailprov.connection import connect
from mailprov.connection.fake import Call, FakeHost
from mailprov.declaration import load
from mailprov.encrypted import armour
from mailprov.errors import HostError
from mailprov.workflows.secrets import EVERY, lacking

ME = person()
MEMORY = "/dev/shm"  # noqa: S108 - where editors are given what they edit
CANARIES = {
    "sudo": "canary-5udo battery",
    "hash": "{SHA512-CRYPT}$6$canary5canary5$" + "c" * 86,
    "initial": "canary-1nitial battery",
    "list": "canary-1ist battery",
    "relay": "canary-re1ay battery",
    "sops": "canary-50ps battery",
    "outgoing": "canary-0utgoing battery",
}
COMMANDS = (
    ("validate",),
    ("validate", "--strict"),
    ("validate", "--confined"),
    ("explain", "mail1"),
    ("explain", "mail1.become_password", "--format", "json"),
    ("explain", "mail1", "--format", "json"),
    ("render", "-o", "rendered"),
    ("dns",),
    ("dns", "--format", "json"),
    ("profiles", "-o", "profiles", "--lang", "en", "--user", "bob@example.com"),
    ("plan",),
    ("plan", "--details", "--detailed-exitcode"),
    ("plan", "--format", "json", "--details", "--out", "json.plan"),
    ("plan", "--format", "markdown", "--out", "markdown.plan"),
    ("apply", "--details"),
    ("apply", "--yes", "--details", "--format", "json"),
    ("apply", "json.plan", "--yes"),
    ("status", "--format", "json"),
    ("validate", "--json", "validate.json", "--sarif", "validate.sarif"),
    ("plan", "--details", "--json", "plan.json", "--markdown", "plan.md"),
    ("show", "json.plan", "--details", "--json", "shown.json", "--markdown", "shown.md"),
    ("drift", "--details", "--json", "drift.json", "--markdown", "drift.md"),
    ("apply", "--yes", "--json", "apply.json", "--markdown", "apply.md"),
    ("verify", "--json", "verify.json", "--markdown", "verify.md", "--junit", "verify.xml"),
    ("doctor", "mail1", "--json", "doctor.json", "--markdown", "doctor.md"),
    ("test", "--details", "--json", "t.json", "--markdown", "t.md", "--junit", "t.xml", "--sarif", "t.sarif"),
    ("test", "--plan", "json.plan", "--details"),
    ("history",),
    ("purge",),
    ("doctor", "mail1"),
    ("verify", "--format", "json"),
    ("handout", "list"),
    ("users", "import", "staff.csv"),
    ("secret", "init"),
    ("secret", "rekey"),
    ("secret", "encrypt", "--at", "mail.yaml:9"),
    ("secret", "edit", "secrets/initial.age"),
    ("validate", "--identity", "../home/other"),
    ("plan", "--identity", "../home/other"),
)
EXPECTATIONS = """\
expectations: 1
logins: [{user: "*", by: pop3}]
limits: [{of: quota, at_most: 1GiB}]
plan: [{of: accounts_closed, at_most: 0}]
"""


class Watch:
    """Which files are opened to be written, as far as it listens: a hook cannot be taken back."""

    def __init__(self) -> None:
        self.written: set[str] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: Sequence[object]) -> None:
        writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        if self.written is not None and event == "open" and isinstance(given[2], int) and given[2] & writing:
            self.written.add(str(given[0]))


WATCH = Watch()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A declaration that has each canary once, and a host in memory behind every session."""
    made = Repository(tmp_path)
    ME.write(made.identity)
    person().write(made.home / "other")
    made.recipients.write_text(ME.recipient + "\n")
    request = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=mail.example.com", "-addext", "subjectAltName=DNS:mail.example.com", "-days", "90")
    out = ("-keyout", str(made.home / "key"), "-out", str(made.folder / "mail.pem"))
    subprocess.run((*request, *names, *out), check=True, capture_output=True)
    (made.folder / "secrets").mkdir()
    (made.folder / "secrets/mail.key.age").write_bytes(sealed((made.home / "key").read_bytes(), ME))
    (made.folder / "secrets/initial.age").write_text(text(CANARIES["initial"], ME))
    (made.folder / "staff.csv").write_text("address\nlisted@example.com\n")
    (made.folder / "secrets.sops.yaml").write_text("sops: {}\n")
    (made.home / "bin").mkdir()
    (made.home / "bin/sops").write_text(f"#!/bin/sh\necho '{json.dumps({'a': {'b': CANARIES['sops']}})}'\n")
    (made.home / "bin/sops").chmod(0o755)
    made.mail.write_text(declared())
    monkeypatch.setattr(connect, "open_host", lambda declared, **more: FakeHost("mail1", _answered))
    return made


def _answered(call: Call) -> bytes:
    """What a host says that can be looked at, and takes no work."""
    if call.argv != ("sh", "-s"):
        raise HostError("this host is only looked at")
    return SimulatedHost().respond(call)


def declared() -> str:
    return f"""\
mailprov: 1
hosts:
  mail1:
    address: 192.0.2.10
    hostname: mail.example.com
    ssh: {{user: admin}}
    become: true
    become_password:
      age: |
{block(CANARIES["sudo"], ME, indent=8)}
domains: [example.com]
tls: {{certificate: {{file: mail.pem}}, key: {{age: {{file: secrets/mail.key.age}}}}}}
services: {{imap: {{tls: 993}}, submission: {{starttls: 587}}, smtp: {{port: 25}}}}
users:
  - {{address: postmaster@example.com, password: {{hash: {{age: "{armour.one_line(text(CANARIES["hash"], ME))}"}}}}}}
  - {{address: bob@example.com, password: {{initial: {{age: {{file: secrets/initial.age}}}}}}}}
  - {{address: carl@example.com, password: {{initial: {{sops: {{file: secrets.sops.yaml, key: a.b}}}}}}}}
  - from_csv:
      file: staff.csv
      defaults: {{password: {{initial: {{age: '{armour.one_line(text(CANARIES["list"], ME))}'}}}}}}
outgoing:
  relay: {{host: smtp.example.net, user: us, password: {{age: '{armour.one_line(text(CANARIES["outgoing"], ME))}'}}}}
handout:
  from: it@example.com
  relay: {{host: smtp.example.org, user: it, password: {{age: '{armour.one_line(text(CANARIES["relay"], ME))}'}}}}
"""


def environ(repo: Repository) -> dict[str, str]:
    temp = repo.home / "tmp"
    temp.mkdir(exist_ok=True)
    path = f"{repo.home / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "TMPDIR": str(temp), "EDITOR": "true"}


def test_the_canaries_are_all_read(repo: Repository) -> None:
    """Else it would be easy to find none of them."""
    spec = load(repo.mail, environ=repo.environ(**environ(repo)), now=datetime.now(UTC))
    assert lacking(spec, EVERY) == ()
    host, relay = spec.hosts["mail1"], spec.handout.relay
    assert host.become_password is not None and host.tls.key is not None and relay is not None
    assert relay.password is not None and host.outgoing.relay is not None
    passwords = [user.password.hash or user.password.plaintext for user in spec.users]
    found = {
        each.reveal()
        for each in (host.become_password, relay.password, host.outgoing.relay.password, *passwords)
        if each is not None
    }
    assert found == set(CANARIES.values())
    assert host.tls.key.reveal() == (repo.home / "key").read_text()


def test_nothing_that_is_said_or_written_holds_one(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    more = environ(repo)
    key = [line for line in (repo.home / "key").read_text().splitlines() if not line.startswith("-")]
    hidden = {**CANARIES, "salt and digest": CANARIES["hash"].rpartition("$")[2]} | {
        f"key {n}": line for n, line in enumerate(key)
    }
    (repo.home / "key").rename(repo.home.parent / "key")  # the one place where it may be
    monkeypatch.setenv("TMPDIR", more["TMPDIR"])
    (repo.folder / "tests").mkdir()
    (repo.folder / "tests/team.yaml").write_text(EXPECTATIONS)
    codes: dict[tuple[str, ...], int] = {}
    WATCH.written = set()
    try:
        for words in COMMANDS:
            done: Ran = repo(*words, stdin="another battery", **more)
            codes[words] = done.returncode
            assert [name for name, canary in hidden.items() if canary in done.stdout + done.stderr] == [], words
            assert "mistake" not in done.stderr, done.stderr
    finally:
        written, WATCH.written = WATCH.written, None
    # what is said was worth looking at: these found all that they needed, and those say that they cannot open it
    assert {words for words, code in codes.items() if code == 0} >= {
        *COMMANDS[:11],
        COMMANDS[12],
        COMMANDS[13],
        *COMMANDS[-6:-1],
    }, codes
    assert (codes[COMMANDS[11]], codes[COMMANDS[-1]]) == (2, 3)
    # neither is it in any file that is left, here or in the folders for what is temporary
    left = [path for folder in (repo.folder, repo.home) for path in folder.rglob("*") if path.is_file()]
    written_out = {word for words in COMMANDS for word in words if word.endswith((".plan", ".md", ".xml", ".sarif"))}
    assert {path.name for path in left} >= {*written_out, "t.json", "drift.json", "mail.yaml"}
    assert len([path for path in left if "rendered" in path.parts]) > 5
    for path in left:
        content = path.read_bytes()
        if path.name != "sops":
            assert [name for name, canary in hidden.items() if canary.encode() in content] == [], path
    assert list((repo.home / "tmp").iterdir()) == []
    # and for a moment it was in one file only: that of the editor, in memory
    elsewhere = {path for path in written if path.startswith("/") and not path.startswith(str(repo.home.parent))}
    in_memory = {path for path in elsewhere if path.startswith(f"{MEMORY}/mailprov-")}
    compiled = {path for path in elsewhere if "__pycache__" in path}  # what Python keeps of our sources
    assert elsewhere - in_memory - compiled <= {os.devnull}
    assert len(in_memory) >= 1
    assert not any(Path(path).parent.exists() for path in in_memory)
