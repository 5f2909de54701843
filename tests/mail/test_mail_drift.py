"""What somebody changes on the host shows as drift, and an apply takes it back without a listener going away."""

from __future__ import annotations

import time

import pytest
from mail_clients import Idle, imap, login, pop3, served
from mail_machine import ALICE, CAROL, PORTS, Machine

pytestmark = pytest.mark.host

# By what it says of the change: what somebody does on the host.
_TABLES = "/etc/postfix/mailprov"
EDITS = {
    "~ file /etc/dovecot/dovecot.conf": "echo '# by hand' >>/etc/dovecot/dovecot.conf",
    "mode 600 → 644": "chmod 644 /etc/mailprov/tls/default.pem",
    "owner nobody:dovecot → root:dovecot": "chown nobody /etc/dovecot/mailprov/denied",
    "+ file /etc/systemd/system/mailprov-firewall.service": "rm /etc/systemd/system/mailprov-firewall.service",
    "1 of 7 accounts changes (1 removed)": (
        "sed 's/^alice@/mallory@/' /etc/dovecot/mailprov/accounts | grep ^mallory >>/etc/dovecot/mailprov/accounts"
    ),
    "compile again": (
        f"cd /tmp && echo 'x@example.test OK' >m && postmap hash:m && cat m.db >{_TABLES}/mailboxes.db && rm m m.db"
    ),
    f"map {_TABLES}/aliases": f"sed -i '/^sales@/d' {_TABLES}/aliases && postmap {_TABLES}/aliases",
    f"map {_TABLES}/domains": f"rm {_TABLES}/domains.db",
    "firewall inet mailprov": "nft flush ruleset",
    "service dovecot": "systemctl disable -q dovecot",
}


def test_every_hand_edit_is_drift_and_is_put_back(clone: Machine) -> None:
    for edit in EDITS.values():
        clone.sh(edit)
    plan = clone.plan("--details")
    assert plan.status == 2
    drifting = [line for line in plan.out.splitlines() if line.endswith("[drift]")]
    assert len(drifting) == len(EDITS) + 1, plan.out  # with its unit, the firewall's service is gone, too
    for told in EDITS:
        assert [line for line in drifting if told in line], f"{told} is not in\n{plan.out}"
    assert "-# by hand" in plan.out and "+++ /etc/dovecot/dovecot.conf" in plan.out
    assert plan.out.rstrip().endswith(f"{len(EDITS) + 1} of them drift (changed on the host).")
    before = clone.daemons()
    refused = clone.apply()
    assert (refused.status, "--allow-removals" in refused.err) == (5, True)
    applied = clone.apply("--allow-removals")
    assert applied.status == 0, applied.said
    assert clone.plan().status == 0
    assert clone.daemons() == before
    assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)
    assert login(clone, "pop3s", "mallory@example.test", "secret of alice") != 0
    assert (
        clone.sh("systemctl is-enabled dovecot; nft list table inet mailprov | grep -c 'policy drop'") == "enabled\n1\n"
    )


def test_a_reload_leaves_live_sessions_alone(clone: Machine) -> None:
    """Dovecot's default would end them six seconds after a reload, systemd's at once on a restart."""
    clone.sh("echo '# by hand' | tee -a /etc/dovecot/dovecot.conf >>/etc/postfix/main.cf")
    before, reloads = clone.daemons(), clone.reloads()
    with pop3(clone, ALICE) as reading, pop3(clone, CAROL, starttls=True) as other, imap(clone, ALICE) as client:
        watching = Idle(client)
        applied = clone.apply()
        assert "dovecot: reload (live sessions stay), postfix: reload (live sessions stay)" in applied.out
        assert applied.status == 0
        time.sleep(8.5)
        assert reading.noop().startswith(b"+OK")
        assert other.stat() == (0, 0)
        assert b"OK" in watching.done()
        assert client.noop()[0] == "OK"
    assert clone.daemons() == before
    assert clone.reloads() > reloads
    assert clone.plan().status == 0


@pytest.mark.parametrize("service", ["dovecot", "postfix"])
def test_a_stopped_daemon_is_started(clone: Machine, service: str) -> None:
    clone.sh(f"systemctl stop {service} $(systemctl list-units -q --plain --no-legend '{service}@*' | cut -d' ' -f1)")
    plan = clone.plan()
    assert plan.status == 2
    assert f"service {service}  start  [drift]" in plan.out
    assert f"effect on services: {service}: start" in plan.out
    assert clone.apply().status == 0
    assert clone.plan().status == 0
    assert [login(clone, protocol, ALICE) for protocol in ("pop3s", "submissions")] == [0, 0]


def test_a_password_of_the_administrators_is_never_shown(clone: Machine) -> None:
    """Somebody may write one into a file that holds none of ours; a diff would carry it into logs."""
    clone.sh("echo 'smtp_sasl_password = hunter2' >>/etc/postfix/main.cf")
    clone.sh("printf '#!/bin/sh\\npassdb_password=hunter2\\n' >>/etc/dovecot/dovecot.conf")
    said = "".join(
        clone.plan(*more).said for more in ((), ("--details",), ("--format", "json"), ("--format", "markdown"))
    )
    assert "smtp_sasl_password = <secret>" in said
    applied = clone.apply("--details")
    assert applied.status == 0
    assert "hunter2" not in said + applied.said


@pytest.mark.parametrize("obstacle", ["ln -s /root/other.conf", "mkdir"])
def test_what_is_in_the_way_is_not_overwritten(clone: Machine, obstacle: str) -> None:
    """A link or a folder where our file belongs is somebody's intent: an error that names it."""
    path = "/etc/dovecot/mailprov/denied"
    clone.sh(f"rm {path}; {obstacle} {path}")
    assert f"file {path}" in clone.plan().out
    applied = clone.apply()
    assert applied.status in (1, 6), applied.said
    assert path in applied.err and "in the way" in applied.err
    assert clone.sh(f"test -L {path} || test -d {path}; echo $?") == "0\n"
    clone.sh(f"rm -rf {path}")
    assert clone.apply().status == 0
    assert clone.plan().status == 0
