"""A stolen password sends no more than its owner may: the rest is put off and told, and others go on."""

from __future__ import annotations

import smtplib
import time

import pytest
from mail_clients import arrives, message, send, submission
from mail_machine import ALICE, CAROL, DAVE, Machine

pytestmark = [pytest.mark.host, pytest.mark.one_release]


def sends(mail: Machine, user: str, count: int, *recipients: str) -> list[str]:
    """What a user is told of so many messages in one session after another; "" where they are taken."""
    told: list[str] = []
    while len(told) < count:
        with submission(mail, user) as client:
            for _ in range(min(9, count - len(told))):
                try:
                    client.sendmail(user, [*(recipients or (CAROL,))], message(user, CAROL, f"{len(told)} of many"))
                    told.append("")
                except smtplib.SMTPResponseException as error:
                    told.append(f"{error.smtp_code} {bytes(error.smtp_error).decode()}")
    return told


def test_a_stolen_password(clone: Machine) -> None:
    # without a signed domain, limits that are declared bring rspamd
    clone.declared["outgoing"] = {"limits": {"messages": 240, "recipients": 1000}}
    applied = clone.apply()
    assert applied.status == 0, applied.said
    assert clone.plan().status == 0
    told = sends(clone, ALICE, 1000)
    taken = told.count("")
    # one comes back every 15 seconds
    assert 240 <= taken < 280, taken
    refused = next(each for each in told if each)
    assert refused.startswith(f"451 4.7.1 {ALICE} may send 240 messages an hour: try again in "), refused
    assert set(told[taken:]) != {""} and told[0] == ""

    # others notice nothing
    assert arrives(clone, DAVE, send(clone, DAVE, DAVE))
    seen = clone.mailprov("verify")
    assert seen.status == 0, seen.said
    asked = clone.mailprov("doctor", "--ca", str(clone.roots))
    assert f"{ALICE}: " in asked.out and "as much as a user may within an hour" in asked.out, asked.said

    # the user can go on by and by
    time.sleep(16)
    assert "" in sends(clone, ALICE, 1)

    # recipients count as well; and what no hour could hold is refused for good
    clone.declared["outgoing"]["limits"] = {"recipients": 5}
    assert clone.apply().status == 0
    many = [f"r{number}@other.test" for number in range(6)]
    assert sends(clone, DAVE, 1, *many)[0].startswith("554 5.7.1 A user may write to 5 recipients an hour")
    assert sends(clone, DAVE, 2, *many[:3]) == ["", sends(clone, DAVE, 1, *many[:3])[0]]

    # without limits, and without a signed domain, rspamd goes
    clone.declared["outgoing"]["limits"] = False
    assert clone.apply().status == 0
    assert clone.sh("systemctl is-active rspamd; :").strip() == "inactive"
    assert sends(clone, DAVE, 1, *many) == [""]
