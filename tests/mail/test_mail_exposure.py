"""What somebody without a password, or with a single one, cannot do; seen from another machine."""

from __future__ import annotations

import imaplib
import poplib
import re
import secrets
import smtplib
import socket
import ssl
import subprocess
import time

import pytest
from mail_clients import (
    arrives,
    deliver,
    handshake,
    login,
    message,
    outsider,
    refusal,
    send,
    subjects,
    submission,
    trusting,
)
from mail_machine import ALICE, BOB, FRANK, HOSTNAME, PASSWORDS, PORTS, Machine

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")]

ELSEWHERE = "somebody@example.net"
# Postfix says why, Dovecot hangs up.
REFUSED = re.compile("alert (handshake failure|protocol version)|unexpected eof")


@pytest.mark.parametrize("sender", [ELSEWHERE, ALICE, "", "root@mail.example.test"])
@pytest.mark.parametrize(
    "recipient", [ELSEWHERE, '"somebody@example.net"@mail.example.test', "somebody%example.net@mail.example.test"]
)
def test_nobody_relays_without_a_login(mail: Machine, sender: str, recipient: str) -> None:
    assert refusal(mail, sender, recipient) in (550, 553, 554)


def test_swaks_finds_no_relay(mail: Machine) -> None:
    for port in (25, 587):
        argv = ["swaks", "--server", f"{mail.address}:{port}", "--tls", "--from", ALICE, "--to", ELSEWHERE]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == 24, done.stdout  # no recipient was accepted
        assert re.search("<.\\* 55[34] 5.7.1", done.stdout), done.stdout


def test_nobody_submits_without_a_login(mail: Machine) -> None:
    """Not even to a mailbox here: 587 and 465 are for users."""
    with smtplib.SMTP_SSL(mail.address, PORTS["submissions"], context=trusting(mail)) as client:
        client.ehlo()
        assert client.mail(ALICE)[0] == 250
        assert client.rcpt(BOB)[0] in (553, 554)


def test_login_without_tls_is_refused(mail: Machine) -> None:
    pop3 = poplib.POP3(mail.address, 110, timeout=20)
    assert "USER" not in pop3.capa() and "SASL" in pop3.capa() and pop3.capa()["SASL"] == []
    with pytest.raises(poplib.error_proto):
        pop3.user(ALICE)
        pop3.pass_(PASSWORDS[ALICE])
    pop3.close()
    imap = imaplib.IMAP4(mail.address, 143, timeout=20)
    assert "LOGINDISABLED" in imap.capabilities
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(ALICE, PASSWORDS[ALICE])
    imap.shutdown()
    for port in (25, 587):
        with smtplib.SMTP(mail.address, port, timeout=20) as smtp:
            smtp.ehlo()
            assert "auth" not in smtp.esmtp_features
            assert smtp.docmd("AUTH PLAIN AGEAYg==")[0] in (503, 530, 538)


def test_port_25_knows_no_login_at_all(mail: Machine) -> None:
    with outsider(mail) as client:
        client.starttls(context=trusting(mail))
        client.ehlo()
        assert "auth" not in client.esmtp_features


@pytest.mark.parametrize("listener", PORTS)
def test_tls_is_mozillas_intermediate_profile(mail: Machine, listener: str) -> None:
    for options in (("-tls1_2",), ("-tls1_3",), ("-groups", "X25519"), ("-groups", "P-384")):
        assert "Verify" in handshake(mail, listener, *options).out, options
    refused = (
        ("-tls1_2", "-cipher", "AES128-SHA256"),  # no forward secrecy
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),  # no AEAD
        ("-groups", "P-521"),
    )
    for options in refused:
        done = handshake(mail, listener, *options)
        assert "Cipher is (NONE)" in done.out, options
        assert REFUSED.search(done.err), (options, done.err)


