"""A host after its first apply: nothing left to do, and looking at it leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from mail_certificates import certificate
from mail_clients import imap, login, pop3, served
from mail_machine import ALICE, HOSTNAME, PASSWORDS, PORTS, Converged, Machine
from slow_line import SlowLine

pytestmark = pytest.mark.host

# systemd.journal-fields(7): "a start-up process has finished"
_STARTED = "39f53479d3a045ac8e11786248231fbf"


def test_no_daemon_ever_ran_with_debians_configuration(converged: Converged) -> None:
    """Debian would start each daemon while it is installed, and the first apply would start it again."""
    events: list[dict[str, Any]] = [json.loads(line) for line in converged.journal.splitlines()]
    units = [str(e["UNIT"]) for e in events if e.get("_PID") == "1" and e.get("MESSAGE_ID") == _STARTED and "UNIT" in e]
    assert units.count("dovecot.service") == 1
    assert units.count(f"{converged.mail.postfix}.service") == 1
    assert "Reload" not in "".join(
        str(e["MESSAGE"]) for e in events if str(e.get("UNIT", "")).startswith(("dovecot", "postfix"))
    )


def test_first_apply_leaves_a_tidy_host(mail: Machine) -> None:
    assert mail.sh("systemctl is-system-running; systemctl --failed --plain --no-legend") == "running\n"
    assert mail.sh("ls /usr/sbin/policy-rc.d* /var/lib/mailprov/owed 2>/dev/null", check=False) == ""
    assert mail.sh("find /etc /usr /var/lib -name '*.mailprov*' -o -path /var/lib/mailprov -perm /077") == ""
    assert mail.sh("stat -c '%a %U' /var/lib/mailprov/manifest") == "600 root\n"
    assert mail.sh("ls /var/lib/mailprov/txn/*/new 2>/dev/null", check=False) == ""


def test_plan_after_apply_is_empty(mail: Machine) -> None:
    """Also after a reboot."""
    plan = mail.plan()
    assert (plan.status, plan.out.splitlines()[-1]) == (0, "No changes on 1 host.")
    assert "no changes: the host is as declared" in plan.out
    report = json.loads(mail.plan("--format", "json").out)
    assert [host["changes"] for host in report["hosts"]] == [[]]


def test_a_rebooted_host_serves(mail: Machine) -> None:
    assert served(mail) == dict.fromkeys(PORTS, mail.shown.fingerprint)
    assert [login(mail, protocol, ALICE) for protocol in ("pop3s", "imaps", "submissions")] == [0, 0, 0]
    assert "policy drop" in mail.sh("nft list table inet mailprov")


def test_plan_is_one_connection_and_few_round_trips(mail: Machine, tmp_path: Path) -> None:
    here = mail.declared["hosts"]["mail1"]
    kept = dict(here)
    with SlowLine((mail.address, 22), delay=0.25) as line:
        known = tmp_path / "known_hosts"
        known.write_text(mail.host.known_hosts.read_text().replace(mail.address, f"[127.0.0.1]:{line.port}", 1))
        here["address"] = "127.0.0.1"
        here["ssh"] = {**here["ssh"], "port": line.port, "known_hosts": str(known)}
        try:
            assert mail.plan().status == 0
        finally:
            here.update(kept)
    assert line.connections == 1
    # The connection itself is one more.
    assert 3 < line.round_trips + 1 <= 8


@pytest.mark.parametrize("verb", [("plan", "--details"), ("apply", "--yes")])
def test_a_look_writes_nothing_on_the_host(mail: Machine, verb: tuple[str, ...]) -> None:
    before, running, reloads = mail.files(), mail.daemons(), mail.reloads()
    assert len(before) > 5000
    assert mail.mailprov(*verb).status == 0
    after = mail.files()
    assert {path for path in before | after if before.get(path) != after.get(path)} == set()
    assert (mail.daemons(), mail.reloads()) == (running, reloads)


@pytest.mark.one_release
def test_the_watch_sees_a_temporary_file(mail: Machine) -> None:
    before = mail.files()
    mail.sh("f=$(mktemp /var/lib/mailprov/XXXXXX) && rm $f")
    after = mail.files()
    assert "/var/lib/mailprov" in {path for path in before | after if before.get(path) != after.get(path)}


def test_live_sessions_do_not_notice_a_look(mail: Machine) -> None:
    with pop3(mail, ALICE) as reading, imap(mail, ALICE) as watching:
        mail.plan()
        assert mail.apply().status == 0
        assert reading.noop().startswith(b"+OK")
        assert watching.noop()[0] == "OK"


def test_verify_makes_an_account_and_removes_it(mail: Machine) -> None:
    before = mail.files()
    files = ("--json", "verify.json", "--markdown", "verify.md", "--junit", "verify.xml")
    verified = mail.mailprov("verify", "--details", "--ca", "ca.pem", *files)
    assert verified.status == 0, verified.said
    assert "mailprov-test-" in verified.out.splitlines()[0]
    assert verified.out.count(" login ") >= 6 and " fetch " in verified.out
    assert ", 0 warnings" in verified.out.splitlines()[-1]
    assert mail.sh("cat /etc/dovecot/mailprov/verify /etc/postfix/mailprov/verify") == ""
    told = json.loads((mail.folder / "verify.json").read_text())
    (suite,) = etree.parse(mail.folder / "verify.xml").getroot()
    assert told["verified"] and len(suite) == len(told["hosts"][0]["checks"]) > 40
    assert suite.get("failures") == suite.get("errors") == "0"
    page = (mail.folder / "verify.md").read_text(encoding="utf-8")
    assert page.startswith(f"### mailprov verify: {len(suite)} checks on 1 host, 0 failed, ")
    assert (
        mail.sh(
            "find /var/vmail -name 'mailprov-test*'; systemctl list-units --all --plain --no-legend '*testaccount*'"
        )
        == ""
    )
    after = mail.files()
    left = {path for path in before | after if before.get(path) != after.get(path)}
    assert {path for path in left if path not in before} == set()
    assert mail.plan().status == 0


def test_verify_as_a_declared_user(mail: Machine) -> None:
    mail.environment["ALICE_PASSWORD"] = PASSWORDS[ALICE]
    verified = mail.mailprov("verify", "--user", ALICE, "--password-env", "ALICE_PASSWORD", "--ca", "ca.pem")
    assert verified.status == 0, verified.said
    assert f"as {ALICE}" in verified.out
    mail.environment["ALICE_PASSWORD"] = "not this"
    refused = mail.mailprov("verify", "--user", ALICE, "--password-env", "ALICE_PASSWORD", "--format", "json")
    assert refused.status == 9
    checks = [check for host in json.loads(refused.out)["hosts"] for check in host["checks"]]
    assert {check["step"] for check in checks if check["result"] == "failed"} == {"login"}
    unset = mail.mailprov("verify", "--user", ALICE, "--password-env", "NOBODY_SET_THIS")
    assert unset.status == 1 and "NOBODY_SET_THIS is not set" in unset.err


@pytest.mark.one_release
def test_verify_names_what_is_wrong(clone: Machine) -> None:
    clone.sh("systemctl stop postfix postfix@-")
    verified = clone.mailprov("verify")
    assert verified.status == 9
    assert f"FAILED at submission/starttls {clone.address}:587: connect" in verified.out
    assert verified.out.count("; login ") == 4
    clone.sh("systemctl start postfix")
    other = certificate(HOSTNAME, clone.ca)
    clone.host.write("/etc/mailprov/tls/default.pem", f"{other.key_pem}{other.pem}".encode(), 0o600)
    clone.sh("systemctl reload dovecot postfix")
    verified = clone.mailprov("verify", "--no-login")
    assert verified.status == 9
    assert f"FAILED at pop3/starttls {clone.address}:110: declared certificate" in verified.out
