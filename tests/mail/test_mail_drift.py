"""What somebody changes on the host shows as drift, and an apply takes it back without a listener going away."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mail_clients import LOGIN_DENIED, Idle, arrives, deliver, imap, login, logins, pop3, served, subjects
from mail_machine import ALICE, CAROL, DAVE, PORTS, Machine, eventually

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

# By what it says of the change: what somebody does on the host.
_TABLES = "/etc/postfix/mailprov"
EDITS = {
    "~ file /etc/dovecot/dovecot.conf": "echo '# by hand' >>/etc/dovecot/dovecot.conf",
    "~ file /etc/postfix/main.cf": "echo 'smtp_sasl_password = hunter2' >>/etc/postfix/main.cf",
    "mode 644 → 600": "chmod 644 /etc/mailprov/tls/default.pem",
    "owner nobody:dovecot → root:dovecot": "chown nobody /etc/dovecot/mailprov/denied",
    "+ file /etc/systemd/system/mailprov-firewall.service": "rm /etc/systemd/system/mailprov-firewall.service",
    "1 of 8 accounts changes (1 removed)": (
        "sed 's/^alice@/mallory@/' /etc/dovecot/mailprov/accounts | grep ^mallory >>/etc/dovecot/mailprov/accounts"
    ),
    "mailboxes  compile again": (
        f"cd /tmp && echo 'x@example.test OK' >m && postmap hash:m && cat m.db >{_TABLES}/mailboxes.db && rm m m.db"
    ),
    f"map {_TABLES}/aliases  1 of 6 entries changes (1 added)": (
        f"sed -i '/^sales@/d' {_TABLES}/aliases && postmap {_TABLES}/aliases"
    ),
    "domains  compile again": f"rm {_TABLES}/domains.db",
    "firewall inet mailprov  load": "nft flush ruleset",
    # The service whose unit file was removed is the last.
    "service mailprov-firewall  enable": "systemctl disable -q dovecot",
    "service dovecot  enable": "true",
}


def test_every_hand_edit_is_drift_and_is_put_back(clone: Machine) -> None:
    for edit in EDITS.values():
        clone.sh(edit)
    plan = clone.plan("--details")
    assert plan.status == 2
    drifting = [re.sub("  +", "  ", line) for line in plan.out.splitlines() if line.endswith("[drift]")]
    assert len(drifting) == len(EDITS), plan.out
    for told in EDITS:
        assert [line for line in drifting if told in line], f"{told} is not in\n{plan.out}"
    assert "-# by hand" in plan.out and "+++ /etc/dovecot/dovecot.conf" in plan.out
    assert plan.out.rstrip().endswith(f"{len(EDITS)} of them drift (changed on the host).")
    # Somebody wrote a password into a file that holds none of ours; a diff must not carry it into logs.
    said = plan.said + clone.plan("--format", "json").said + clone.plan("--format", "markdown").said
    assert said.count("smtp_sasl_password = <secret>") == 3
    before = clone.daemons()
    refused = clone.apply()
    assert (refused.status, "--allow-removals" in refused.err) == (5, True)
    applied = clone.apply("--allow-removals", "--details")
    assert applied.status == 0, applied.said
    assert "hunter2" not in said + applied.said
    assert clone.plan().status == 0
    assert clone.daemons() == before
    assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)
    assert login(clone, "pop3s", "mallory@example.test", "secret of alice") == LOGIN_DENIED
    assert clone.sh("systemctl is-enabled dovecot; nft list tables") == "enabled\ntable inet mailprov\n"


def test_a_reload_leaves_live_sessions_alone(clone: Machine) -> None:
    """Dovecot's default would end them six seconds after a reload, systemd's at once on a restart. No message is lost
    or doubled, and nobody fetches a letter twice."""
    unique, validity = identifiers(clone)
    clone.sh("echo '# by hand' | tee -a /etc/dovecot/dovecot.conf >>/etc/postfix/main.cf")
    clone.renew()
    assert "PRIVATE" not in clone.plan("--details").out
    before, reloads = clone.daemons(), clone.reloads()
    with pop3(clone, ALICE) as reading, pop3(clone, CAROL, starttls=True) as other, imap(clone, ALICE) as client:
        watching = Idle(client)
        with load(clone, DAVE) as (accepted, failed):
            applied = clone.apply()
            assert "dovecot: reload (live sessions stay), postfix: reload (live sessions stay)" in applied.out
            assert applied.status == 0, applied.said
            ended = time.monotonic()
            assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)
        assert len(accepted) > 20 and failed == []
        assert eventually(lambda: sorted(subjects(clone, DAVE)) == sorted(accepted))
        assert clone.plan().status == 0
        time.sleep(max(0.0, ended + 8 - time.monotonic()))
        assert reading.noop().startswith(b"+OK")
        assert other.stat() == (0, 0)
        assert b"OK" in watching.done()
        assert client.noop()[0] == "OK"
    assert clone.daemons() == before
    assert clone.reloads() > reloads
    assert identifiers(clone) == (unique, validity)
    assert sorted(subjects(clone, DAVE)) == sorted(accepted)


def identifiers(mail: Machine) -> tuple[list[bytes], object]:
    """By which POP3 and IMAP clients know a letter again."""
    if not subjects(mail, ALICE):
        assert arrives(mail, ALICE, deliver(mail, ALICE))
    with pop3(mail, ALICE) as reading, imap(mail, ALICE) as client:
        return reading.uidl()[1], client.response("UIDVALIDITY")


@contextmanager
def load(mail: Machine, recipient: str) -> Iterator[tuple[list[str], list[Exception]]]:
    """Another server sends one message after the other: which were accepted, and what went wrong."""
    accepted: list[str] = []
    failed: list[Exception] = []
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            try:
                accepted.append(deliver(mail, recipient))
            except Exception as error:
                failed.append(error)

    sender = threading.Thread(target=work)
    sender.start()
    try:
        yield accepted, failed
    finally:
        over.set()
        sender.join()


def test_stopped_daemons_are_started(clone: Machine) -> None:
    clone.sh("systemctl stop dovecot postfix postfix@-")
    plan = clone.plan()
    assert plan.status == 2
    for service in ("dovecot", "postfix"):
        assert f"service {service}  start  [drift]" in re.sub("  +", "  ", plan.out)
    assert "effect on services: dovecot: start, postfix: start" in plan.out
    assert clone.apply().status == 0
    assert clone.plan().status == 0
    assert logins(clone, ALICE) == [True, True, True]


@pytest.mark.one_release
def test_what_is_in_the_way_is_not_overwritten(clone: Machine) -> None:
    """A link or a folder where our file belongs is somebody's intent: an error that names it, and nothing changes."""
    obstacles = {"/etc/dovecot/mailprov/denied": "ln -s /root/other", "/etc/postfix/master.cf": "mkdir"}
    for path, put in obstacles.items():
        clone.sh(f"mv {path} /root/other && {put} {path}")
        for ran in (clone.plan(), clone.apply()):
            assert ran.status == 1, ran.said
            assert "in the way" in ran.err and path in ran.err
        clone.sh(f"test -L {path} && rm {path} || rmdir {path}; mv /root/other {path}")
        assert clone.plan().status == 0
    assert logins(clone, ALICE) == [True, True, True]
