"""From the login to the mailbox, on every release: each logs in words of its own."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from doctor_patient import OTHER_PORT, Patient, soon
from mail_clients import imap, login, pop3, send
from mail_machine import ALICE, BOB, CAROL, DAVE, ERIN, FRANK, HOSTNAME, PASSWORDS, PORTS

from mailprov.lab import RELEASES

pytestmark = [pytest.mark.host, pytest.mark.two_releases, pytest.mark.timeout(900)]

ELSEWHERE_ALIKE = pytest.mark.one_release
"""what one protocol shows of a release, another does not show again"""

TRIED_ON = [release.codename for release in RELEASES]

POP3S = ("--protocol", "pop3", "--port", "995", "--security", "tls")
OTHER = ("--protocol", "pop3", "--port", str(OTHER_PORT), "--security", "tls")


def test_a_wrong_password(machine: Patient) -> None:
    """Tried once, though there are six ways in."""
    machine.forget()
    found = machine.doctor(user=ALICE, password="not this one")
    assert found.causes == ["wrong-password"]
    assert machine.sh("journalctl -q -o cat -u dovecot | grep -ci 'password mismatch'").strip() == "1"
    machine.forget()
    found = machine.doctor("--from-client", user=ALICE, password="not this one")
    assert found.causes == ["login-refused"]
    assert any("wrong password" in each for each in found.host["untold"])


def test_a_wrong_password_in_the_users_own_client(machine: Patient) -> None:
    """Nobody needs to tell us a password: the host's log has what the user's client met."""
    machine.forget()
    address = machine.client_address()
    login(machine, "pop3s", CAROL, "an old one", address)
    soon()
    found = machine.doctor(*POP3S, user=CAROL)
    assert found.causes == ["wrong-password"]
    assert address in found.evidence("wrong-password")
    assert login(machine, "pop3s", CAROL, address=address) == 0
    soon()
    assert machine.doctor(*POP3S, user=CAROL).causes == []


@pytest.mark.parametrize("protocol", ["pop3", pytest.param("imap", marks=ELSEWHERE_ALIKE), "submission"])
def test_a_wrong_password_from_the_address_that_we_come_from(machine: Patient, protocol: str) -> None:
    """A whole office may be behind it. What the doctor itself has tried is not taken for theirs."""
    machine.forget()
    office = machine.host.place.gateway
    way, options = f"{protocol}s", ("--protocol", protocol, "--port", str(PORTS[f"{protocol}s"]), "--security", "tls")
    login(machine, way, CAROL, "an old one", office)
    soon()
    for password in ("", PASSWORDS[CAROL]):
        found = machine.doctor(*options, user=CAROL, password=password)
        assert found.causes == ["wrong-password"], found.ran.said
        assert "which is this machine's address, too" in found.evidence("wrong-password")
    assert login(machine, way, CAROL, address=office) == 0
    if protocol == "submission":  # Postfix names who logs in once a message comes
        send(machine, CAROL, ALICE)
    soon()
    assert machine.doctor(*options, user=CAROL, password=PASSWORDS[CAROL]).causes == []


def test_an_unknown_user(machine: Patient) -> None:
    machine.forget()
    assert machine.doctor(*POP3S, user="alise@example.test", password="whatever").causes == ["unknown-user"]
    assert machine.doctor(*POP3S, user="alise@example.test").causes == ["unknown-user"]


@pytest.mark.parametrize("protocol", ["imap", pytest.param("submission", marks=ELSEWHERE_ALIKE)])
def test_a_protocol_that_the_user_may_not_use(machine: Patient, protocol: str) -> None:
    machine.forget()
    found = machine.doctor("--protocol", protocol, user=BOB, password=PASSWORDS[BOB])
    assert found.causes == ["protocol-not-allowed"]
    assert machine.doctor("--protocol", protocol, user=BOB).causes == ["protocol-not-allowed"]
    assert machine.doctor(user=BOB, password=PASSWORDS[BOB]).causes == []


@pytest.mark.parametrize("protocol", [pytest.param("pop3", marks=ELSEWHERE_ALIKE), "submission"])
def test_allow_from(machine: Patient, protocol: str) -> None:
    """With the right password; a client cannot tell, the host's log can."""
    machine.forget()
    found = machine.doctor("--protocol", protocol, user=ERIN, password=PASSWORDS[ERIN])
    assert found.causes == ["blocked-by-allow-from"]
    machine.forget()
    found = machine.doctor("--protocol", protocol, "--from-client", user=ERIN, password=PASSWORDS[ERIN])
    assert found.causes == ["login-refused"]


