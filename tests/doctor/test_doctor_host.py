"""The way to a listener: each cause on it is produced on a real host, and named alone, or first where more is wrong."""

from __future__ import annotations

import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from doctor_patient import DAY, NOW, OTHER_PORT, Patient, key_and_certificate, pem, soon
from mail_clients import login
from mail_machine import ALICE, DAVE, FRANK, PASSWORDS

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]

TRIED_ON = ["bookworm"]
"""networks and TLS are the same on every release, and these tests wait for many time-outs"""

POP3S = ("--protocol", "pop3", "--port", "995", "--security", "tls")
OTHER = ("--protocol", "pop3", "--port", str(OTHER_PORT), "--security", "tls")


def test_nothing_is_wrong(machine: Patient) -> None:
    """Every step to the open mailbox, by every way in; and nothing on the host has changed."""
    found = machine.doctor(user=ALICE, password=PASSWORDS[ALICE])
    before = machine.files()
    found = machine.doctor(user=ALICE, password=PASSWORDS[ALICE])
    assert found.causes == [] and found.document["healthy"] is True, found.ran.said
    assert found.steps() >= {"dns", "route", "connect", "tls", "chain", "greeting", "capability", "login", "mailbox"}
    assert all(check["seconds"] >= 0 for check in found.host["checks"]) and found.host["untold"] == []
    after = machine.files()
    # A login by IMAP and POP3 lets Dovecot write its own indexes.
    moved = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {path for path in moved if not path.startswith("/var/vmail/example.test/alice")} == set()


def test_nothing_is_wrong_from_the_client(machine: Patient) -> None:
    found = machine.doctor("--from-client", user=ALICE, password=PASSWORDS[ALICE])
    assert found.causes == []
    assert len(found.host["untold"]) == 4


# --- names and ways


@contextmanager
def name_server() -> Iterator[str]:
    """Answers each question with NXDOMAIN (RFC 1035 §4.1.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        # An address of its own: another run on this machine may have one, too.
        address = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}.97"
        server.bind((address, 53))
        server.settimeout(0.2)
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    query, client = server.recvfrom(512)
                    server.sendto(query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:], client)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            over.set()
            thread.join()


@contextmanager
def unknown_name(machine: Patient, resolver: str) -> Iterator[None]:
    kept = machine.hosts, machine.resolver
    machine.hosts, machine.resolver = "127.0.0.1 localhost\n", f"nameserver {resolver}\noptions timeout:1 attempts:1\n"
    try:
        yield
    finally:
        machine.hosts, machine.resolver = kept


def test_the_name_is_not_in_dns(machine: Patient) -> None:
    with name_server() as resolver, unknown_name(machine, resolver):
        assert machine.doctor(*POP3S).causes == ["dns-no-name"]


def test_no_resolver_answers(machine: Patient) -> None:
    with unknown_name(machine, "127.0.0.98"):
        assert machine.doctor(*POP3S).causes == ["dns-no-answer"]


def test_no_route(machine: Patient) -> None:
    """From a machine without a network."""
    machine.unshared = "--mount --net"
    try:
        assert machine.doctor("--from-client").causes == ["no-route"]
    finally:
        machine.unshared = "--mount"


# --- ports and services


def without_rule(port: int) -> str:
    find = f"nft -a list chain inet mailprov input | sed -n 's/.*tcp dport {port} accept # handle //p'"
    return f"nft delete rule inet mailprov input handle $({find})"


def test_our_own_firewall(machine: Patient) -> None:
    with machine.done(without_rule(995), "systemctl restart mailprov-firewall"):
        found = machine.doctor(*POP3S)
        assert found.causes == ["firewall-ours"]
        assert "inet mailprov input" in found.evidence("firewall-ours")
        found = machine.doctor(*POP3S, "--from-client")
        assert found.causes == ["timeout"]
        assert any("firewall" in each for each in found.host["untold"])


def test_our_own_firewall_as_declared(machine: Patient) -> None:
    """The declaration narrows the port to others: that much is known without the host."""
    machine.declared["firewall"]["allow"] = [{"port": 995, "from": ["203.0.113.0/24"]}]
    try:
        with machine.done(without_rule(995), "systemctl restart mailprov-firewall"):
            found = machine.doctor(*POP3S, "--from-client")
    finally:
        del machine.declared["firewall"]["allow"]
    assert found.causes == ["firewall-ours"]
    assert "203.0.113.0/24" in found.evidence("firewall-ours")


def test_the_firewall_keeps_the_caller_out(machine: Patient) -> None:
    """We get in; the address that the user calls from would not."""
    narrow = "nft insert rule inet mailprov input ip saddr 203.0.113.0/24 tcp dport 995 drop"
    with machine.done(narrow, "systemctl restart mailprov-firewall"):
        assert machine.doctor(*POP3S, "--client", "203.0.113.7").causes == ["firewall-ours"]
        assert machine.doctor(*POP3S, "--client", "198.51.100.7").causes == []


@pytest.mark.parametrize("verdict", ["drop", "reject with tcp reset", "reject"])
def test_another_firewall_on_the_host(machine: Patient, verdict: str) -> None:
    act = (
        "nft 'add table ip other; add chain ip other block { type filter hook input priority -5; }; "
        f"add rule ip other block tcp dport {{ 990-999 }} {verdict}'"
    )
    with machine.done(act, "nft delete table ip other"):
        found = machine.doctor(*POP3S)
    assert found.causes == ["firewall-other"]
    assert "ip other block" in found.evidence("firewall-other")


def test_something_between(machine: Patient) -> None:
    """Dropped before the host's own firewall sees it, as a router would."""
    device = machine.sh("ip -o route get 198.51.100.1 | sed 's/.* dev \\([^ ]*\\).*/\\1/'").strip()
    act = (
        "nft 'add table netdev way; "
        f"add chain netdev way block {{ type filter hook ingress device {device} priority 0; }}; "
        "add rule netdev way block tcp dport 995 drop'"
    )
    with machine.done(act, "nft delete table netdev way"):
        assert machine.doctor(*POP3S).causes == ["network-between"]


