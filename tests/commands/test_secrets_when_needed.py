"""Only the act that needs a secret reads it; whatever else is asked for goes on without, and says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import Ran, Run

from mailprov.commands import run as call

DECLARED = """\
mailprov: 1
hosts:
  mail1: {address: 127.0.0.1, hostname: mail.example.com, ssh: {port: 1, user: admin}, become: true,
          become_password: {env: NO_SUDO}, tls: {certificate: {file: no.pem}, key: {file: no.key}}}
  mail2: {address: 127.0.0.2, hostname: mx.example.net, ssh: {port: 1, user: root}, tls: {self_signed: {}}}
services: {imap: true}
domains: [{name: example.com, hosts: [mail1]}, {name: example.net, hosts: [mail2]}]
users:
  - {address: postmaster@example.com, password: {hash: {env: NO_HASH}}}
  - {address: anna@example.com, password: {initial: {file: no.initial}}}
  - {address: postmaster@example.net}
handout: {from: it@example.com, relay: {host: smtp.example.org, user: it, password: {env: NO_RELAY}}}
"""
LACKING = (
    "mail.yaml:4:28: the environment variable NO_SUDO is not set",
    "mail.yaml:4:63: no.pem cannot be read",
    "mail.yaml:4:84: no.key cannot be read",
    "mail.yaml:9:56: the environment variable NO_HASH is not set",
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line beside DECLARED."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("mail.yaml").write_text(DECLARED, encoding="utf-8")

    def run(*words: str) -> Ran:
        status = call([*words])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


@pytest.mark.parametrize(
    "words",
    [
        ("validate",),
        ("render", "-o", "out"),
        ("dns",),
        ("dns", "--format", "json"),
        ("explain", "mail1"),
        ("profiles", "-o", "out", "--lang", "en"),
    ],
    ids=" ".join,
)
def test_what_asks_no_host_needs_no_secret(words: tuple[str, ...], run: Run) -> None:
    found = run(*words)
    assert found.exit_code == 0, found.output
    assert all(each in found.stderr for each in LACKING), found.stderr
    if "json" in words:
        json.loads(found.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("check-certs",),
        ("verify", "--no-login"),
        ("verify", "--all-users"),
        ("doctor", "--from-client"),
        ("trust", "mail1", "--yes"),
        ("handout", "list"),
        ("handout", "purge"),
        ("handout", "send", "--welcome"),
        ("handout", "send", "--passwords"),
    ],
    ids=" ".join,
)
def test_what_comes_as_a_client_or_looks_at_files_needs_no_secret(words: tuple[str, ...], run: Run) -> None:
    """Nobody listens there, which is another matter."""
    found = run(*words)
    assert found.exit_code in (0, 1, 7, 9), found.output
    assert "errors in the declaration" not in found.output, found.output


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_what_needs_a_secret_says_all_that_it_lacks_before_it_asks_a_host(verb: str, run: Run) -> None:
    words = (verb, *(("--yes",) if verb == "apply" else ()))
    found = run(*words)
    assert found.exit_code == 3
    assert all(each in found.stderr for each in LACKING)
    assert "4 errors in the declaration" in found.stderr
    # a host that needs none of them is asked
    alone = run(*words, "--limit", "mail2")
    assert alone.exit_code == 1
    assert "not set" not in alone.output


@pytest.mark.parametrize(
    "words", [("status",), ("history",), ("purge",), ("rollback", "--yes"), ("doctor",)], ids=" ".join
)
def test_a_session_needs_the_password_of_sudo_and_nothing_else(
    words: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(*words, "--limit", "mail1")
    if words[0] != "doctor":  # which looks on from here
        assert found.exit_code == 3
    assert LACKING[0] in found.output
    monkeypatch.setenv("NO_SUDO", "x")
    found = run(*words, "--limit", "mail1")
    assert found.exit_code in (1, 9)
    assert f"! {LACKING[3]}; it is not needed now" in found.stderr


def test_drift_reads_what_is_there_and_does_without_the_rest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("drift", "--limit", "mail1")
    assert found.exit_code == 3
    assert LACKING[0] in found.stderr.partition("Error: ")[2]
    assert all(each not in found.stderr.partition("Error: ")[2] for each in LACKING[1:])
    monkeypatch.setenv("NO_SUDO", "x")
    found = run("drift", "--limit", "mail1")
    assert found.exit_code == 1, "nobody answers there"
    warned = [
        line for line in found.stderr.splitlines() if line.startswith("! ") and "by its fingerprint alone" in line
    ]
    assert [each for each in LACKING[1:] if not any(each in line for line in warned)] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a fifo that nobody writes")
def test_what_is_not_needed_is_not_opened(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no.key", "no.initial"):
        os.mkfifo(tmp_path / name)
    monkeypatch.setenv("NO_HASH", "not a hash")
    found = run("dns")
    assert found.exit_code == 0
    assert "not a hash" not in found.output
    assert run("validate").exit_code == 3  # it looks at all that is there


def test_strict_counts_the_secrets_that_are_absent(run: Run) -> None:
    found = run("validate", "--strict")
    assert found.exit_code == 3
    assert "4 warnings, and --strict takes warnings for errors" in found.output
    confined = run("validate", "--strict", "--confined")
    assert "1 warning, and --strict" in confined.output, "of the certificate, which is no secret"
    assert LACKING[1] in confined.output


def test_who_reads_a_secret_warns_of_what_is_open_and_weak(run: Run) -> None:
    Path("no.initial").write_text("changeme\n")
    Path("no.initial").chmod(0o644)
    found = run("validate")
    assert "open to others on this machine" in found.stderr
    assert "one of the most common ones" in found.stderr
    for words in (("dns",), ("validate", "--confined")):
        found = run(*words)
        assert found.exit_code == 0
        assert "no.initial" not in found.output