@pytest.mark.one_release
def test_allow_from_for_the_caller(machine: Patient) -> None:
    machine.forget()
    assert machine.doctor(*POP3S, "--client", "192.0.2.1", user=FRANK).causes == ["blocked-by-allow-from"]
    assert machine.doctor(*POP3S, "--client", "203.0.113.1", user=FRANK).causes == []


def test_authentication_is_broken(machine: Patient) -> None:
    accounts = "/etc/dovecot/mailprov/accounts"
    with machine.done(f"chmod 600 {accounts}; systemctl restart dovecot", f"chmod 640 {accounts}"):
        found = machine.doctor(*POP3S, user=ALICE, password=PASSWORDS[ALICE])
    machine.forget()
    assert found.causes == ["temporary"]


# --- mailboxes


def test_a_locked_mailbox(machine: Patient) -> None:
    machine.forget()
    with machine.configured("", "pop3_lock_session = yes\n"), pop3(machine, ALICE):
        found = machine.doctor(*POP3S, user=ALICE, password=PASSWORDS[ALICE])
    assert found.causes == ["mailbox-locked"]


@pytest.mark.parametrize("protocol", ["pop3", pytest.param("imap", marks=ELSEWHERE_ALIKE)])
def test_too_many_connections(machine: Patient, protocol: str) -> None:
    machine.forget()
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(pop3(machine, DAVE) if protocol == "pop3" else imap(machine, DAVE))
        options = ("--protocol", protocol, "--port", str(PORTS[f"{protocol}s"]), "--security", "tls")
        found = machine.doctor(*options, user=DAVE, password=PASSWORDS[DAVE])
        seen = machine.doctor(*options, "--from-client", user=DAVE, password=PASSWORDS[DAVE])
    assert found.causes == ["too-many-connections"], found.ran.said
    assert seen.causes[0] in ("mailbox-in-use", "temporary", "permanent")


def test_a_full_mailbox(machine: Patient) -> None:
    fill = 'while dd if=/dev/zero bs=1000 count=7 2>/dev/null | base64 | doveadm save -u "$1" 2>/dev/null; do :; done'
    machine.sh(fill, CAROL)
    try:
        found = machine.doctor(*POP3S, user=CAROL)
    finally:
        machine.sh('doveadm expunge -u "$1" mailbox INBOX all', CAROL)
    assert found.causes == ["quota-full"]
    machine.forget()
    assert machine.doctor(*POP3S, user=CAROL).causes == []


@pytest.mark.one_release
def test_a_full_disk(machine: Patient) -> None:
    full = "mount -t tmpfs -o size=1m,mode=750,uid=vmail,gid=vmail tmpfs /var/vmail; dd if=/dev/zero of=/var/vmail/fill"
    with machine.done(f"({full}) 2>/dev/null || :", "umount -l /var/vmail"):
        found = machine.doctor(*POP3S, user=ALICE, password=PASSWORDS[ALICE])
        alone = machine.doctor(*POP3S)
    assert alone.causes == ["disk-full"]
    assert "/var/vmail has 0 of 1024 KiB left" in alone.evidence("disk-full")
    assert "disk-full" in found.causes


# --- a host that cannot be asked


@pytest.mark.one_release
def test_ssh_does_not_work(machine: Patient) -> None:
    """What can be seen from here is said all the same."""
    ssh = machine.declared["hosts"]["mail1"]["ssh"]
    ssh["port"] = 1
    try:
        well = machine.doctor(*POP3S)
        with machine.done("systemctl stop dovecot", "systemctl start dovecot"):
            ill = machine.doctor(*POP3S)
    finally:
        del ssh["port"]
    assert (well.ran.status, well.causes) == (1, [])
    assert "could not be asked" in well.ran.err
    assert ill.causes == ["refused"]
    assert HOSTNAME in str(ill.host["checks"])
