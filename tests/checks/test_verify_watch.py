"""mailprov check-certs, against real servers with certificates of every age."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from verify_minimail import MiniMail
from verify_servers import DAY, NAME, NOW, Identity, identity

from mailprov.checks import Cause, Check, Endpoint, Watched, watched
from mailprov.commands import run

END = Endpoint("pop3", "tls", "192.0.2.10", 995, NAME)


def check(step: str, ok: bool = True, days: float | None = None) -> Check:
    until = NOW + days * DAY if days is not None else None
    cause = Cause.NONE if ok else Cause.PIN_MISMATCH
    return Check(END, step, ok, 0.1, "said", "error", cause, until)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("checks", "narrowed", "status", "days"),
    [
        ([check("connect"), check("certificate", days=21.5)], (), "ok", 21),
        ([check("connect"), check("certificate", days=20.9)], (), "soon", 20),
        ([check("connect"), check("certificate", days=50), check("declared certificate", ok=False)], (), "failed", 50),
        ([check("connect"), check("certificate", ok=False, days=-1.5)], (), "failed", -2),
        ([check("connect", ok=False)], (), "failed", None),
        ([check("connect", ok=False)], (995,), "not seen", None),
        ([check("connect"), check("tls", ok=False)], (995,), "failed", None),
        ([check("connect")], (), "failed", None),
    ],
)
def test_watched(checks: list[Check], narrowed: tuple[int, ...], status: str, days: int | None) -> None:
    found = watched("mail1", END, checks, NOW, 21, narrowed)
    assert (found.status, found.days, found.wrong) == (status, days, status in ("soon", "failed"))
    assert bool(found.detail) is (status != "ok")
    assert isinstance(found, Watched)


Go = Callable[..., tuple[int, str, str]]


@pytest.fixture
def go(serve, ca: Identity, tmp_path: Path, monkeypatch, capsys) -> Go:  # type: ignore[no-untyped-def]
    """go(served, declared, *options): `declared` stands in mail.yaml, `served` is what POP3S and SMTP really show."""
    monkeypatch.chdir(tmp_path)

    def start(served: Identity | None, declared: Identity, *options: str) -> tuple[int, str, str]:
        (tmp_path / "mail.pem").write_text(declared.pem)
        (tmp_path / "mail.key").write_text(declared.key_pem)
        ports = [1, 2]
        if served is not None:
            mail = MiniMail(served.context(tmp_path))
            kinds = (("pop3", "tls"), ("smtp", "starttls"))
            ports = [serve(mail.script(*kind), *kind)[0].port for kind in kinds]
        (tmp_path / "mail.yaml").write_text(
            f"mailprov: 1\nhosts: {{mail1: {{address: 127.0.0.1, hostname: {NAME}, ssh: {{port: 1022}}}}}}\n"
            "domains: [example.com]\ntls: {certificate: {file: mail.pem}, key: {file: mail.key}}\n"
            f"services: {{pop3: {{tls: {ports[0]}}}, smtp: {{port: {ports[1]}}}}}\n"
        )
        status = run(["check-certs", *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return start


def test_all_is_well(go: Go, good: Identity) -> None:
    status, out, err = go(good, good)
    assert status == 0, out + err
    assert (
        len(re.findall(r"^mail1  (?:pop3  .*tls|smtp  .*starttls) +\d+ +59 days  \d{4}-\d\d-\d\d  ok$", out, re.M)) == 2
    )
    assert "the first certificate ends in 59 days" in out


@pytest.mark.parametrize(("least", "code"), [("59", 0), ("60", 9), ("0", 0)])
def test_the_threshold_is_the_users(go: Go, good: Identity, least: str, code: int) -> None:
    assert go(good, good, "--warn", least)[0] == code


def test_a_certificate_that_ends_soon(go: Go, ca: Identity) -> None:
    old = identity(issuer=ca, end=NOW + 10 * DAY)
    status, out, _ = go(old, old, "--format", "json")
    assert status == 9
    told = json.loads(out)
    assert told["right"] is False
    assert [(each["status"], each["days"]) for each in told["listeners"]] == [("soon", 9)] * 2


def test_a_renewed_certificate_that_nobody_has_taken_up(go: Go, good: Identity, ca: Identity) -> None:
    status, out, _ = go(good, identity(issuer=ca, end=NOW + 90 * DAY))
    assert status == 9
    assert out.count("failed: declared certificate: another certificate is served") == 2


def test_nothing_listens(go: Go, good: Identity) -> None:
    status, out, _ = go(None, good)
    assert status == 9
    assert out.count("failed: connect: ") == 2


def test_an_undeclared_host(go: Go, good: Identity) -> None:
    status, _, err = go(good, good, "--limit", "mial1")
    assert (status, "did you mean `mail1`?" in err) == (1, True)


def test_a_host_that_cannot_be_asked_is_looked_at_all_the_same(go: Go, good: Identity, tmp_path: Path) -> None:
    assert go(good, good)[0] == 0
    text = (tmp_path / "mail.yaml").read_text()
    kept = "on_host: {certificate: /etc/a.pem, key: /etc/a.key}"
    (tmp_path / "mail.yaml").write_text(re.sub(r"certificate: \{.*?\}, key: \{.*?\}", kept, text))
    assert run(["check-certs", "--no-ssh"]) == 0
    assert run(["check-certs"]) == 1  # no SSH server is there: the certificates are well, the comparison is not made
