"""Mail leaves through a provider's relay: with a login, over TLS, as declared; and so it goes on while others fail."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest
from mail_clients import arrives, message, outsider, send, subjects
from mail_machine import ALICE, CAROL, Converged, Machine, eventually
from mail_provider import ELSEWHERE, NAME, PASSWORD, USER, provider

pytestmark = pytest.mark.host

RELAY = {"host": NAME, "user": USER, "password": {"env": "RELAY_PASSWORD"}}


def queue(mail: Machine) -> str:
    return mail.sh("postqueue -p")


def taken(mail: Machine, since: str) -> str:
    """What a provider's journal says since a mark, with the names of who says it."""
    return mail.sh('journalctl -q -o short --after-cursor "$1"', since)


def flush(mail: Machine) -> None:
    mail.sh("postqueue -f")


def test_through_a_relay(converged: Converged, clone: Machine, tmp_path: Path) -> None:
    with provider(converged, clone, tmp_path) as there:
        clone.environment["RELAY_PASSWORD"] = PASSWORD
        clone.declared["outgoing"] = {"relay": RELAY}
        # a generated password comes into the plan after the host has been looked at
        clone.declared["users"].append({"address": "new@example.test"})
        planned = clone.plan()
        assert planned.status == 2 and PASSWORD not in planned.said, planned.said
        before = clone.mark()
        applied = clone.apply()
        assert applied.status == 0 and PASSWORD not in applied.said, applied.said
        assert clone.plan().status == 0
        assert clone.sh("stat -c '%a %U' /etc/postfix/mailprov/relay-*") == "600 root\n"
        since = there.machine.mark()
        first = send(clone, ALICE, ELSEWHERE)
        assert arrives(there.machine, USER, first), clone.journal(before)
        said = taken(there.machine, since)
        assert f"sasl_username={USER}" in said and "postfix/submission" in said, said
        assert f"Verified TLS connection established to {NAME}" in clone.journal(before)
        assert PASSWORD not in clone.journal(before)

        # what is wrong is held back, told, and leaves once it is right
        clone.environment["RELAY_PASSWORD"] = "a former one"
        assert clone.apply().status == 0
        held = send(clone, ALICE, ELSEWHERE)
        assert eventually(lambda: "authentication failed" in queue(clone)), queue(clone)
        told = clone.mailprov("status")
        assert told.status == 0 and "mail waits to be sent: 1 message, the oldest since" in told.out, told.said
        assert "1 recipient: SASL authentication failed; server smtp.provider.test" in told.out
        asked = clone.mailprov("doctor", "--ca", str(clone.roots))
        assert asked.status == 9 and "the relay refuses the login" in asked.out, asked.said
        clone.environment["RELAY_PASSWORD"] = PASSWORD
        assert clone.apply().status == 0
        flush(clone)
        assert arrives(there.machine, USER, held), queue(clone)
        assert "mail waits" not in clone.mailprov("status").out

        # some go another way: at the port that begins with TLS, or to the receiver's own server
        other = {**RELAY, "tls": "tls"}
        clone.declared["outgoing"]["senders"] = [
            {"from": ["other.test"], "relay": other},
            {"from": ["sales@example.test"], "relay": "direct"},
        ]
        assert clone.apply().status == 0
        since = there.machine.mark()
        wrapped = send(clone, CAROL, ELSEWHERE)
        assert arrives(there.machine, USER, wrapped), queue(clone)
        assert "postfix/submissions" in taken(there.machine, since)
        since = there.machine.mark()
        direct = send(clone, ALICE, ELSEWHERE, sender="sales@example.test")
        assert arrives(there.machine, USER, direct), queue(clone)
        assert "sasl_username" not in taken(there.machine, since)

        # as it was before
        assert clone.mailprov("rollback", "--yes").status == 0
        since = there.machine.mark()
        assert arrives(there.machine, USER, send(clone, CAROL, ELSEWHERE))
        assert "postfix/submissions" not in taken(there.machine, since)
        del clone.declared["outgoing"]
        gone = clone.apply("--allow-removals")
        assert gone.status == 0, gone.said
        assert clone.sh("ls /etc/postfix/mailprov") == converged.mail.sh("ls /etc/postfix/mailprov")
        assert "relay" not in clone.sh("postconf -h default_transport")