@pytest.mark.parametrize("listener", PORTS)
def test_tls_1_1_is_refused(mail: Machine, listener: str) -> None:
    """To a client that offers nothing newer: it says hello, and that is the end."""
    old = handshake(mail, listener, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in old.out
    assert REFUSED.search(old.err), old.err
    assert "no protocols available" not in old.err
    assert handshake(mail, listener, "-tls1_2", "-cipher", "ALL:@SECLEVEL=0").status == 0


@pytest.mark.parametrize("sender", [FRANK, "everyone@other.test", ELSEWHERE, "nobody@example.test"])
def test_a_user_cannot_send_as_somebody_else(mail: Machine, sender: str) -> None:
    with (
        submission(mail, ALICE) as client,
        pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused)) as e,
    ):
        client.sendmail(sender, [FRANK], message(sender, FRANK, "not mine"))
    assert "not owned by user" in str(e.value)


@pytest.mark.parametrize("sender", ["sales@example.test", "team@example.test", "alice+lists@example.test"])
def test_a_user_may_send_as_an_alias(mail: Machine, sender: str) -> None:
    assert arrives(mail, FRANK, send(mail, ALICE, FRANK, sender=sender))


def test_addresses_cannot_be_found_out(mail: Machine) -> None:
    with outsider(mail) as client:
        client.ehlo()
        assert client.vrfy(ALICE)[0] == client.vrfy("nobody@example.test")[0] == 502
        assert client.docmd("EXPN", "team@example.test")[0] in (500, 502)


@pytest.mark.parametrize("end", ["\n.\n", "\n.\r\n", "\r\n.\n"])
def test_smuggled_mail_stays_inside_what_carries_it(mail: Machine, end: str) -> None:
    """A bare LF must not end a message, or a second one follows that nobody has checked (CVE-2023-51764)."""
    carrier, hidden = secrets.token_hex(8), secrets.token_hex(8)
    smuggled = f"MAIL FROM:<{FRANK}>\r\nRCPT TO:<{ALICE}>\r\nDATA\r\nSubject: {hidden}\r\n\r\nhidden"
    with outsider(mail) as client:
        client.ehlo()
        client.mail("a@elsewhere.test")
        client.rcpt(ALICE)
        assert client.docmd("DATA")[0] == 354
        client.send(f"Subject: {carrier}\r\n\r\ntext{end}{smuggled}\r\n.\r\n".encode())
        code, _ = client.getreply()
        assert code in (250, 521, 550)
        assert client.noop()[0] == 250 or code == 521
    if code == 250:
        assert arrives(mail, ALICE, carrier)
    assert arrives(mail, ALICE, deliver(mail, ALICE))
    assert hidden not in subjects(mail, ALICE)


def test_the_systems_own_users_have_no_mail(clone: Machine) -> None:
    clone.sh("useradd -m admin && echo admin:hunter2 | chpasswd")
    assert [
        login(clone, way, name, "hunter2") != 0
        for way in ("pop3s", "submissions")
        for name in ("admin", "admin@mail.example.test")
    ] == [True] * 4
    assert refusal(clone, ELSEWHERE, "admin@mail.example.test") in (550, 554)
    assert login(clone, "pop3s", ALICE) == 0


def test_only_declared_ports_listen(mail: Machine) -> None:
    listening = {line.split()[3] for line in mail.sh("ss -Hltn").splitlines()}
    outside = {int(place.rpartition(":")[2]) for place in listening if not place.startswith(("127.", "[::1]"))}
    assert outside == {22, *PORTS.values()}
    udp = {line.split()[3].rpartition(":")[2] for line in mail.sh("ss -Hlun").splitlines()}
    assert udp <= {"68", "546"}


