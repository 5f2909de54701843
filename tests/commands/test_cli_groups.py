"""Groups on the command line: --limit takes them, and `explain` says where a host's settings come from."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailprov.commands import run
from mailprov.engine import plan_file
from mailprov.errors import MailprovError
from mailprov.model import Spec
from mailprov.workflows import selection

CANARY = "canary-5ecret"
DECLARED = """\
mailprov: 1
tls: {self_signed: {}}
services: {imap: {tls: 993}, smtp: true}
hosts:
  mail1: {address: 192.0.2.1, hostname: m1.example.com, ssh: {user: root}}
  mail.example.com: {address: 192.0.2.2, become: false}
  other: {address: 192.0.2.3, hostname: m3.example.com}
groups:
  europe: {ssh: {user: admin}, become: true, become_password: {env: SUDO}}
  edge: {parent: europe, hosts: [mail1, mail.example.com], services: {imap: false}}
  spare:
domains: [{name: example.com, catch_all: postmaster@example.com}]
users: [{address: postmaster@example.com, password: {initial: {env: PW}}}]
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mailprov(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line beside DECLARED: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUDO", CANARY)
    monkeypatch.setenv("PW", CANARY)
    (tmp_path / "mail.yaml").write_text(DECLARED, encoding="utf-8")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        capsys.readouterr()
        status = run(list(arguments))
        said = capsys.readouterr()
        assert CANARY not in said.out + said.err
        return status, said.out, said.err

    return call


def declared(folder: Path) -> Spec:
    """DECLARED, loaded."""
    return selection.load(folder / "mail.yaml")


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        ((), ["mail.example.com", "mail1", "other"]),
        (("edge",), ["mail.example.com", "mail1"]),
        (("europe",), ["mail.example.com", "mail1"]),
        (("edge", "other"), ["mail.example.com", "mail1", "other"]),
        (("mail1", "edge"), ["mail.example.com", "mail1"]),
    ],
)
def test_limit_takes_hosts_and_groups(limit: tuple[str, ...], chosen: list[str], mailprov: Run, tmp_path: Path) -> None:
    assert [host.name for host in selection.hosts(declared(tmp_path), limit)] == chosen
    arguments = [word for name in limit for word in ("--limit", name)]
    status, out, _ = mailprov("validate", *arguments)
    assert (status, f"is valid: {len(chosen)} hosts" in out) == (0, True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("egde", "no host or group is called `egde`\n  to do: did you mean `edge`?"),
        ("mial1", "did you mean `mail1`?"),
        ("zzz", "declared are: mail1, mail.example.com, other, europe, edge, spare"),
        ("spare", "the group `spare` has no hosts"),
    ],
)
def test_limit_to_nothing_is_an_error(name: str, said: str, mailprov: Run) -> None:
    status, out, err = mailprov("validate", "--limit", name)
    assert (status, out, said in err) == (1, "", True)


def test_a_kept_plan_for_some_hosts_of_a_group_is_not_for_the_group(mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "plan").write_text(plan_file.dump(True, ()), encoding="utf-8")
    status, out, err = mailprov("apply", "plan", "--yes", "--limit", "edge")
    assert (status, out) == (1, "")
    assert "the plan is not for all of these hosts" in err


def test_a_verb_for_one_host_takes_no_group(mailprov: Run, tmp_path: Path) -> None:
    for verb in ("trust", "explain"):
        status, out, err = mailprov(verb, "edge")
        assert (status, out) == (1, "")
        assert "`edge` is a group\n  to do: name one of its hosts: mail1, mail.example.com" in err
    assert selection.host(declared(tmp_path), "mail1").name == "mail1"
    with pytest.raises(MailprovError, match="no host is called"):
        selection.host(declared(tmp_path), "mail2")


def test_explain_a_key(mailprov: Run) -> None:
    status, out, err = mailprov("explain", "mail1.ssh.user")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "mail1",
        "  ssh.user  root  host, mail.yaml:5:69",
        "              overrides admin  group europe, mail.yaml:9:24",
    ]
    status, out, _ = mailprov("explain", "mail.example.com.services.imap")
    assert (status, out.splitlines()[0]) == (0, "mail.example.com")
    assert [line.split()[0] for line in out.splitlines()[1:] if "overrides" not in line] == [
        "services.imap.starttls",
        "services.imap.tls",
    ]


def test_explain_a_host_as_a_program_reads_it(mailprov: Run) -> None:
    status, out, err = mailprov("explain", "mail1", "--format", "json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert (document["format"], document["host"]) == (1, "mail1")
    found = {row["key"]: row for row in document["settings"]}
    assert found["become_password"]["value"] == "<secret>"
    assert found["become_password"]["note"] == "env SUDO"
    assert found["ssh.connect_timeout"] == {
        "key": "ssh.connect_timeout",
        "value": 10,
        "level": "default",
        "place": None,
        "note": "",
        "overridden": [],
    }
    assert found["services.imap.tls"] == {
        "key": "services.imap.tls",
        "value": None,
        "level": "group edge",
        "place": {"file": "mail.yaml", "line": 10, "column": 77},
        "note": "",
        "overridden": [
            {
                "key": "services.imap.tls",
                "value": 993,
                "level": "top level",
                "place": {"file": "mail.yaml", "line": 3, "column": 24},
                "note": "",
            }
        ],
    }


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ("mail1.servces", 1, "mail1: a host has no `servces`\n  to do: did you mean `services`?"),
        ("mail1.ssh.prot", 1, "did you mean `ssh.port`?"),
        ("mail1.tls.certificates", 1, "did you mean `tls.certificate`?"),
        ("mail1.zzz", 1, "known are: address, hostname, ssh, become, become_password, tls, services, firewall"),
        ("mial1.ssh.port", 1, "no host is called `mial1`\n  to do: did you mean `mail1`?"),
        ("", 1, "no host is called ``"),
        (".", 1, "no host is called"),
    ],
)
def test_explain_what_is_not_there(asked: str, status: int, said: str, mailprov: Run) -> None:
    found, out, err = mailprov("explain", asked)
    assert (found, out) == (status, "")
    assert said in err


@pytest.mark.parametrize("asked", ["mail1", "mail1.ssh"])
def test_a_dot_at_the_end_does_not_matter(asked: str, mailprov: Run) -> None:
    assert mailprov("explain", f"{asked}.") == mailprov("explain", asked)


def test_explain_a_source_that_is_not_used_shows_the_one_that_is(mailprov: Run) -> None:
    status, out, _ = mailprov("explain", "mail1.tls.certificate")
    assert (status, out) == (0, "mail1\n  tls.self_signed  {}  top level, mail.yaml:2:20\n")


def test_explain_says_all_that_is_wrong_with_the_declaration(mailprov: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.yaml").write_text(DECLARED.replace("parent: europe", "parent: edge, odd: 1"))
    status, out, err = mailprov("explain", "mail1")
    assert (status, out) == (3, "")
    assert "mail.yaml:10:18: these groups lead in a circle: edge → edge" in err
    assert "`odd` is not known here" in err
