"""Passwords that are reset: by the command line, on a host whose files the host's own functions change."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from passlib.hash import sha512_crypt
from shell_sandbox import Sandbox, me
from simulated_host import BASE, HASH, SimulatedHost, declare

from mailprov.commands import run
from mailprov.connection import connect
from mailprov.connection.fake import FakeHost
from mailprov.credentials.folder import Folder
from mailprov.engine.rollout import HostStatus, Result
from mailprov.engine.transaction import Event, Work
from mailprov.errors import ConnectError, HostError, MailprovError, RevertedError, UndecidedError
from mailprov.observer import Unobserved
from mailprov.workflows import password_reset
from mailprov.workflows.generated_passwords import GeneratedPasswords
from mailprov.workflows.selection import load

TABLE = "/etc/dovecot/mailprov/accounts"
ANN, BEN, BOB, ALICE = (f"{name}@example.com" for name in ("ann", "ben", "bob", "alice"))
Ran = tuple[int, str, str]


@dataclass
class Office:
    """A converged host in memory and its declaration. `shell` carries out what is handed over, and ends with `ends`."""

    folder: Path
    host: SimulatedHost
    mailprov: Callable[..., Ran]
    document: dict[str, Any]
    ends: MailprovError | None = None
    works: list[Work] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    def declare(self, **changes: object) -> None:
        self.document |= changes
        text = yaml.safe_dump(self.document, sort_keys=False).replace("$HASH", f"'{HASH}'")
        (self.folder / "mail.yaml").write_text(text, encoding="utf-8")

    def stored(self, address: str) -> str:
        rows = (line.split(":") for line in self.host.entries[TABLE].content.splitlines())
        return next(row[1] for row in rows if row[0] == address)

    def kept(self) -> Mapping[str, str]:
        return {entry.address: entry.password.reveal() for entry in self.handout.entries()}

    @property
    def handout(self) -> Folder:
        return Folder(self.folder / "handout")

    def reset(self, *words: str, stdin: str = "") -> Ran:
        return self.mailprov("password", "reset", "--yes", *words, stdin=stdin)


def is_hash_of(stored: str, password: str) -> bool:
    return bool(sha512_crypt.verify(password, stored.removeprefix("{SHA512-CRYPT}")))


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Office:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOB_INITIAL", "correct horse")
    host, numbers = SimulatedHost(), itertools.count(1)
    host.become(declare(tmp_path))
    document = yaml.safe_load(BASE)
    for name in ("ann", "ben"):
        host.entries[TABLE].content += f"{name}@example.com:{{SHA512-CRYPT}}$6$of${name}:::initial:::\n"
        document["users"].append({"address": f"{name}@example.com"})
    host.entries[TABLE].content = "".join(sorted(host.entries[TABLE].content.splitlines(keepends=True)))

    def mailprov(*arguments: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        capsys.readouterr()
        status = run(list(arguments))
        return (status, *capsys.readouterr())

    made = Office(tmp_path, host, mailprov, document)
    made.declare()

    def carry_out(
        seen: object, work: Work, session: FakeHost, *, on_event: object, confirm: Callable[[str], None]
    ) -> None:
        made.works.append(work)
        sandbox = Sandbox(tmp_path / f"sandbox{next(numbers)}")
        live, (user, group) = sandbox.etc / "accounts", me()
        live.write_text(host.entries[TABLE].content)
        known = {"@": "1", TABLE: str(live), "root": user, "dovecot": group}
        step = work.steps[0]
        (sandbox.transaction / "new/1").write_bytes(step.payload or b"")
        for command in (step.stage, step.do, *([step.undo] if made.ends else [])):
            done = sandbox.call(*(known.get(word, word) for word in command))
            assert done.returncode == 0, (command, done.stdout + done.stderr)
        host.entries[TABLE].content = live.read_text()
        confirm("")
        if made.ends:
            raise made.ends

    def answer_anew(transaction: str, declared: object, diagnostic: Callable[[], str], observer: object) -> None:
        assert diagnostic() == ""

    def check_login(endpoint: Any, trust: object, account: Any) -> tuple[()]:
        made.tried.append(f"{account.address} {account.password.reveal()} {endpoint.port}")
        return ()

    monkeypatch.setattr(connect, "open_host", lambda declared, **more: host.host())
    monkeypatch.setattr(password_reset, "carry_out", carry_out)
    monkeypatch.setattr(password_reset, "answer_anew", answer_anew)
    monkeypatch.setattr(password_reset, "check_login", check_login)
    host.said["listeners"] = 'LISTEN 0 100 *:993 *:* users:(("dovecot",pid=7,fd=1))\n'
    host.said["listeners"] += "process\t7\t0\t1\t/system.slice/dovecot.service\t\n"
    host.said["cat"] = "/one\n/two\n"
    return made


def test_a_forgotten_password_is_replaced(office: Office) -> None:
    before = office.host.entries[TABLE].content
    # What is declared and not applied yet is no business of a reset.
    office.declare(services={"imap": {"tls": 993}, "pop3": {"tls": 995}})
    status, out, err = office.reset(ANN, "--details", "--end-sessions")
    assert status == 0, err
    assert "accounts /etc/dovecot/mailprov/accounts  1 of 4 accounts changes (1 changed)" in out
    assert f"~ {ANN}  a new password\n" in out and "effect on services: no service is reloaded" in out
    assert "1 password to hand out in ./handout; next: `mailprov handout list`" in err
    password = office.kept()[ANN]
    assert is_hash_of(office.stored(ANN), password) and password not in out + err
    after = office.host.entries[TABLE].content
    assert [row for row in after.splitlines() if ANN not in row] == [
        row for row in before.splitlines() if ANN not in row
    ]
    (work,) = office.works
    assert [step.do[0] for step in work.steps] == ["put", "dismiss"] and work.steps[1].payload == f"{ANN}\n".encode()
    assert work.plan.managed == ("/one", "/two")
    assert work.manifest.splitlines()[2:] == office.host.kept.splitlines()[2:]
    assert work.meta.endswith("reset 1 password")
    assert office.tried == [f"{ANN} {password} 993"]
    (entry,) = office.handout.entries()
    assert (entry.hosts, entry.pending, entry.reset) == (("mail1",), (), True)


def test_each_reset_is_another_password_and_the_former_one_is_not_kept(office: Office) -> None:
    assert office.reset(ANN)[0] == 0
    first = office.kept()[ANN]
    status, out, err = office.reset(ANN, "--format", "json", "--markdown", "r.md")
    assert status == 0
    (host,) = json.loads(out)["hosts"]
    assert (host["verdict"], host["plan"]["changes"][0]["kind"]) == ("applied", "accounts")
    written = (office.folder / "r.md").read_text()
    assert written.startswith("### mailprov password reset: 1 applied\n")
    assert not any(word in out + err + written for word in office.kept().values())
    assert office.kept().keys() == {ANN} and office.kept()[ANN] != first
    assert is_hash_of(office.stored(ANN), office.kept()[ANN])


@pytest.mark.parametrize(
    ("ends", "code"),
    [(RevertedError("put back"), 6), (HostError("nothing was touched"), 1), (UndecidedError("no verdict"), 1)],
)
def test_where_it_is_put_back_the_former_password_holds(office: Office, ends: MailprovError, code: int) -> None:
    assert office.reset(ANN)[0] == 0
    first, stored = office.kept()[ANN], office.stored(ANN)
    office.ends = ends
    status, _, err = office.reset(ANN, BEN)
    assert (status, office.stored(ANN)) == (code, stored)
    if isinstance(ends, UndecidedError):  # nobody knows: the next one decides
        assert all(entry.pending == ("mail1",) and not entry.hosts for entry in office.handout.entries())
        assert "of 2 of them it is not known whether a host took them" in err
        office.ends = None
        assert office.reset(ANN, BEN)[0] == 0
        assert all(is_hash_of(office.stored(name), word) for name, word in office.kept().items())
    else:
        assert office.kept() == {ANN: first}


def test_an_apply_does_not_say_that_a_reset_was_taken(office: Office) -> None:
    office.ends = UndecidedError("no verdict")
    assert office.reset(ANN)[0] == 1
    settled = GeneratedPasswords(office.handout, Unobserved())
    settled.settle([Result("mail1", HostStatus.UNCHANGED)], load(office.folder / "mail.yaml"))
    (entry,) = office.handout.entries()
    assert (entry.hosts, entry.pending) == ((), ("mail1",))


def test_the_password_that_is_asked_for_comes_from_stdin(office: Office) -> None:
    status, out, err = office.reset(BOB, "--ask", stdin="Correct Horse 电池\n")
    assert status == 0 and "Horse" not in out + err
    assert office.kept() == {BOB: "Correct Horse 电池"} and is_hash_of(office.stored(BOB), "Correct Horse 电池")
    assert office.reset(ANN, BOB, "--ask", stdin="x\n")[0] == 1
    status, _, err = office.reset(BOB, "--ask", stdin="\n")
    assert (status, "the password is empty" in err) == (1, True)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("list.csv", "address\nann@example.com\nben@example.com\n"),
        ("list.csv", "邮箱;姓名\nANN@example.com;安\nben@example.com;本\n"),
    ],
)
def test_a_table_names_accounts(office: Office, name: str, body: str) -> None:
    (office.folder / name).write_text(body, encoding="utf-8")
    assert office.reset("--from", name)[0] == 0
    assert office.kept().keys() == {ANN, BEN} and len(office.works) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("address,password\nann@example.com,s3cret\n", "the column `password` holds passwords"),
        ("address,password_hash\nann@example.com,$HASH\n", "the column `password_hash` holds passwords"),
        ("address\n", "this table has a header and no users"),
        ("address\nann\n", "this is not a mail address"),
        ("who\nann@example.com\n", "the first line names no column"),
    ],
)
def test_a_table_of_another_kind_is_refused(office: Office, body: str, said: str) -> None:
    (office.folder / "list.csv").write_text(body.replace("$HASH", HASH))
    status, out, err = office.reset("--from", "list.csv")
    assert (status, said in err, office.works) == (3, True, []), err
    assert "s3cret" not in out + err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 1, "nobody is named"),
        (("ann",), 1, "write the whole address"),
        (("anne@example.com",), 1, "did you mean `ann@example.com`?"),
        ((ALICE,), 1, f"mail.yaml:11:5: the password of {ALICE} is declared as a hash"),
        ((ALICE, "x@example.com", ANN), 1, "2 of 3 passwords cannot be reset; nothing was touched"),
    ],
)
def test_what_cannot_be_reset_is_told(office: Office, words: tuple[str, ...], code: int, said: str) -> None:
    status, _, err = office.reset(*words)
    assert status == code and said.partition(": ")[2] in err, err
    assert office.works == [] and not office.handout.path.exists()
    if words == (ALICE,):
        assert "put another hash there (`mailprov password` makes one), then run `mailprov apply`" in err


def test_a_host_that_is_not_as_declared_yet_is_told(office: Office) -> None:
    content = office.host.entries[TABLE].content
    for there, said in (
        (content.replace("ann@", "nan@"), f"the host has no account {ANN}"),
        (content.replace("ann:::initial", "ann:::managed"), f"the host holds the declaration's password for {ANN}"),
        (f"{content}# a comment\n", "holds lines that are no accounts"),
    ):
        office.host.entries[TABLE].content = there
        status, _, err = office.reset(ANN)
        assert (status, said in err, office.works) == (1, True, []), err
    office.host.entries[TABLE].content, office.host.kept = content, ""
    status, _, err = office.reset(ANN)
    assert (status, "no password can be reset on this host" in err) == (1, True)
    assert not office.handout.path.exists()


def test_without_consent_nothing_is_touched(office: Office) -> None:
    before = office.host.entries[TABLE].content
    status, _, err = office.mailprov("password", "reset", ANN)
    assert (status, "add --yes" in err) == (5, True)
    for number in range(6):
        office.document["users"].append({"address": f"u{number}@example.com"})
        row = f"u{number}@example.com:x:::initial:::\n"
        office.host.entries[TABLE].content = before = before + row
    office.declare()
    many = [f"u{number}@example.com" for number in range(5)]
    status, _, err = office.reset(*many)
    assert (status, "touches 5 of 10 accounts" in err, office.works) == (5, True, [])
    assert office.host.entries[TABLE].content == before and not office.handout.path.exists()
    assert office.reset(*many, "--allow-many")[0] == 0


def test_whoever_interrupts_is_told_what_the_host_does(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the new password is kept: the host may take it."""

    def interrupted(seen: object, work: Work, *_: object, on_event: Callable[[Event], None], **__: object) -> None:
        for number, name in enumerate(("begin", "commit", "await")):
            on_event(Event(1_900_083_900 + number, name, "60 x" if name == "await" else ""))
        raise KeyboardInterrupt

    monkeypatch.setattr(password_reset, "carry_out", interrupted)
    status, _, err = office.reset(ANN)
    assert status == 1
    assert "interrupted: it goes on by itself: it is waiting until 17:06:02Z for confirmation" in err
    assert "look with `mailprov status`" in err
    assert office.kept().keys() == {ANN}


