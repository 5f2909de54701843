"""What a roll-back believes of the past: what is whole, what it was planned from, and nothing that has not ended."""

from __future__ import annotations

import re
import signal
import time
from datetime import timedelta

import mail_certificates
import pytest
from mail_clients import logins
from mail_machine import ALICE, HOSTNAME, Machine, ended, eventually
from test_mail_rollback import CONSENTS, certificate_and_firewall, listener, people, rolled_back, state
from test_mail_trouble import one_error

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

STATE = "/var/lib/mailprov"

# Hold the command line at a place until the file "go" is there, having made the file "held".
HOLD = """
import os, time
def held(*given, **more):
    open('held', 'w').close()
    while not os.path.exists('go'): time.sleep(0.05)
    return kept(*given, **more)
"""
AT_ITS_QUESTION = f"import mailprov.workflows.rollback as where\nkept = where.agree_to\n{HOLD}\nwhere.agree_to = held"
AT_ITS_CONFIRMATION = f"import mailprov.workflows.run_plan as where\nkept = where.answer\n{HOLD}\nwhere.answer = held"

# In the folder of the last transaction, and what is said then.
DAMAGES = {
    "a copy": ("of() { awk -F '\\t' -v name=\"$1\" '$2 == \"key\" && $4 == name { print $1 }' steps; }; "
               "sed -i 's/[a-f]/0/' old/$(of /etc/dovecot/dovecot.conf)", "is damaged"),
    "a copy gone": ("rm old/$(ls old | head -n 1)", "is damaged"),
    "all copies gone": ("rm -rf old", "is damaged"),
    "its journal": ("sed -i '0,/ done /s// dooe /' journal", "is damaged"),
    "its journal gone": ("rm journal", "is damaged"),
    "its steps": ("sed -i '0,/key\\tfile/s//key\\tfilf/' steps", "is damaged"),
    "the manifest of before": ("rm -rf former", "is damaged"),
    "its sums": ("rm kept.sums", "is damaged"),
    "the record": (f"sed -i '1s/ applied / apqlied /' {STATE}/history", "the record has a gap"),
    "the record's end": (f"sed -i '$s/ applied / apqlied /' {STATE}/history", "is gone or damaged"),
    "the record gone": (f"rm {STATE}/history", "the record of what was applied is gone"),
}  # fmt: skip


@pytest.mark.one_release
def test_what_is_damaged_is_not_gone_back_to(clone: Machine) -> None:
    listener(clone.declared)
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    before = state(clone)
    clone.sh(f"cp -a {STATE} /root/kept")
    for what, (damage, told) in DAMAGES.items():
        clone.sh(f"cd {STATE}/txn/$(ls {STATE}/txn | sort | tail -n 1) && {damage}")
        refused = clone.mailprov("rollback", "--yes", *CONSENTS)
        assert refused.status == 1, (what, refused.said)
        one_error(refused, told)
        assert state(clone) == before, what
        past = clone.mailprov("history"), clone.mailprov("status")
        gone = what == "the record gone"
        assert [ran.status for ran in past] == [int("record" in what), int(gone)], (what, *past)
        clone.sh(f"rm -rf {STATE} && cp -a /root/kept {STATE}")
    rolled_back(clone)


