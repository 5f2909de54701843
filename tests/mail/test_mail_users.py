"""People come, go, and change their passwords, and nobody else notices."""

from __future__ import annotations

import imaplib
import poplib
import time

import pytest
from mail_clients import LOGIN_DENIED, Idle, arrives, deliver, imap, login, logins, pop3, refusal, send, subjects
from mail_machine import ALICE, BOB, CAROL, DAVE, ERIN, FRANK, HASHES, PASSWORDS, Machine, eventually

from mailprov.credentials.passwords import sha512_crypt
from mailprov.model import Secret

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

EVE = "eve@example.test"


def hashed(password: str) -> str:
    return sha512_crypt(Secret(password)).reveal()


def test_a_new_user_disturbs_nothing(clone: Machine) -> None:
    """And is there at once: logs in, sends, is written to."""
    password = "secret of eve"
    clone.declared["users"].append(
        {"address": EVE, "password": {"hash": hashed(password)}, "aliases": ["e@example.test"]}
    )
    plan = clone.plan()
    assert plan.status == 2
    assert "1 of 8 accounts changes (1 added)" in plan.out
    assert "drift" not in plan.out and "no service is reloaded or restarted" in plan.out
    before, reloads, since = clone.daemons(), clone.reloads(), clone.mark()
    with pop3(clone, ALICE) as reading, imap(clone, ALICE) as client:
        watching = Idle(client)
        applied = clone.apply()
        assert applied.status == 0, applied.said
        assert logins(clone, EVE, password) == [True, True, True]
        assert arrives(clone, EVE, deliver(clone, "e@example.test"), password)
        assert arrives(clone, EVE, send(clone, ALICE, EVE), password)
        assert reading.noop().startswith(b"+OK") and b"OK" in watching.done()
    assert (clone.daemons(), clone.reloads()) == (before, reloads)
    assert "reload" not in clone.journal(since).lower()
    assert clone.plan().status == 0


def test_a_removed_user_is_shut_out_and_the_mail_stays(clone: Machine) -> None:
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    found = "find /var/vmail/example.test/alice -type f -path '*/new/*' -o -type f -path '*/cur/*'"
    letters = clone.sh(found)
    before, reloads = clone.daemons(), clone.reloads()
    clone.declared["users"].remove(clone.user(ALICE))
    clone.declared["aliases"] = []
    plan = clone.plan()
    assert "1 of 7 accounts changes (1 removed)" in plan.out and "vmail" not in plan.out
    refused = clone.apply()
    assert (refused.status, ALICE in refused.err, "--allow-removals" in refused.err) == (5, True, True)
    assert logins(clone, ALICE) == [True, True, True]
    assert clone.apply("--allow-removals").status == 0
    assert logins(clone, ALICE) == [False, False, False]
    assert refusal(clone, "someone@elsewhere.test", ALICE) == 550
    assert refusal(clone, "someone@elsewhere.test", "sales@example.test") == 550
    assert clone.sh(found) == letters != ""
    assert logins(clone, FRANK) == [True, True, True]
    assert (clone.daemons(), clone.reloads()) == (before, reloads)
    assert clone.plan().status == 0


@pytest.mark.one_release
def test_mail_is_deleted_only_by_number(clone: Machine) -> None:
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    clone.sh('cd /var/vmail/example.test && mkdir -p bob/Maildir ..odd "$1" && chown -R vmail: .', "$(touch x) y")
    home = "/var/vmail/example.test/alice"
    refused = clone.mailprov("purge", ALICE, "--delete", "1")
    assert (refused.status, "has an account" in refused.err) == (1, True)
    clone.declared["users"].remove(clone.user(ALICE))
    clone.declared["aliases"] = []
    assert clone.apply("--allow-removals").status == 0
    listed = clone.mailprov("purge")
    assert listed.status == 0 and "add --delete 1" in listed.out and f"{ALICE}  1 messages" in listed.out, listed.said
    assert clone.mailprov("purge", ALICE, "--delete", "2").status == 5
    assert clone.mailprov("purge", BOB, ALICE, "--delete", "2").status == 1
    assert clone.sh(f"find {home} -type f -path '*/new/*' -o -type f -path '*/cur/*' | wc -l") == "1\n"
    purged = clone.mailprov("purge", ALICE, "--delete", "1")
    assert purged.status == 0, purged.said
    assert clone.sh(f"[ -e {home} ] || echo gone; ls -d {home[:-5]}bob") == f"gone\n{home[:-5]}bob\n"
    history = clone.mailprov("history")
    assert history.status == 0 and "  purged " in history.out
    assert clone.plan().status == 0


def test_a_removed_users_sessions_end(clone: Machine) -> None:
    with imap(clone, ALICE) as hers, pop3(clone, ALICE) as too, imap(clone, FRANK) as his:
        clone.declared["users"].remove(clone.user(ALICE))
        clone.declared["aliases"] = []
        assert clone.apply("--allow-removals").status == 0
        assert eventually(lambda: not _open(hers), 5)
        with pytest.raises((OSError, EOFError, poplib.error_proto)):
            too.noop()
        assert his.noop()[0] == "OK"


def _open(client: imaplib.IMAP4) -> bool:
    try:
        return client.noop()[0] == "OK"
    except (OSError, client.abort):
        return False