def test_the_service_is_down(machine: Patient) -> None:
    with machine.done("systemctl stop dovecot", "systemctl start dovecot"):
        assert machine.doctor("--protocol", "imap").causes == ["service-down"]
        assert machine.doctor("--protocol", "imap", "--from-client").causes == ["refused"]
    with machine.done(f"systemctl stop {machine.postfix}", f"systemctl start {machine.postfix}"):
        assert machine.doctor("--protocol", "submission").causes == ["service-down"]


def test_the_service_does_not_listen(machine: Patient) -> None:
    with machine.configured("s/port = 995/port = 0/"):
        assert machine.doctor(*POP3S).causes == ["not-listening"]


def test_the_service_hangs(machine: Patient) -> None:
    with machine.done("systemctl kill -s STOP dovecot", "systemctl kill -s CONT dovecot"):
        assert machine.doctor(*POP3S).causes == ["silent"]


def test_what_is_not_declared(machine: Patient) -> None:
    services = dict(machine.declared["services"])
    del machine.declared["services"]["imap"]
    try:
        assert machine.doctor("--protocol", "imap", "--from-client").causes == ["not-declared"]
    finally:
        machine.declared["services"] = services


# --- TLS


def test_a_client_that_begins_in_cleartext_on_a_tls_port(machine: Patient) -> None:
    for security in ("starttls", "none"):
        found = machine.doctor("--protocol", "imap", "--port", "993", "--security", security)
        assert found.causes == ["tls-from-the-start"]


@pytest.mark.parametrize(("protocol", "port"), [("pop3", 110), ("imap", 143), ("submission", 587)])
def test_a_client_that_begins_with_tls_on_a_cleartext_port(machine: Patient, protocol: str, port: int) -> None:
    found = machine.doctor("--protocol", protocol, "--port", str(port), "--security", "tls")
    assert found.causes == ["cleartext-first"]


@pytest.mark.parametrize(("protocol", "port"), [("pop3", 110), ("imap", 143), ("submission", 587)])
def test_a_client_without_tls(machine: Patient, protocol: str, port: int) -> None:
    """No password goes out, so that none is on the wire."""
    machine.forget()
    found = machine.doctor(
        "--protocol", protocol, "--port", str(port), "--security", "none", user=FRANK, password=PASSWORDS[FRANK]
    )
    assert found.causes == ["login-needs-tls"]
    assert "login" not in {check["step"] for check in found.host["checks"]}


def test_no_starttls(machine: Patient) -> None:
    with machine.configured("s/^ssl = required/ssl = no/"):
        found = machine.doctor("--protocol", "pop3", "--port", "110", "--security", "starttls")
    assert found.causes == ["no-starttls"]


def test_a_server_that_is_too_old(machine: Patient) -> None:
    with machine.other_server("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"):
        found = machine.doctor(*OTHER)
    assert found.causes == ["server-tls-old"]
    assert "TLS 1.1 only" in found.evidence("server-tls-old")


def test_a_client_that_is_too_old(machine: Patient) -> None:
    """This machine is told to use nothing later than TLS 1.2, and the server takes 1.3 only."""
    (machine.folder / "old.cnf").write_text(
        "openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nMaxProtocol = TLSv1.2\n"
    )
    machine.environment["OPENSSL_CONF"] = str(machine.folder / "old.cnf")
    try:
        with machine.other_server("-tls1_3"):
            found = machine.doctor(*OTHER)
    finally:
        del machine.environment["OPENSSL_CONF"]
    assert found.causes == ["client-tls-old"]
    assert "TLS 1.3 only" in found.evidence("client-tls-old")


