"""Handing out by mail: to a real SMTP server with TLS and a login, which keeps what it is given."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailprov.commands import run
from mailprov.credentials.entries import Entry
from mailprov.credentials.folder import Folder
from mailprov.credentials.passwords import generated
from mailprov.model import Secret

PEOPLE = ("ann", "ben", "cho")
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Desk:
    """What the server was given; `refuse` are recipients that it refuses, `left` how many messages it still takes."""

    messages: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    left: int = 1000

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.left == 0:
            return "421 4.3.2 closing down"
        self.left -= 1
        message = message_from_bytes(envelope.content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        assert envelope.rcpt_tos == [str(message["To"])]
        assert session.ssl is not None
        self.messages.append(message)
        return "250 OK"

    def login(
        self, server: object, session: object, envelope: object, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"relay secret", handled=False)


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - timedelta(1), NOW + timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    chain, secret = folder / "relay.pem", folder / "relay.key"
    chain.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return chain, secret


@dataclass
class Office:
    """A declaration with staff, their passwords in the hand-out folder, and the relay."""

    folder: Path
    desk: Desk
    ca: Path
    passwords: dict[str, str]

    def send(self, *words: str) -> int:
        return run(["handout", "send", "-f", str(self.folder / "mail.yaml"), "--per-minute", "6000", *words])

    def really(self, *words: str) -> int:
        return self.send("--send", "--ca", str(self.ca), *words)

    @property
    def handout(self) -> Folder:
        return Folder(self.folder / "handout")

    @property
    def to(self) -> list[str]:
        return [str(message["To"]) for message in self.desk.messages]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    chain, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    desk = Desk()
    more = {"require_starttls": True, "tls_context": context, "auth_required": True, "authenticator": desk.login}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(desk, hostname="127.0.0.1", port=port, **more)
    controller.start()
    rows = "".join(f"{name}@example.com,{name.title()} 王,{name}@home.example\n" for name in PEOPLE)
    (tmp_path / "staff.csv").write_text(f"address,name,contact\n{rows}dot@example.com,Dot,\n")
    declared = {
        "mailprov": 1,
        "hosts": {"mail.example.com": {"address": "192.0.2.1"}},
        "domains": [{"name": "example.com", "catch_all": "ann@example.com"}],
        "users": [{"from_csv": "staff.csv"}],
        "tls": {"self_signed": {}},
        "services": {"imap": True},
        "handout": {
            "from": "it@example.com",
            "relay": {"host": "localhost", "port": port, "user": "mailprov", "password": {"env": "RELAY"}},
        },
    }
    (tmp_path / "mail.yaml").write_text(yaml.safe_dump(declared))
    monkeypatch.setenv("RELAY", "relay secret")
    monkeypatch.setenv("no_proxy", "*")
    until = (NOW + timedelta(14)).date()
    entries = [
        Entry(f"{name}@example.com", "", "", generated(), ("mail.example.com",), (), NOW, until)
        for name in (*PEOPLE, "dot", "gone")
    ]
    entries.append(Entry("new@example.com", "", "", generated(), (), ("mail.example.com",), NOW, until))
    office = Office(tmp_path, desk, chain, {entry.address: entry.password.reveal() for entry in entries})
    office.handout.change(lambda _: entries)
    try:
        yield office
    finally:
        controller.stop()


def text(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())


def test_only_shown_without_send(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert office.send("--passwords") == 0
    out, err = capsys.readouterr()
    assert "passwords  ann@example.com  → ann@home.example" in out and "nothing was sent: add --send" in out
    assert "dot@example.com: no contact address is known" in err
    assert office.desk.messages == [] and office.handout.sent() == ()
    assert not any(word in out + err for word in office.passwords.values())


def test_each_gets_their_own_password_once(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert office.really("--passwords") == 0
    assert office.to == [f"{name}@home.example" for name in PEOPLE]
    for name, message in zip(PEOPLE, office.desk.messages, strict=True):
        own = office.passwords[f"{name}@example.com"]
        assert (
            own in text(message)
            and f"{name}@example.com" in text(message)
            and f"{name.title()} 王，您好" in text(message)
        )
        assert not any(word in message.as_string() for word in office.passwords.values() if word != own)
        assert (message["From"], message["Auto-Submitted"]) == ("it@example.com", "auto-generated")
        assert not list(message.iter_attachments())
    assert set(office.desk.logins) == {("mailprov", "relay secret")}
    said = "".join(capsys.readouterr())
    assert "3 of 3 sent" in said and not any(word in said for word in office.passwords.values())
    record = (office.folder / "handout" / "sent.csv").read_text()
    assert not any(word in record for word in office.passwords.values())
    assert office.really("--passwords") == 0
    assert len(office.desk.messages) == 3 and "3 sent before" in "".join(capsys.readouterr())
    assert office.really("--passwords", "--again", "ben@example.com") == 0
    assert office.to[3:] == ["ben@home.example"]
    # Whoever has it twice can tell.
    assert office.desk.messages[3]["Message-ID"] == office.desk.messages[1]["Message-ID"]


def test_a_new_password_is_sent_anew(office: Office) -> None:
    assert office.really("--passwords", "ann@example.com") == 0
    later = NOW + timedelta(minutes=1)
    office.handout.change(lambda before: [replace(it, password=Secret("another"), made=later) for it in before])
    assert office.really("--passwords", "ann@example.com") == 0
    assert len(office.desk.messages) == 2 and "another" in text(office.desk.messages[1])


def test_a_password_that_was_reset_comes_with_other_words(office: Office) -> None:
    later = NOW + timedelta(minutes=1)
    office.handout.change(lambda before: [replace(it, made=later, reset=True) for it in before])
    assert office.really("--passwords", "ann@example.com") == 0
    (message,) = office.desk.messages
    said = text(message)
    assert message["Subject"] == "Your new password for ann@example.com / 您的邮箱新密码"
    assert "The former one does not work any more" in said and "原密码已失效" in said
    assert office.passwords["ann@example.com"] in said and "was made for you" not in said and "已为您开通" not in said
    assert "has no capital letters" in said and "密码全部为小写字母" in said
    office.handout.change(lambda before: [replace(it, password=Secret("Gr0ß {x}")) for it in before])
    assert office.really("--passwords", "--again", "ann@example.com") == 0
    said = text(office.desk.messages[1])
    assert "Gr0ß {x}" in said and "capital" not in said and "小写" not in said


def test_a_dead_password_is_not_mailed(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    """The declaration has another one by now, or it is not known whether a host took it."""
    rows = f"ann@example.com,Ann,ann@home.example,{{SHA512-CRYPT}}$6${'s' * 16}${'a' * 86}\n"
    rows += "ben@example.com,Ben,ben@home.example,\ncho@example.com,Cho,cho@home.example,\n"
    (office.folder / "staff.csv").write_text(f"address,name,contact,password_hash\n{rows}")
    unsure = ("mail.example.com",)
    office.handout.change(
        lambda before: [
            replace(it, hosts=(), pending=unsure, reset=True) if it.address.startswith("ben") else it for it in before
        ]
    )
    assert office.really("--passwords", "--again") == 0
    assert office.to == ["cho@home.example"]
    err = capsys.readouterr().err
    assert "ann@example.com: the declaration has its password" in err
    assert "`mailprov password reset ben@example.com` once more" in err


def test_it_goes_on_where_it_was_cut(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.desk.left = 2
    assert office.really("--passwords") == 1
    assert "421" in capsys.readouterr().err
    office.desk.left = 10
    assert office.really("--passwords") == 0
    assert office.to == [f"{name}@home.example" for name in PEOPLE]


def test_who_is_refused_keeps_nobody_else_waiting(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.desk.refuse = {"ben@home.example"}
    assert office.really("--passwords") == 1
    assert office.to == ["ann@home.example", "cho@home.example"]
    assert "1 of 3 were not sent" in (said := capsys.readouterr().err) and "550 5.1.1 no such mailbox" in said
    office.desk.refuse = set()
    assert office.really("--passwords") == 0
    assert office.to[2:] == ["ben@home.example"]


def test_profiles_come_without_a_password(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    made = office.folder / "profiles"
    for name in (*PEOPLE, "dot"):
        folder = made / "people" / f"{name}@example.com"
        folder.mkdir(parents=True)
        (folder / "guide.pdf").write_bytes(b"%PDF-1.7 \x00\xff")
        (folder / "设置.mobileconfig").write_bytes(b"<plist/>")
    assert office.really("--profiles", str(made)) == 0
    assert office.to == [f"{name}@home.example" for name in PEOPLE]
    for message in office.desk.messages:
        files = {it.get_filename(): (it.get_content_type(), it.get_content()) for it in message.iter_attachments()}
        assert files == {
            "guide.pdf": ("application/pdf", b"%PDF-1.7 \x00\xff"),
            "设置.mobileconfig": ("application/x-apple-aspen-config", b"<plist/>"),
        }
        assert not any(word in message.as_string() for word in office.passwords.values())
    # Changed files are news.
    (made / "people" / "cho@example.com" / "guide.pdf").write_bytes(b"%PDF-1.7 new")
    assert office.really("--profiles", str(made)) == 0
    assert office.to[3:] == ["cho@home.example"]
    capsys.readouterr()
    (made / "people" / "ann@example.com" / "note.txt").write_text(office.passwords["ann@example.com"])
    assert office.really("--profiles", str(made)) == 1
    assert "never travel in one message" in capsys.readouterr().err and len(office.desk.messages) == 4


def test_people_get_what_they_open_themselves(office: Office) -> None:
    """The guide to print, the one for the phone, what an Apple device installs; the rest only where it is asked for."""
    made = office.folder / "profiles" / "people" / "ann@example.com"
    made.mkdir(parents=True)
    opened = {"guide.en.pdf", "guide.en.html", "ann@example.com.mobileconfig"}
    others = {"autoconfig.xml", "autodiscover.xml", "mpoprc", "thunderbird-android.png"}
    for name in opened | others:
        (made / name).write_bytes(b"x")
    assert office.really("--profiles", str(made.parent.parent), "ann@example.com") == 0
    assert office.really("--profiles", str(made.parent.parent), "--all-files", "ann@example.com") == 0
    sent = [{it.get_filename() for it in message.iter_attachments()} for message in office.desk.messages]
    assert sent == [opened, opened | others]


def _untrusted(office: Office) -> int:
    return office.send("--passwords", "--send")


def _wrong_password(office: Office) -> int:
    (office.folder / "mail.yaml").write_text(
        (office.folder / "mail.yaml").read_text().replace("env: RELAY", "env: OTHER")
    )
    return office.really("--passwords")


@pytest.mark.parametrize(
    ("trouble", "said"), [(_untrusted, "self-signed"), (_wrong_password, "the relay refuses the login")]
)
def test_trouble_with_the_relay_is_named(
    office: Office,
    trouble: Callable[[Office], int],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTHER", "hunter2")
    assert trouble(office) == 1
    err = capsys.readouterr().err
    assert said in err.replace("self signed", "self-signed") and "Traceback" not in err and "hunter2" not in err
    assert office.desk.messages == [] and office.handout.sent() == ()


def test_no_more_than_so_many_a_minute(office: Office) -> None:
    begun = time.monotonic()
    assert office.really("--passwords", "--per-minute", "120") == 0
    assert 1.0 <= time.monotonic() - begun < 20


@pytest.mark.parametrize("words", [(), ("--passwords", "--welcome"), ("--passwords", "nobody@example.com")])
def test_what_is_not_meant_is_refused(office: Office, words: tuple[str, ...]) -> None:
    assert office.really(*words) == 1 and office.desk.messages == []


# --- list and purge


def test_the_list_shows_who_waits_and_no_password(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert office.really("--passwords", "ann@example.com") == 0
    capsys.readouterr()
    file = str(office.folder / "mail.yaml")
    assert run(["handout", "list", "-f", file]) == 0
    out, err = capsys.readouterr()
    lines = {line.split()[0]: line for line in out.splitlines() if "@" in line}
    assert lines.keys() == {f"{name}@example.com" for name in (*PEOPLE, "dot", "gone", "new")}
    assert f"{datetime.now(UTC):%Y-%m-%d}" in lines["ann@example.com"].split("mail.example.com")[0]
    assert "not declared any more" in lines["gone@example.com"] and "mail.example.com?" in lines["new@example.com"]
    assert "6 passwords in" in out and "5 not sent from here" in out
    assert run(["handout", "list", "-f", file, "--format", "json"]) == 0
    told = capsys.readouterr().out
    waiting = {each["address"]: each for each in json.loads(told)["waiting"]}
    assert waiting.keys() == lines.keys()
    assert [waiting["gone@example.com"]["declared"], waiting["dot@example.com"]["contact"]] == [False, None]
    assert waiting["new@example.com"]["pending"] == ["mail.example.com"]
    assert [name for name, each in waiting.items() if each["sent"]] == ["ann@example.com"]
    assert not any(word in out + err + told for word in office.passwords.values())


def test_programs_are_told_who_was_sent_what(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert office.send("--passwords", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {each["result"] for each in told["messages"]} == {"not sent"} and len(told["messages"]) == len(PEOPLE)
    assert "dot@example.com" in told["without"]
    office.desk.refuse = {"ann@home.example"}
    assert office.really("--passwords", "--format", "json") == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    results = {each["address"]: each["result"] for each in told["messages"]}
    assert results == {f"{name}@example.com": "refused" if name == "ann" else "sent" for name in PEOPLE}
    assert told["failed"][0]["what"] in err
    assert not any(word in out + err for word in office.passwords.values())
    file = str(office.folder / "mail.yaml")
    assert run(["handout", "purge", "-f", file, "--yes", "--format", "json", "ann@example.com"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == ["ann@example.com"]


def test_a_purge_says_what_it_removes(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(office.folder / "mail.yaml")
    assert run(["handout", "purge", "-f", file]) == 5  # there is nobody to ask
    assert run(["handout", "purge", "-f", file, "--yes", "--expired"]) == 0
    assert len(office.handout.entries()) == 6
    yesterday = NOW.date() - timedelta(1)
    office.handout.change(lambda before: [replace(it, until=yesterday) if it.address < "b" else it for it in before])
    capsys.readouterr()
    assert run(["handout", "purge", "-f", file, "--yes", "--expired"]) == 0
    assert "removed 1: ann@example.com" in capsys.readouterr().out
    assert run(["handout", "purge", "-f", file, "--yes", "gone@example.com"]) == 0
    assert len(office.handout.entries()) == 4
    assert run(["handout", "purge", "-f", file, "--yes", "gone@example.com"]) == 1
    assert run(["handout", "purge", "-f", file, "--yes"]) == 0
    assert not office.handout.path.exists() and "4 passwords" in capsys.readouterr().out
    assert run(["handout", "list", "-f", file]) == 0
    assert "nobody waits" in capsys.readouterr().out
