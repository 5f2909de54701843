"""{age: …} and {sops: …} wherever {env: …} may stand: opened when they are needed, and by nobody else."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from age_tools import Person, block, person, sealed, text
from spec_tools import HASH, NOW

from mailprov.declaration import Reading, load
from mailprov.encrypted import armour
from mailprov.errors import SpecError
from mailprov.model import Purpose, Spec
from mailprov.workflows.secrets import EVERY, PLAN, lacking, require

ANNA, OTHER = person(), person()


class Declared:
    """A declaration with an age value in every place where a secret may stand."""

    def __init__(self, folder: Path, who: Person) -> None:
        self.folder, self.path = folder, folder / "mail.yaml"
        self.key = (folder / "certs/mail.key").read_bytes()
        (folder / "secrets").mkdir(exist_ok=True)
        (folder / "secrets/mail.key.age").write_bytes(armour.armoured(sealed(self.key, who)).encode())
        (folder / "secrets/mail.pem.age").write_bytes(sealed((folder / "certs/mail.pem").read_bytes(), who))
        (folder / "secrets/bob.age").write_bytes(sealed("bobs first battery\n", who))
        self.path.write_text(
            f"""\
mailprov: 1
hosts:
  mail.example.com:
    ssh: {{user: admin}}
    become: true
    become_password:
      age: |
{block("the sudo password", who, indent=8)}\
    tls: {{certificate: {{age: {{file: secrets/mail.pem.age}}}}, key: {{age: {{file: secrets/mail.key.age}}}}}}
services: {{imap: true}}
domains: [example.com]
users:
  - address: postmaster@example.com
    password:
      hash:
        age: >-
{block(HASH, who, indent=10)}\
  - address: alice@example.com
    password: {{initial: {{age: "{armour.one_line(text("alices first battery", who))}"}}}}
  - {{address: bob@example.com, password: {{initial: {{age: {{file: secrets/bob.age}}}}}}}}
handout:
  from: it@example.com
  relay: {{host: smtp.example.org, user: it, password: {{age: "{armour.one_line(text("the relays", who))}"}}}}
"""
        )

    def line(self, words: str) -> int:
        """The number of the first line that holds these words."""
        return next(at for at, line in enumerate(self.path.read_text().splitlines(), start=1) if words in line)

    def load(self, reading: Reading | None = None, who: Person | None = ANNA) -> Spec:
        environ = {"HOME": str(self.folder / "home")} | ({"MAILPROV_AGE_IDENTITY": who.identity} if who else {})
        return load(self.path, environ=environ, now=NOW - timedelta(days=1), reading=reading or Reading())


@pytest.fixture
def declared(with_certificates: Path) -> Declared:
    return Declared(with_certificates, ANNA)


def test_every_secret_may_be_an_age_value(declared: Declared) -> None:
    spec = declared.load()
    assert spec.warnings == ()
    assert lacking(spec, EVERY) == ()
    host = spec.hosts["mail.example.com"]
    assert host.become_password is not None
    assert host.become_password.reveal() == "the sudo password"
    assert host.tls.key is not None
    assert host.tls.key.reveal() == declared.key.decode()
    assert host.tls.chain == (declared.folder / "certs/mail.pem").read_text()
    postmaster, alice, bob = (user.password for user in spec.users)
    assert postmaster.hash is not None
    assert (postmaster.hash.reveal(), postmaster.source) == (HASH, "the age text")
    assert alice.plaintext is not None
    assert alice.plaintext.reveal() == "alices first battery"
    assert bob.plaintext is not None
    assert (bob.plaintext.reveal(), bob.source) == ("bobs first battery", "age file secrets/bob.age")
    relay = spec.handout.relay
    assert relay is not None
    assert relay.password is not None
    assert relay.password.reveal() == "the relays"
    assert "battery" not in repr(spec)


def test_who_needs_none_needs_no_key(declared: Declared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even pyrage; and what is not opened is not looked at, but for being an age text at all."""
    monkeypatch.setitem(__import__("sys").modules, "pyrage", None)
    spec = declared.load(Reading(frozenset()))
    (only,) = lacking(spec, EVERY)  # of the certificate, which is no secret, and wanted at once
    assert (only.what, only.origin.line) == ("age needs pyrage, which is not installed", declared.line("tls:"))
    confined = declared.load(Reading(confined=True), who=None)
    assert lacking(confined, EVERY) == ()
    (declared.folder / "secrets/bob.age").unlink()
    os.mkfifo(declared.folder / "secrets/bob.age")  # which would wait for somebody to write
    for reading in (Reading(frozenset()), Reading(confined=True)):
        assert declared.load(reading, who=None).users[2].password.lacking is None
    (declared.folder / "secrets/bob.age").unlink()
    assert "cannot be read" in str(declared.load(Reading(frozenset()), who=None).users[2].password.lacking)