def test_keys_and_hashes_are_roots(mail: Machine) -> None:
    assert mail.sh("stat -c '%a %U %G' /etc/mailprov/tls/default.pem") == "600 root root\n"
    closed = {"/etc/mailprov/tls": "700 root root", "/var/lib/mailprov": "700 root root"}
    closed |= {"/etc/dovecot/mailprov": "750 root dovecot", "/etc/postfix/mailprov": "750 root postfix"}
    for folder, mode in (closed | {"/var/vmail": "750 vmail vmail"}).items():
        assert mail.sh(f"stat -c '%a %U %G' {folder}") == f"{mode}\n"
    # What an undo needs stays in old/, behind /var/lib/mailprov.
    everywhere = "--exclude-dir old /etc/mailprov /etc/dovecot /etc/postfix /var/lib/mailprov"
    secret = rf"grep -rlE -e 'PRIVATE KEY|\$6\$[^ ]{{60}}' {everywhere}"
    assert set(mail.sh(secret).split()) == {"/etc/mailprov/tls/default.pem", "/etc/dovecot/mailprov/accounts"}


def connects(address: str, port: int, source: str = "") -> bool:
    """Whether the port answers; a firewall that drops does not."""
    try:
        with socket.create_connection((address, port), timeout=0.8, source_address=(source, 0) if source else None):
            return True
    except TimeoutError:
        return False


def test_the_firewall_opens_what_is_declared(clone: Machine) -> None:
    """Narrowed listeners, further ports, and nothing else; SSH always, wherever it listens."""
    friend, stranger = clone.client_address(), clone.client_address()
    clone.sh("echo 'Port 22\nPort 2222' >>/etc/ssh/sshd_config; systemctl restart ssh")
    for port in (9100, 9101):
        unit = ("systemd-run", "-q", "openssl", "s_server", "-accept", str(port), "-nocert")
        clone.host.run(unit)
    clone.declared["firewall"]["allow"] = [
        {"port": 110, "from": [f"{friend}/32"]},
        {"port": 9100, "from": [f"{friend}/32", "2001:db8::/32"]},
    ]
    assert not connects(clone.address, 9100, friend)
    refused = clone.apply()
    assert (refused.status, "narrows port 110 from everywhere to" in refused.err) == (5, True), refused.said
    applied = clone.apply("--allow-closing", "--allow-opening")
    assert applied.status == 0, applied.said
    assert [connects(clone.address, port, friend) for port in (110, 9100, 9101)] == [True, True, False]
    assert [connects(clone.address, port, stranger) for port in (110, 9100, 9101)] == [False, False, False]
    assert all(connects(clone.address, port, stranger) for port in (22, 2222, *set(PORTS.values()) - {110}))
    assert clone.plan().status == 0
    clone.declared["firewall"] = {"manage": False}
    assert clone.apply().status == 0
    assert all(connects(clone.address, port, stranger) for port in (110, 9101))
    assert clone.sh("nft list tables") == ""
    assert clone.plan().status == 0


def test_a_listener_that_is_taken_out_is_closed(clone: Machine) -> None:
    del clone.declared["services"]["pop3"]["starttls"]
    del clone.declared["services"]["imap"]
    clone.declared["services"]["submission"] = {"starttls": 2525}
    clone.user(BOB)["protocols"] = ["pop3"]
    refused = clone.apply()
    assert (refused.status, "closes ports 110, 143, 465, 587, 993" in refused.err) == (5, True), refused.said
    applied = clone.apply("--allow-closing")
    assert applied.status == 0, applied.said
    listening = {int(line.split()[3].rpartition(":")[2]) for line in clone.sh("ss -Hltn").splitlines()}
    assert listening == {22, 25, 995, 2525}
    assert not any(connects(clone.address, port) for port in (110, 143, 465, 587, 993))
    assert clone.plan().status == 0
    assert login(clone, "pop3s", ALICE) == 0


def test_the_certificate_is_the_declared_one_and_valid(mail: Machine) -> None:
    with socket.create_connection((mail.address, 995)) as raw, trusting(mail).wrap_socket(raw) as shown:
        found = shown.getpeercert() or {}
        assert found["subjectAltName"] == (("DNS", HOSTNAME),)
        assert ssl.cert_time_to_seconds(str(found["notAfter"])) > time.time()
