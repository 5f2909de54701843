"""Mail goes where the declaration says, and nowhere else."""

from __future__ import annotations

import secrets
import smtplib

import pytest
from mail_clients import arrives, deliver, message, outsider, refusal, send, subjects, submission
from mail_machine import ALICE, BOB, CAROL, CHINESE, DAVE, FRANK, LI, Machine

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("recipient", "mailbox"),
    [
        pytest.param(ALICE, ALICE, id="mailbox"),
        pytest.param("ALICE@Example.Test", ALICE, id="capitals"),
        pytest.param("sales@example.test", ALICE, id="user alias"),
        pytest.param("everyone@other.test", DAVE, id="alias"),
        pytest.param("alice+lists@example.test", ALICE, id="detail"),
        pytest.param("sales+lists@example.test", ALICE, id="detail of an alias"),
        pytest.param(LI, LI, id="IDN domain"),
        pytest.param("never-declared@other.test", DAVE, id="catch-all"),
        pytest.param("carol+lists@other.test", CAROL, id="detail where there is a catch-all"),
    ],
)
def test_it_arrives(mail: Machine, recipient: str, mailbox: str) -> None:
    assert arrives(mail, mailbox, deliver(mail, recipient))


def test_an_alias_of_an_alias_reaches_everyone_once(mail: Machine) -> None:
    subject = deliver(mail, "team@example.test")
    assert arrives(mail, ALICE, subject)
    assert arrives(mail, DAVE, subject)
    assert subjects(mail, ALICE).count(subject) == subjects(mail, DAVE).count(subject) == 1


def test_a_mailbox_gets_its_own_where_there_is_a_catch_all(mail: Machine) -> None:
    subject = deliver(mail, CAROL)
    assert arrives(mail, CAROL, subject)
    assert subject not in subjects(mail, DAVE)


def test_users_write_to_each_other_and_to_an_idn_domain(mail: Machine) -> None:
    assert arrives(mail, LI, send(mail, ALICE, LI))
    assert arrives(mail, ALICE, send(mail, LI, ALICE))


@pytest.mark.parametrize("recipient", ["nobody@example.test", f"nobody@{CHINESE}", "bob.@example.test", "root"])
def test_unknown_recipients_are_refused_at_once(mail: Machine, recipient: str) -> None:
    address = recipient if "@" in recipient else f"{recipient}@mail.example.test"
    assert refusal(mail, "someone@elsewhere.test", address) in (550, 553, 554)


def test_a_full_mailbox_is_refused_at_once(clone: Machine) -> None:
    """It may hold 300 KiB: two of 140 KB fit, a third does not, and is not taken only to be sent back."""
    for _ in range(2):
        assert arrives(clone, CAROL, deliver(clone, CAROL, size=140_000))
    with outsider(clone) as client, pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        client.sendmail("a@elsewhere.test", [CAROL], message("a@elsewhere.test", CAROL, "too much", 140_000))
    code, text = refused.value.recipients[CAROL]
    assert (code, b"full" in text) == (552, True)
    assert refusal(clone, "someone@elsewhere.test", ALICE) == 250
    clone.user(CAROL)["quota"] = "1MiB"
    assert clone.apply().status == 0
    assert arrives(clone, CAROL, deliver(clone, CAROL, size=140_000))


def test_a_message_to_a_full_and_to_an_empty_mailbox(clone: Machine) -> None:
    for _ in range(2):
        assert arrives(clone, CAROL, deliver(clone, CAROL, size=140_000))
    subject = secrets.token_hex(8)
    with submission(clone, FRANK) as client:
        content = message(FRANK, ALICE, subject, 140_000)
        refused = client.sendmail(FRANK, [CAROL, ALICE], content)
    assert arrives(clone, ALICE, subject)
    assert set(refused) <= {CAROL}
    assert subject not in subjects(clone, CAROL)


def test_mail_stays_when_its_reader_leaves_it_there(mail: Machine) -> None:
    subject = deliver(mail, BOB)
    assert arrives(mail, BOB, subject)
    assert subject in subjects(mail, BOB)