@pytest.mark.parametrize(
    ("who", "told"),
    [
        (OTHER, "this is encrypted for other identities than the one in MAILPROV_AGE_IDENTITY"),
        (None, "there is no identity to open it: no file "),
        (Person("hunter2", ""), "the age identity in MAILPROV_AGE_IDENTITY holds no age identity in line 1"),
    ],
    ids=["another key", "no key", "no identity at all"],
)
def test_who_needs_it_is_told_once_and_where(who: Person | None, told: str, declared: Declared) -> None:
    spec = declared.load(who=who)
    with pytest.raises(SpecError) as raised:
        require(spec, list(spec.hosts.values()), PLAN)
    error, *named = raised.value.errors
    assert told in error.what
    assert error.origin.line == 7
    tls, hashed = declared.line("tls:"), declared.line("hash:") + 1
    # which files are for another key is told by name; what is wrong with the key, once
    same = (
        f"; the same at \\S+:{tls}:\\d+, \\S+:{tls}:\\d+, \\S+:{hashed}:9$"
        if who is not OTHER
        else f"same at \\S+:{hashed}:9$"
    )
    assert re.search(same, error.what), error.what
    files = ("secrets/mail.pem.age: ", "secrets/mail.key.age: ") if who is OTHER else ()
    assert [each.what for each in named] == [f"{file}{told}" for file in files]
    assert error.fix
    assert "hunter2" not in str(raised.value)


def test_many_places_are_counted(tmp_path: Path) -> None:
    users = "".join(
        f"  - {{address: u{number}@example.com, password: {{hash: {{age: '{armour.one_line(text(HASH, OTHER))}'}}}}}}\n"
        for number in range(9)
    )
    head = "mailprov: 1\nhosts: {mail.example.com: {tls: {self_signed: {}}}}\nservices: {imap: true}\n"
    (tmp_path / "mail.yaml").write_text(
        head + "domains: [{name: example.com, catch_all: u1@example.com}]\nusers:\n" + users
    )
    environ = {"MAILPROV_AGE_IDENTITY": ANNA.identity}
    (only,) = lacking(load(tmp_path / "mail.yaml", environ=environ, now=NOW), EVERY)
    assert only.what.endswith(":11:48 and 3 more places"), only.what


@pytest.mark.parametrize(
    "reading", [Reading(), Reading(frozenset()), Reading(confined=True)], ids=["all", "none", "confined"]
)
def test_a_damaged_text_is_an_error_for_everybody(reading: Reading, declared: Declared) -> None:
    whole = declared.path.read_text()
    for damaged, told in (
        (whole.replace(f"        {armour.FOOTER}\n    tls", "    tls"), "this age text is cut off"),
        (
            whole.replace(f"        {armour.HEADER}\n        YWdl", f"        {armour.HEADER}\n        AWdl", 1),
            "damaged",
        ),
        (re.sub(r"age: \|\n( {8}.*\n)+", "age: TODO\n", whole, count=1), "this is no age text"),
    ):
        assert damaged != whole
        declared.path.write_text(damaged)
        with pytest.raises(SpecError) as raised:
            declared.load(reading)
        (error,) = raised.value.errors
        assert told in error.what
        assert (error.origin.line, error.origin.column) == (7, 7)
        assert "secret encrypt" in error.fix