def test_a_managed_password_changed_on_the_host_is_put_back(clone: Machine) -> None:
    other = hashed("changed by hand")
    clone.sh('sed -i "s#^alice@example.test:[^:]*#alice@example.test:$1#" /etc/dovecot/mailprov/accounts', other)
    time.sleep(1.1)
    assert logins(clone, ALICE, "changed by hand") == [True, True, True]
    plan = clone.plan("--details")
    assert plan.status == 2
    assert "1 of 7 accounts changes (1 changed)" in plan.out and "[drift]" in plan.out and ALICE in plan.out
    assert clone.apply().status == 0
    assert logins(clone, ALICE) == [True, True, True]
    assert logins(clone, ALICE, "changed by hand") == [False, False, False]


def test_an_initial_password_belongs_to_its_user(clone: Machine) -> None:
    mine = hashed("chosen by bob")
    clone.sh('sed -i "s#^bob@example.test:[^:]*#bob@example.test:$1#" /etc/dovecot/mailprov/accounts', mine)
    assert clone.plan().status == 0
    # Not even where his row changes for another reason, and where the initial password is not here any more.
    clone.environment.clear()
    clone.user(BOB)["quota"] = "5MiB"
    clone.user(CAROL)["quota"] = "5MiB"
    assert "2 of 7 accounts change (2 changed)" in clone.plan().out
    assert clone.apply().status == 0
    assert login(clone, "pop3s", BOB, "chosen by bob") == 0
    assert login(clone, "pop3s", BOB, PASSWORDS[BOB]) == LOGIN_DENIED
    assert clone.plan().status == 0


def test_a_password_changes_its_owner(clone: Machine) -> None:
    """From the declaration's to the user's own: it stays; and back: the declaration wins."""
    clone.user(ALICE)["password"] = {"initial": {"env": "ALICE_INITIAL"}}
    clone.environment["ALICE_INITIAL"] = "never used"
    assert clone.apply().status == 0
    assert login(clone, "pop3s", ALICE) == 0
    assert login(clone, "pop3s", ALICE, "never used") == LOGIN_DENIED
    clone.user(ALICE)["password"] = {"hash": hashed("declared again")}
    assert clone.apply().status == 0
    assert login(clone, "pop3s", ALICE, "declared again") == 0
    assert clone.plan().status == 0


def test_protocols_and_networks_are_kept_to(mail: Machine) -> None:
    assert logins(mail, ALICE) == [True, True, True]
    assert logins(mail, BOB) == [True, False, False]
    assert logins(mail, ERIN) == [False, False, False]
    assert logins(mail, FRANK) == [True, True, True]


def test_protocols_and_networks_change(clone: Machine) -> None:
    clone.user(BOB)["protocols"] = ["imap", "submission"]
    clone.user(ERIN)["allow_from"] = ["198.18.0.0/15"]
    clone.user(FRANK)["allow_from"] = [f"{clone.client_address()}/32"]
    refused = clone.apply()
    assert refused.status == 5 and "--allow-closing" in refused.err, refused.said
    assert f"narrows from where 2 accounts may log in: {ERIN}, {FRANK}" in refused.err
    assert f"takes protocols from 1 account: {BOB}" in refused.err
    assert clone.apply("--allow-closing").status == 0
    assert logins(clone, BOB) == [False, True, True]
    assert logins(clone, ERIN) == [True, True, True]
    assert logins(clone, FRANK) == [False, False, False]
    assert clone.plan().status == 0


def test_a_quota_changes(clone: Machine) -> None:
    clone.user(DAVE)["quota"] = "200KiB"
    assert clone.apply().status == 0
    assert arrives(clone, DAVE, deliver(clone, DAVE, size=150_000))
    assert refusal(clone, "someone@elsewhere.test", ALICE) == 250
    with imap(clone, DAVE) as client:
        assert b"STORAGE" in b"".join(client.getquotaroot("INBOX")[1][1])  # type: ignore[arg-type]
        assert b" 200)" in client.getquotaroot("INBOX")[1][1][0]  # type: ignore[operator]


def test_a_new_domain_is_served(clone: Machine) -> None:
    clone.declared["domains"].append({"name": "third.test"})
    clone.declared["users"].append({"address": "new@third.test", "password": {"hash": HASHES[ALICE]}})
    before, reloads = clone.daemons(), clone.reloads()
    assert clone.apply().status == 0
    assert arrives(clone, "new@third.test", deliver(clone, "new@third.test"), PASSWORDS[ALICE])
    assert refusal(clone, "someone@elsewhere.test", "nobody@third.test") == 550
    assert (clone.daemons(), clone.reloads()) == (before, reloads)


@pytest.mark.one_release
def test_a_thousand_users_come_at_once(clone: Machine) -> None:
    same = HASHES[ALICE]
    clone.declared["users"] += [{"address": f"user{n}@example.test", "password": {"hash": same}} for n in range(1000)]
    plan = clone.plan()
    assert "1,000 of 1,007 accounts change (1,000 added)" in plan.out
    assert len(plan.out) < 3000
    assert clone.apply().status == 0
    assert login(clone, "pop3s", "user999@example.test", PASSWORDS[ALICE]) == 0
    assert clone.plan().status == 0
    assert subjects(clone, "user0@example.test", PASSWORDS[ALICE]) == []


@pytest.mark.one_release
def test_what_was_applied_is_so(clone: Machine) -> None:
    """Dovecot looks at a passwd-file at most once a second, and here it has always just done so."""
    clone.sh(f"systemd-run -q --unit=asks sh -c 'while :; do doveadm user {CAROL} >/dev/null; sleep 0.02; done'")
    for size in (21, 22, 23, 24, 25):
        clone.user(CAROL)["quota"] = f"{size}MiB"
        assert clone.apply().status == 0
        assert str(size << 20) in clone.sh(f"doveadm user {CAROL}")
    clone.sh("systemctl stop asks")
