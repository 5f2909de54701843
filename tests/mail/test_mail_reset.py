"""A password that somebody has forgotten is replaced on a real host, and nothing else."""

from __future__ import annotations

import csv
import imaplib
import json

import pytest
from mail_clients import imap, logins, pop3
from mail_machine import ALICE, BOB, PASSWORDS, Machine, eventually

pytestmark = [pytest.mark.host, pytest.mark.one_release]

GUS = "gus@example.test"
TABLE = "/etc/dovecot/mailprov/accounts"


def kept(mail: Machine) -> dict[str, str]:
    with (mail.folder / "handout/passwords.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["address"]: row["password"] for row in csv.DictReader(file)}


def is_open(client: imaplib.IMAP4) -> bool:
    try:
        return client.noop()[0] == "OK"
    except (OSError, client.abort):
        return False


def test_a_forgotten_password_is_replaced(clone: Machine) -> None:
    clone.declared["users"].append({"address": GUS})
    assert clone.apply().status == 0
    first = kept(clone)[GUS]
    assert logins(clone, GUS, first) == [True, True, True]
    clone.declared["services"]["pop3"] = {"tls": 995}  # declared, and not applied: no business of a reset
    before, reloads, table = clone.daemons(), clone.reloads(), clone.sh(f"grep -v '^gus@' {TABLE}")
    with imap(clone, GUS, first) as session, imap(clone, ALICE) as other:
        done = clone.mailprov("password", "reset", "--yes", "--end-sessions", "--format", "json", GUS)
        assert done.status == 0, done.said
        assert [host["verdict"] for host in json.loads(done.out)["hosts"]] == ["applied"]
        assert eventually(lambda: not is_open(session), 5)
        assert other.noop()[0] == "OK"
    second = kept(clone)[GUS]
    assert second != first and second not in done.said
    assert logins(clone, GUS, second) == [True, True, True]
    assert logins(clone, GUS, first) == [False, False, False]
    assert (clone.daemons(), clone.reloads()) == (before, reloads)
    assert clone.sh(f"grep -v '^gus@' {TABLE}") == table
    assert "reset 1 password" in clone.mailprov("history").out
    # What was pending is pending, and nothing is drift.
    plan = clone.plan()
    assert plan.status == 2 and "drift" not in plan.out and "accounts" not in plan.out, plan.out
    # A rollback leaves it, and says so.
    back = clone.mailprov("rollback", "--yes")
    assert back.status == 0 and "passwords that were reset" in back.said, back.said
    assert logins(clone, GUS, second) == [True, True, True]


def test_a_reset_that_is_not_confirmed_is_put_back(clone: Machine) -> None:
    row = clone.sh(f"grep '^bob@' {TABLE}")
    clone.prelude = "from mailprov.workflows import password_reset; password_reset.answer_anew = lambda *_: None"
    done = clone.mailprov("password", "reset", "--yes", BOB)
    assert done.status == 6 and "no confirmation came within 60 seconds" in done.err, done.said
    assert clone.sh(f"grep '^bob@' {TABLE}") == row
    assert logins(clone, BOB)[0] and kept(clone) == {}
    assert eventually(lambda: "idle" in clone.mailprov("status").out)
    clone.prelude = ""
    done = clone.mailprov("password", "reset", "--yes", BOB)
    assert done.status == 0, done.said
    with pop3(clone, BOB, kept(clone)[BOB]):
        pass
    assert logins(clone, BOB, PASSWORDS[BOB])[0] is False
    assert clone.plan().status == 0


def test_a_table_names_whose_passwords_are_reset(clone: Machine) -> None:
    (clone.folder / "list.csv").write_text("local_part\nbob\n")
    asked = clone.mailprov("password", "reset", "--yes", "--ask", BOB)
    assert asked.status == 1 and "the password is empty" in asked.err, asked.said
    table = ("--from", "list.csv", "--domain", "example.test")
    done = clone.mailprov("password", "reset", "--yes", *table, "--details", "--allow-many", "--handout", "kept")
    assert done.status == 0 and f"~ {BOB}  a new password" in done.out, done.said
    assert not (clone.folder / "handout").exists() and (clone.folder / "kept/passwords.csv").exists()
    assert logins(clone, BOB) == [False, False, False]