def test_a_damaged_file_is_an_error_for_whoever_opens_it(declared: Declared) -> None:
    file = declared.folder / "secrets/bob.age"
    data = file.read_bytes()
    for damage in (
        b"",
        b"no age file",
        data[:40],
        data[:-1],
        data[:-1] + b"?",
        armour.armoured(data).encode()[:-40],
        b"\xff" * 50,
    ):
        file.write_bytes(damage)
        with pytest.raises(SpecError) as raised:
            declared.load()
        (error,) = raised.value.errors
        assert (error.origin.line, "secrets/bob.age" in error.what) == (declared.line("bob@"), True), error
        declared.load(Reading(frozenset({Purpose.HASH})))
    file.unlink()
    file.mkdir()
    with pytest.raises(SpecError, match="not a regular file"):
        declared.load()


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("", "the age text is empty"),
        ("two\nlines", "the age text holds more than one line"),
        ("\x00", "the age text holds more than one line, or control characters"),
        (b"\xff\xfe", "the age text is not UTF-8 text"),
        ("x" * 70_000, "the age text holds more than 64 KiB"),
    ],
    ids=["empty", "lines", "control", "binary", "large"],
)
def test_what_is_in_it_is_judged_as_that_of_a_file(secret: str | bytes, told: str, declared: Declared) -> None:
    whole = declared.path.read_text()
    declared.path.write_text(
        re.sub(
            r"(become_password:\n +age: \|\n)( {8}.*\n)+", lambda found: found[1] + block(secret, ANNA, indent=8), whole
        )
    )
    with pytest.raises(SpecError) as raised:
        declared.load()
    (error,) = raised.value.errors
    assert told in error.what


def test_the_line_break_at_its_end_is_none_of_it(declared: Declared) -> None:
    whole = declared.path.read_text()
    for ending in ("\n", "\r\n"):
        declared.path.write_text(
            re.sub(
                r"(become_password:\n +age: \|\n)( {8}.*\n)+",
                lambda found, ending=ending: found[1] + block(f"pass word{ending}", ANNA, indent=8),
                whole,
            )
        )
        password = declared.load().hosts["mail.example.com"].become_password
        assert password is not None
        assert password.reveal() == "pass word"


def test_people_s_parts_name_no_encrypted_secret(declared: Declared) -> None:
    """Else a part could take a secret of the operator's, and have it given to somebody."""
    value = armour.one_line(text("x", ANNA))
    for node in (f"age: '{value}'", "age: {file: secrets/bob.age}", "sops: {file: a.yaml}"):
        (declared.folder / "part.yaml").write_text(
            f"users: [{{address: eve@example.com, password: {{initial: {{{node}}}}}}},\n"
            f"        {{address: mal@example.com, password: {{hash: {{{node}}}}}}}]\n"
        )
        whole = declared.path.read_text().partition("include:")[0]
        declared.path.write_text(whole + "include: [part.yaml]\n")
        with pytest.raises(SpecError) as raised:
            declared.load()
        assert [each.what for each in raised.value.errors] == [
            f"`{node[:4].strip(':')}` may stand in the main file only"
        ] * 2
        if not node.startswith("sops"):
            declared.path.write_text(whole + "include: [{files: part.yaml, trusted: true}]\n")
            whats = [each.what for each in _errors(declared)]
            assert whats == ["the age text: this is not a hash"] or "hash" in " ".join(whats), whats


def _errors(declared: Declared) -> tuple[object, ...]:
    with pytest.raises(SpecError) as raised:
        declared.load()
    return raised.value.errors


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("{age: 5}", "expected text or a mapping, found a number"),
        ("{age: }", "expected text or a mapping, found nothing"),
        ("{age: {}}", "`file` is missing"),
        ("{age: {file: ''}}", "this text is empty"),
        ("{age: {file: a, key: b}}", "`key` is not known here"),
        ("{age: x, env: Y}", "exactly one of `env`, `file`, `age`, `sops` is wanted here"),
        ("{sops: a.yaml}", "expected a mapping, found a text"),
        ("{sops: {key: a}}", "`file` is missing"),
    ],
)
def test_its_form_is_checked(node: str, told: str, declared: Declared) -> None:
    whole = re.sub(r"become_password:\n +age: \|\n( {8}.*\n)+", f"become_password: {node}\n", declared.path.read_text())
    declared.path.write_text(whole)
    assert told in str(_errors(declared)[0])


def test_confined_follows_no_path_out(declared: Declared) -> None:
    for node in ("{age: {file: ../x.age}}", "{sops: {file: ../x.yaml}}"):
        whole = re.sub(
            r"become_password:\n +age: \|\n( {8}.*\n)+|become_password: .*\n",
            f"become_password: {node}\n",
            declared.path.read_text(),
        )
        declared.path.write_text(whole)
        with pytest.raises(SpecError, match="leads out of the folder"):
            declared.load(Reading(confined=True))
