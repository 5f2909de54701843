"""A working week of an administrator, typed in one go: who joins and leaves, what is wrong, and what is put right."""

from __future__ import annotations

import json

import pytest
from mail_clients import arrives, deliver, refusal, subjects
from mail_machine import ALICE, Machine, Ran

from mailprov.credentials.folder import Folder

pytestmark = pytest.mark.host

GRACE = "grace@example.test"
HANDOUT = ("--handout", "passwords")


def done(ran: Ran, status: int = 0) -> Ran:
    assert ran.status == status, ran.said
    return ran


def test_a_week(clone: Machine) -> None:
    # Monday: the host's key is what it was; somebody joins.
    done(clone.mailprov("trust", "mail1", "--yes"))
    done(clone.mailprov("trust", "mail1", "--yes", "--replace"))
    clone.declared["users"].append({"address": GRACE, "quota": "1GiB"})
    plan = done(clone.plan(*HANDOUT), 2)
    assert "1 password will be generated, handed out in " in plan.said
    done(clone.apply("--max-failures", "0", "--shard", "1/1", *HANDOUT))
    assert GRACE in done(clone.mailprov("handout", "list", *HANDOUT)).out
    seen = clone.mailprov("verify", "--all-users", "--ca", str(clone.roots), *HANDOUT)
    assert "2 of 8 log in" in done(seen).out, "Bob, whose password is declared, and Grace"
    assert refusal(clone, "someone@elsewhere.test", GRACE) == 250
    (entry,) = Folder(clone.folder / "passwords").entries()
    clone.environment["GRACE"] = entry.password.reveal()
    look = ("doctor", "--user", GRACE, "--password-env", "GRACE", "--details", "--ca", str(clone.roots))
    found = done(clone.mailprov(*look), 9).out
    assert f"{GRACE} is in" in found and "first cause: the server's name is not in DNS" in found
    assert "nothing" in done(clone.mailprov("handout", "purge", "--expired", "--yes", *HANDOUT)).said
    # Tuesday: a quota, by a plan that somebody else has looked at first; it can be carried out once.
    clone.user(GRACE)["quota"] = "2GiB"
    done(clone.mailprov("plan", "--out", "tuesday.json"))
    done(clone.apply("tuesday.json"))
    assert "unchanged" in done(clone.apply("tuesday.json")).said or clone.plan().status == 0
    # Wednesday: a new certificate, a listener closed; what was planned on Tuesday is another plan now.
    clone.renew()
    del clone.declared["services"]["imap"]["starttls"]
    done(clone.apply("tuesday.json"), 4)
    done(clone.apply(), 5)
    done(clone.apply("--allow-closing"))
    assert clone.sh("ss -Hltn 'sport = :143'") == ""
    # Thursday: somebody was on the host.
    clone.sh("chmod 600 /etc/postfix/main.cf; echo '# by hand' >>/etc/dovecot/dovecot.conf")
    drift = done(clone.plan(), 2)
    assert drift.out.count("[drift]") == 2
    done(clone.apply())
    done(clone.plan())
    # Friday: Wednesday was a mistake.
    wednesday = [line.split()[2] for line in done(clone.mailprov("history")).out.splitlines() if " applied " in line][
        -2
    ]
    done(clone.mailprov("rollback", "--yes", "--to", wednesday, *HANDOUT))
    assert clone.sh("ss -Hltn 'sport = :143'") != ""
    clone.declared["services"]["imap"]["starttls"] = 143
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    # Grace leaves; her mail stays until somebody says how many mailboxes may go.
    subject = deliver(clone, GRACE)
    clone.declared["users"].remove(clone.user(GRACE))
    done(clone.apply("--allow-removals"))
    assert refusal(clone, "someone@elsewhere.test", GRACE) == 550
    assert GRACE in clone.mailprov("purge").out
    done(clone.mailprov("purge", "--delete", "1"))
    assert subject not in subjects(clone, ALICE)
    assert "idle" in done(clone.mailprov("status")).out
    past = json.loads(done(clone.mailprov("history", "--format", "json")).out)
    assert past["hosts"][0]["host"] == "mail1"
    done(clone.plan())