@pytest.mark.one_release
def test_a_relay_with_another_certificate_gets_no_password(
    converged: Converged, clone: Machine, tmp_path: Path
) -> None:
    with provider(converged, clone, tmp_path) as there:
        there.machine.sh("postconf -e smtpd_tls_cert_file=/etc/mailprov/tls/default.pem; postfix reload")
        there.machine.sh("postconf -e smtpd_tls_key_file=/etc/mailprov/tls/default.pem; postfix reload")
        clone.environment["RELAY_PASSWORD"] = PASSWORD
        clone.declared["outgoing"] = {"relay": RELAY}
        assert clone.apply().status == 0
        since = there.machine.mark()
        send(clone, ALICE, ELSEWHERE)
        assert eventually(lambda: "not verified" in queue(clone)), queue(clone)
        assert "sasl_username" not in taken(there.machine, since)


@pytest.mark.one_release
def test_who_is_not_reached_is_named(converged: Converged, clone: Machine, tmp_path: Path) -> None:
    """A relay that is down; then a network that lets nobody out at port 25, which is another thing to mend."""

    def diagnosed() -> str:
        asked = clone.mailprov("doctor", "--ca", str(clone.roots))
        assert asked.status == 9, asked.said
        return asked.out

    with provider(converged, clone, tmp_path) as there:
        clone.environment["RELAY_PASSWORD"] = PASSWORD
        clone.declared["outgoing"] = {"relay": RELAY}
        assert clone.apply().status == 0
        there.machine.sh(
            "nft add table inet closed; nft add chain inet closed in '{ type filter hook input priority 0; }'"
        )
        for rule in ("587 reject with tcp reset", "25 drop"):
            there.machine.sh(f"nft add rule inet closed in tcp dport {rule}")
        held = send(clone, ALICE, ELSEWHERE)
        assert eventually(lambda: ":587: Connection refused" in queue(clone)), queue(clone)
        assert "the relay is not reached" in diagnosed()
        del clone.declared["outgoing"]
        assert clone.apply("--allow-removals").status == 0
        send(clone, ALICE, "someone@second.test")
        flush(clone)
        assert eventually(lambda: queue(clone).count(":25: Connection timed out") == 2, 90), queue(clone)
        said = diagnosed()
        assert "other mail servers are not reached at port 25" in said and "outgoing: {relay: …}" in said, said
        there.machine.sh("nft delete table inet closed")
        flush(clone)
        assert arrives(there.machine, USER, held), queue(clone)


@pytest.mark.one_release
def test_a_printer_sends_as_a_declared_address(clone: Machine) -> None:
    def answer(sender: str, recipient: str) -> int:
        with outsider(clone) as client:
            client.ehlo()
            client.mail(sender)
            return client.rcpt(recipient)[0]

    assert answer(ALICE, ELSEWHERE) == 554
    clone.declared["outgoing"] = {"allow_from": [f"{clone.host.place.gateway}/32"]}
    assert clone.apply().status == 0
    assert answer(ALICE, ELSEWHERE) == 250
    assert answer("sales@example.test", ELSEWHERE) == 250
    assert [answer(each, ELSEWHERE) for each in ("nobody@example.test", ELSEWHERE, "")] == [550, 554, 554]
    assert answer(ELSEWHERE, ALICE) == 250
    with outsider(clone) as client:
        client.sendmail(ALICE, [CAROL], message(ALICE, CAROL, "scanned"))
    assert eventually(lambda: "scanned" in subjects(clone, CAROL))
    clone.declared["outgoing"]["message_size"] = "1MiB"
    assert clone.apply().status == 0
    with outsider(clone) as client, pytest.raises(smtplib.SMTPSenderRefused) as refused:
        client.sendmail(ELSEWHERE, [ALICE], message(ELSEWHERE, ALICE, "large", 2**20))
    assert refused.value.smtp_code == 552
    assert clone.mailprov("rollback", "--yes").status == 0
    assert clone.sh("postconf -h message_size_limit").strip() == str(50 * 2**20)
    assert answer(ALICE, ELSEWHERE) == 250
    del clone.declared["outgoing"]
    assert clone.apply("--allow-removals").status == 0
    assert answer(ALICE, ELSEWHERE) == 554
