"""A plan that was kept: over a line on which each round trip is counted, and with what somebody wrote into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from mail_clients import LOGIN_DENIED, login
from mail_machine import ALICE, PASSWORDS, Machine
from slow_line import SlowLine
from test_mail_trouble import one_error, state

pytestmark = pytest.mark.host


def add_a_user(declared: dict[str, Any]) -> None:
    declared["users"].append({"address": "new@example.test", "password": declared["users"][0]["password"]})


def change_everything(declared: dict[str, Any]) -> None:
    add_a_user(declared)
    declared["services"]["imap"] = {"tls": 993}
    declared["firewall"] = {"manage": True, "allow": [{"port": 9100}]}


@pytest.mark.one_release
# Two more where the firewall changes: the kernel is asked what it lets in, for what that closes.
@pytest.mark.parametrize(("change", "most"), [(add_a_user, 18), (change_everything, 20)])
def test_few_round_trips_with_the_fresh_confirmation(
    clone: Machine, change: Callable[[dict[str, Any]], None], most: int
) -> None:
    change(clone.declared)
    # On a busy machine an apply over this line lasts longer than the interval of keepalives, for which nobody waits.
    clone.prelude = "import mailprov.connection.ssh; mailprov.connection.ssh.KEEPALIVE = 600"
    with SlowLine((clone.address, 22), delay=0.25) as line:
        # By SSH's own configuration, so that mail clients still go to the host itself.
        clone.folder.joinpath(".ssh").mkdir(mode=0o700)
        config = f"Host {clone.address}\n HostName 127.0.0.1\n Port {line.port}\n HostKeyAlias {clone.address}\n"
        clone.folder.joinpath(".ssh/config").write_text(config)
        assert clone.plan("--out", "plan.json").status == 2
        before = line.connections, line.round_trips
        applied = clone.mailprov("apply", "plan.json", "--yes", "--allow-closing")
    assert applied.status == 0, applied.said
    assert line.connections - before[0] == 2
    # Each connection itself is one more; three are the look by which the kept plan is known again.
    trips = line.round_trips - before[1] + 2
    print(f"{trips} round trips")
    assert 8 < trips <= most
    assert clone.plan().status == 0
    assert login(clone, "pop3s", "new@example.test", PASSWORDS[ALICE]) == 0


# --- what somebody wrote into the file


def shell_for_a_digest(host: dict[str, Any]) -> None:
    host["digest"] = "x\nid >/root/pwned\nEXPECTED=y"


def the_removal_of_a_foreign_file(host: dict[str, Any]) -> None:
    change = {"key": ["file", "/etc/foreign"], "action": "REMOVE", "reason": "PENDING", "summary": "remove"}
    host["changes"].append({**change, "detail": hashlib.sha256().hexdigest(), "effects": {}, "rows": {}})


def another_path(host: dict[str, Any]) -> None:
    next(change for change in host["changes"] if change["key"][0] == "file")["key"][1] = "/etc/foreign"


def no_dangers(host: dict[str, Any]) -> None:
    assert host["dangers"]
    host["dangers"] = []


def other_effects(host: dict[str, Any]) -> None:
    host["effects"]["dovecot"] = "RESTART"


def another_key(host: dict[str, Any]) -> None:
    host["identity"] = "SHA256:" + "A" * 43


TAMPERING = (
    shell_for_a_digest,
    the_removal_of_a_foreign_file,
    another_path,
    no_dangers,
    other_effects,
    another_key,
)


@pytest.mark.one_release
def test_what_is_written_into_a_kept_plan_is_not_done(clone: Machine) -> None:
    """By somebody who can make its seal: nothing runs, nothing is touched, no consent is saved."""
    clone.sh("echo ours >/etc/foreign")
    change_everything(clone.declared)
    clone.declared["users"] = [user for user in clone.declared["users"] if not user["address"].startswith("bob@")]
    assert clone.plan("--out", "plan.json").status == 2
    before = state(clone), clone.sh("ls -A /root /var/lib/mailprov/txn; cat /var/lib/mailprov/history")
    path = clone.folder / "plan.json"
    kept = json.loads(path.read_text())
    for tamper in TAMPERING:
        document = json.loads(path.read_text())
        del document["seal"]
        tamper(document["hosts"][0])
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        document["seal"] = hashlib.sha256(text.encode()).hexdigest()
        (clone.folder / "tampered.json").write_text(json.dumps(document, indent=1, ensure_ascii=False))
        ran = clone.mailprov("apply", "tampered.json", "--yes", "--allow-closing", "--allow-removals")
        assert ran.status == 4, (tamper.__name__, ran.said)
        one_error(ran, "nothing was touched")
    assert kept == json.loads(path.read_text())
    after = state(clone), clone.sh("ls -A /root /var/lib/mailprov/txn; cat /var/lib/mailprov/history")
    assert after == before
    assert login(clone, "pop3s", "new@example.test", PASSWORDS[ALICE]) == LOGIN_DENIED
    assert clone.mailprov("apply", "plan.json", "--yes", "--allow-closing", "--allow-removals").status == 0
    assert clone.sh("cat /etc/foreign") == "ours\n"
    again = clone.mailprov("apply", "plan.json", "--yes")
    assert again.status == 0 and "no changes" in again.said, again.said
    assert clone.plan().status == 0


@pytest.mark.one_release
def test_an_account_without_an_at_is_not_closed_without_a_consent(clone: Machine) -> None:
    table = "/etc/dovecot/mailprov/accounts"
    row = clone.sh(f"head -n 1 {table}").rstrip("\n").partition(":")[2]
    clone.sh(f"printf '%s\\n' \"$1\" >>{table}", f"root:{row}")
    ran = clone.apply()
    assert ran.status == 5, ran.said
    one_error(ran, "closes 1 account: root", "--allow-removals")
    assert clone.sh(f"grep -c ^root: {table}") == "1\n"
    assert clone.apply("--allow-removals").status == 0
    assert clone.sh(f"grep -c ^root: {table} || :") == "0\n"
    clone.sh(f"printf '%s\\n' \"$1\" >>{table}", f" eve@example.test:{row}")
    ran = clone.apply()
    assert ran.status == 5, ran.said
    one_error(ran, "drops 1 line that Dovecot may read as accounts")
