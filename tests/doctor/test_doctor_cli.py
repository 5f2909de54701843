"""The verb's options: what is looked at, and what is refused in words."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from mailprov.commands import doctor, run

HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "a" * 86
DECLARED = f"""
mailprov: 1
hosts:
  mail1: {{address: 127.0.0.1, hostname: mail.example.test}}
  mail2: {{address: 127.0.0.2, hostname: mail2.example.test}}
domains: [{{name: example.test, hosts: [mail1]}}, {{name: other.test, hosts: [mail2]}}]
users:
  - {{address: alice@example.test, password: {{hash: "{HASH}"}}, aliases: [postmaster@example.test]}}
  - {{address: bob@example.test, password: {{hash: "{HASH}"}}, protocols: [imap]}}
  - {{address: postmaster@other.test, password: {{hash: "{HASH}"}}}}
tls: {{self_signed: {{}}}}
services: {{pop3: {{starttls: 20110, tls: 20995}}, imap: {{tls: 20993}}, smtp: {{port: 20025}}}}
"""


@pytest.fixture(autouse=True)
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declaration of a host at which nobody listens."""
    (tmp_path / "mail.yaml").write_text(DECLARED)
    monkeypatch.chdir(tmp_path)
    ask = socket.getaddrinfo

    def answer(host: str, *more: Any, **rest: Any) -> Any:
        return ask("127.0.0.1" if host in ("mail.example.test", "mail2.example.test") else host, *more, **rest)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def look(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    status = run(["doctor", "--from-client", "--format", "json", "--limit", "mail1", *options])
    (host,) = json.loads(capsys.readouterr().out)["hosts"]
    return status, host


@pytest.mark.parametrize(
    ("options", "listeners", "causes"),
    [
        ((), {("pop3", 20110), ("pop3", 20995), ("imap", 20993), ("smtp", 20025)}, ["refused"]),
        (("--user", "alice@example.test"), {("pop3", 20110), ("pop3", 20995), ("imap", 20993)}, ["refused"]),
        (("--user", "BOB@Example.Test"), {("imap", 20993)}, ["refused"]),
        (("--user", "bob@example.test", "--protocol", "pop3", "--security", "tls"), {("pop3", 20995)}, None),
        (("--protocol", "pop3", "--security", "starttls"), {("pop3", 20110)}, ["refused"]),
        (("--protocol", "pop3", "--port", "20111", "--security", "none"), {("pop3", 20111)}, ["refused"]),
        (("--protocol", "imap", "--security", "starttls"), set(), ["not-declared"]),
        (("--protocol", "submission"), set(), ["not-declared"]),
    ],
)
def test_what_is_looked_at(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], listeners: set[Any], causes: list[str] | None
) -> None:
    status, host = look(capsys, *options)
    assert {(check["protocol"], check["port"]) for check in host["checks"]} == listeners
    assert status == 9
    assert [cause["cause"] for cause in host["causes"]] == (causes or ["refused", "protocol-not-allowed"])


def test_hosts_are_those_that_serve_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--from-client", "--format", "json", "--user", "postmaster@other.test"]) == 9
    assert [host["host"] for host in json.loads(capsys.readouterr().out)["hosts"]] == ["mail2"]


def unreachable(host: str, *more: Any, **rest: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


@pytest.mark.parametrize(
    ("options", "name", "ports"),
    [
        (("--provider", "qq"), "QQ Mail", {995, 993, 465}),
        (("--provider", "qq", "--protocol", "submission", "--security", "starttls"), "QQ Mail", {587}),
        (("--provider", "163.com", "--protocol", "pop3", "--port", "110"), "NetEase Mail", {110}),
        (("--provider", "icloud", "--protocol", "pop3"), "iCloud Mail", set()),
        (("--user", "li@hosted.test"), "Fastmail", {995, 993, 465}),
    ],
)
def test_a_provider_is_looked_at(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    name: str,
    ports: set[int],
) -> None:
    """With its own servers; a domain that it hosts leads there, too."""
    Path("mail.yaml").write_text(DECLARED.replace("domains: [", "domains: [{name: hosted.test, hosted_by: fastmail}, "))
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert run(["doctor", "--format", "json", *options]) == 9
    (place,) = json.loads(capsys.readouterr().out)["hosts"]
    assert {check["port"] for check in place["checks"]} == ports
    assert place["host"].startswith(name.split()[0])
    assert [cause["cause"] for cause in place["causes"]] == (["dns-no-name"] if ports else ["not-declared"])


def test_what_people_should_know_of_a_provider(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert run(["doctor", "--provider", "mail.tenxun.com"]) == 9
    said = capsys.readouterr()
    assert "exmail" in said.err and "pop.exmail.qq.com" in said.out and "客户端专用密码" in said.out
    assert run(["doctor", "--provider", "outlook"]) in (1, 9)
    assert "OAuth2" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_forms(capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert run(["doctor", "--from-client", "--format", form, "--host", "mail1"]) == 9
    out = capsys.readouterr().out
    assert "the connection is refused" in out and "告诉用户" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--provider", "fastmale"), "no provider is known as `fastmale`"),
        (("--client", "somewhere"), "`somewhere` is no IP address"),
        (("--user", "alice"), "is not a mail address"),
        (("--user", "alice@elsewhere.test"), "no host here serves elsewhere.test"),
        (("--user", "alice@example.test", "--password-env", "NOT_SET"), "NOT_SET is not set"),
        (("--password-env", "HOME"), "a password without --user"),
        (("--port", "0"), "--port"),
        (("--limit", "mail1", "--ca", "mail.yaml"), "mail.yaml holds no certificate"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str) -> None:
    assert run(["doctor", "--from-client", *options]) == 1
    said = capsys.readouterr()
    assert words in said.err and said.out == ""


def test_addresses_are_written_one_way() -> None:
    assert doctor.ip("2001:DB8::0:1") == "2001:db8::1" and doctor.ip("") == ""