def hello(machine: Patient, address: str, *options: str) -> None:
    """A handshake from another address, as far as it gets."""
    argv = ["openssl", "s_client", "-connect", f"{machine.address}:995", "-bind", f"{address}:0", *options]
    subprocess.run(argv, input=b"", capture_output=True, timeout=30)
    soon()


def test_a_users_own_client_is_too_old(machine: Patient) -> None:
    """One of the user's programs gets in, another one from the same address is too old: the host's log has both."""
    machine.forget()
    address = machine.client_address()
    hello(machine, address, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    assert machine.doctor(*POP3S, user=DAVE).causes == []
    assert login(machine, "imaps", DAVE, address=address) == 0
    soon()
    found = machine.doctor(*POP3S, user=DAVE)
    assert found.causes == ["client-tls-old"]
    assert address in found.evidence("client-tls-old")
    assert machine.doctor(*POP3S, "--client", address).causes == ["client-tls-old"]


def test_a_users_own_client_does_not_trust_us(machine: Patient) -> None:
    machine.forget()
    address = machine.client_address()
    hello(machine, address, "-verify_return_error")
    assert machine.doctor(*POP3S, "--client", address).causes == ["certificate-distrusted"]


# --- certificates

TRUSTED = key_and_certificate(name="Trusted root", ca=True)
MIDDLE = key_and_certificate(TRUSTED, name="Intermediate", ca=True)
STRANGER = key_and_certificate(name="Unknown root", ca=True)


CERTIFICATES = {
    "self-signed": pem(key_and_certificate()),
    "unknown-ca": pem(key_and_certificate(STRANGER)),
    "missing-intermediate": pem(key_and_certificate(MIDDLE, published=True)),
    "expired": pem(key_and_certificate(TRUSTED, start=NOW - 90 * DAY, end=NOW - DAY)),
    "not-yet-valid": pem(key_and_certificate(TRUSTED, start=NOW + 5 * DAY)),
    "wrong-name": pem(key_and_certificate(TRUSTED, name="mail.example.net")),
    "": pem(key_and_certificate(MIDDLE), MIDDLE),
}
"""by the cause that each makes, beside that it is not the declared one"""


@pytest.mark.parametrize("cause", CERTIFICATES)
def test_a_certificate(machine: Patient, cause: str) -> None:
    (machine.folder / "roots.pem").write_text(TRUSTED.pem)
    with machine.wearing(CERTIFICATES[cause]):
        for more in ((), ("--from-client",)):
            found = machine.doctor(*more, ca="roots.pem")
            assert found.causes == [*filter(None, [cause]), "other-certificate"], found.ran.said
            assert len(found.host["causes"][0]["listeners"]) == 7


def test_an_unknown_ca_that_sends_itself(machine: Patient) -> None:
    """The whole chain is there, and its root is nobody's: nothing is missing."""
    (machine.folder / "roots.pem").write_text(TRUSTED.pem)
    middle = key_and_certificate(STRANGER, name="Their intermediate", ca=True)
    with machine.wearing(pem(key_and_certificate(middle, published=True), middle, STRANGER)):
        assert machine.doctor(*POP3S, ca="roots.pem").causes == ["unknown-ca", "other-certificate"]


def test_a_self_signed_certificate_that_clients_were_given(machine: Patient) -> None:
    given = key_and_certificate()
    (machine.folder / "given.pem").write_text(given.pem)
    with machine.wearing(pem(given)):
        assert machine.doctor(*POP3S, ca="given.pem").causes == ["other-certificate"]


def test_everything_that_is_wrong_is_named(machine: Patient) -> None:
    """The first cause and every further one, in the order in which a client meets them."""
    machine.forget()
    bad = key_and_certificate(STRANGER, name="mail.example.net", start=NOW - 90 * DAY, end=NOW - DAY)
    with machine.wearing(pem(bad)), unknown_name(machine, "127.0.0.98"):
        found = machine.doctor(*POP3S, user="nobody@example.test")
    assert found.causes[0] == "dns-no-answer"
    assert set(found.causes[1:]) >= {"expired", "wrong-name", "other-certificate", "unknown-user"}


def test_the_clock(machine: Patient) -> None:
    """Lab hosts share this machine's clock, so that no clock can be set: the host's `date` is made to lie."""
    lie = 'printf \'#!/bin/sh\\nexec /run/date -d "+1 hour" "$@"\\n\' >/run/lie && chmod 755 /run/lie'
    with machine.done(f"cp /bin/date /run/date && {lie} && mount --bind /run/lie /bin/date", "umount /bin/date"):
        found = machine.doctor(*POP3S)
    assert found.causes == ["clock-wrong"]
    assert "s ahead of the one here" in found.evidence("clock-wrong")
