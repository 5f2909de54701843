"""Messages go after the declared time, by Dovecot itself: from that INBOX, and from nowhere else."""

from __future__ import annotations

import time

import pytest
from mail_clients import arrives, deliver, imap, message, pop3, subjects
from mail_machine import ALICE, FRANK, LI, Machine, eventually

pytestmark = pytest.mark.host

ACCOUNTS = "/etc/dovecot/mailprov/accounts"


def sent(mail: Machine, user: str) -> int:
    """How many messages are in the user's Sent folder."""
    with imap(mail, user) as client:
        return int(client.select("Sent", readonly=True)[1][0] or b"0")


def log_in_and_out(mail: Machine, user: str) -> None:
    with pop3(mail, user) as client:
        client.stat()


@pytest.mark.one_release
def test_messages_expire_where_that_was_declared(clone: Machine) -> None:
    mail = clone
    for user in (ALICE, FRANK, LI):
        assert arrives(mail, user, deliver(mail, user))
        with imap(mail, user) as client:
            assert client.append("Sent", "", "", message(user, user, "kept"))[0] == "OK"
    mail.user(ALICE)["expire"] = "90d"
    mail.user(FRANK)["expire"] = "30d"
    plan = mail.plan()
    assert f"deletes messages older than 90 days of {ALICE}: needs --allow-expiry" in plan.out
    assert "messages are deleted from the INBOX after 30 days, fetched or not: 1 account" in plan.out
    assert "no service is reloaded or restarted" in plan.out
    refused = mail.apply()
    assert (refused.status, "--allow-expiry" in refused.err) == (5, True)
    applied = mail.apply("--allow-expiry")
    assert applied.status == 0, applied.said
    for user in (ALICE, FRANK):
        log_in_and_out(mail, user)
    time.sleep(1)
    assert all(subjects(mail, user) for user in (ALICE, FRANK, LI)), "young messages stay"

    # Days pass: here, they become seconds.
    mail.sh(f"sed -i 's/autoexpunge=90d/autoexpunge=1s/' {ACCOUNTS}")
    time.sleep(2)
    log_in_and_out(mail, ALICE)
    assert eventually(lambda: subjects(mail, ALICE) == [])
    for user in (FRANK, LI):
        log_in_and_out(mail, user)
    assert subjects(mail, FRANK) and subjects(mail, LI)
    assert [sent(mail, user) > 0 for user in (ALICE, FRANK, LI)] == [True] * 3
    mail.sh(f"sed -i 's/autoexpunge=1s/autoexpunge=90d/' {ACCOUNTS}")
    assert mail.plan().status == 0

    # More days, or none at all, take nothing away and need no consent.
    mail.user(ALICE)["expire"] = "120d"
    del mail.user(FRANK)["expire"]
    plan = mail.plan()
    assert "2 of 7 accounts change" in plan.out and "--allow" not in plan.out
    assert mail.apply().status == 0
    mail.user(ALICE)["expire"] = "119d"
    assert "needs --allow-expiry" in mail.plan().out