@pytest.mark.one_release
def test_it_goes_back_over_the_last_apply_and_no_other(clone: Machine) -> None:
    listener(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    clone.prelude = AT_ITS_QUESTION
    rollback = clone.start("rollback", "--yes", *CONSENTS)
    assert eventually((clone.folder / "held").exists, 60)
    clone.prelude = ""
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    between = state(clone)
    (clone.folder / "go").touch()
    stale = ended(rollback)
    assert stale.status == 4, stale.said
    assert state(clone) == between


@pytest.mark.one_release
def test_whoever_interrupts_a_rollback_is_told_what_the_host_does(clone: Machine) -> None:
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    between = state(clone)
    clone.prelude = AT_ITS_CONFIRMATION
    rollback = clone.start("rollback", "--yes", *CONSENTS)
    assert eventually((clone.folder / "held").exists, 60)
    rollback.send_signal(signal.SIGINT)
    ran = ended(rollback)
    assert ran.status == 1
    one_error(ran, "interrupted: it goes on by itself: it is waiting until", "look with `mailprov status`")
    clone.sh(f"cd {STATE}/txn/$(cat {STATE}/open) && echo no >refused")
    assert eventually(lambda: not clone.sh(f"ls {STATE}/open 2>/dev/null || :"), 60)
    assert state(clone) == between


@pytest.mark.one_release
def test_what_has_not_ended_is_no_success(clone: Machine) -> None:
    """Whoever repeats an apply that was interrupted is not told that all is done, when it is about to be undone."""
    before = state(clone)
    clone.prelude, shown = AT_ITS_CONFIRMATION, clone.shown
    old, clone.user(ALICE)["quota"] = clone.user(ALICE)["quota"], "3GiB"
    clone.renew()
    apply = clone.start("apply", "--yes", *CONSENTS)
    assert eventually((clone.folder / "held").exists, 60)
    apply.kill()
    apply.communicate()
    clone.prelude = ""
    for words in (["apply", "--yes", *CONSENTS], ["plan", "--detailed-exitcode"]):
        refused = clone.mailprov(*words)
        assert refused.status == 8, refused.said
        one_error(refused, "has not come to its end", "waiting until")
    clone.user(ALICE)["quota"] = old
    clone.show(shown)
    assert "mailprov-test" in clone.sh(f"ls {STATE}/testaccount")
    said = clone.plan("--details").said
    assert "an apply is at work there" in said
    # The account by which it looks from outside is nobody's change.
    assert "mailprov-test" not in said and "mailprov/verify" not in said, said
    clone.sh(f"cd {STATE}/txn/$(cat {STATE}/open) && echo no >refused")
    assert eventually(lambda: not clone.sh(f"ls {STATE}/open 2>/dev/null || :"), 60)
    assert state(clone) == before
    assert clone.plan().status == 0


def test_a_service_that_is_down_is_started(clone: Machine) -> None:
    before = state(clone)
    listener(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    clone.sh("systemctl stop dovecot")
    ran = clone.mailprov("rollback", "--yes", *CONSENTS)
    assert ran.status == 0, ran.said
    assert re.search("service dovecot +start", ran.out)
    assert state(clone) == before
    assert logins(clone, ALICE) == [True, True, True]


def test_a_port_that_somebody_else_has_opened_since_is_theirs(clone: Machine) -> None:
    listener(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    clone.sh("postconf -M 2525/inet='2525 inet n - y - - smtpd' && postfix reload")
    assert eventually(lambda: clone.sh("ss -Hltn 'sport = :2525'"))
    refused = clone.mailprov("rollback", "--yes")
    assert refused.status == 5, refused.said
    one_error(refused, "closes port 10143\n")
    rolled_back(clone)
    assert clone.sh("ss -Hltn 'sport = :2525'")
    assert not clone.sh("ss -Hltn 'sport = :10143'")
    assert logins(clone, ALICE) == [True, True, True]


def test_what_was_broken_is_not_broken_again(clone: Machine) -> None:
    """A service that was down and a map that was gone, both by accident: an apply mended them, and they stay so."""
    before = state(clone)
    clone.sh("systemctl stop dovecot; rm /etc/postfix/mailprov/logins.db /etc/postfix/mailprov/aliases*")
    people(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    rolled_back(clone)
    assert state(clone) == before
    assert logins(clone, ALICE) == [True, True, True]


@pytest.mark.one_release
def test_a_certificate_that_has_expired_is_not_served_again(clone: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    soon, begun = 45, time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(
            mail_certificates, "timedelta", lambda days: timedelta(seconds=soon) if days > 99 else timedelta(days=days)
        )
        clone.show(mail_certificates.certificate(HOSTNAME, clone.ca))
    assert clone.apply(*CONSENTS).status == 0
    certificate_and_firewall(clone.declared)
    assert clone.apply(*CONSENTS).status == 0
    between = state(clone)
    time.sleep(max(0.0, begun + soon + 2 - time.monotonic()))
    refused = clone.mailprov("rollback", "--yes", *CONSENTS)
    assert refused.status == 1, refused.said
    one_error(refused, "has expired")
    assert state(clone) == between


@pytest.mark.one_release
def test_it_says_what_comes_next(clone: Machine) -> None:
    people(clone.declared)
    clone.declared["users"].append({"address": "generated@example.test"})
    assert clone.apply(*CONSENTS).status == 0
    ran = clone.mailprov("rollback", "--yes", *CONSENTS)
    assert ran.status == 0, ran.said
    assert "generated passwords that nobody keeps after this: generated@example.test" in ran.said
    assert "the next apply brings this back" in ran.said
    again = clone.mailprov("rollback", "--yes", *CONSENTS)
    assert re.search(r"back to before \S+ \(itself a rollback to before \S+\)", again.out), again.said