def test_no_password_no_reset(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be kept, no host is touched; where no host is reached, none is kept."""
    (office.folder / "handout").write_text("in the way")
    assert office.reset(ANN)[0] == 1 and office.works == []
    (office.folder / "handout").unlink()

    def gone(declared: object, **_: object) -> FakeHost:
        raise ConnectError("no answer")

    monkeypatch.setattr(connect, "open_host", gone)
    status, _, err = office.reset(ANN)
    assert (status, "mail1: no answer" in err) == (1, True)
    assert not office.handout.path.exists()


def test_two_hosts_have_one_password_and_one_that_fails_is_told(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.declare(hosts={f"mail{n}.example.com": {"address": f"192.0.2.{n}"} for n in (1, 2)})
    real, calls = password_reset.carry_out, []

    def second_fails(*words: Any, **more: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RevertedError("put back")
        real(*words, **more)

    monkeypatch.setattr(password_reset, "carry_out", second_fails)
    status, _, err = office.reset(ANN)
    assert (status, "of 1 of them it is not known" in err) == (7, True), err
    (entry,) = office.handout.entries()
    assert (entry.hosts, entry.pending) == (("mail1.example.com",), ("mail2.example.com",))
    assert office.reset(ANN)[0] == 0
    (entry,) = office.handout.entries()
    assert (entry.hosts, entry.pending) == (("mail1.example.com", "mail2.example.com"), ())


def test_the_former_form_of_the_file_is_read(office: Office) -> None:
    assert office.reset(ANN)[0] == 0
    path = office.handout.passwords
    rows = [*csv.reader(path.read_text(encoding="utf-8-sig").splitlines())]
    path.write_text("\ufeff" + "".join(",".join(row[:-1]) + "\r\n" for row in rows), encoding="utf-8")
    (entry,) = office.handout.entries()
    assert (entry.address, entry.reset) == (ANN, False)
