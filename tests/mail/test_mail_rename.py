"""A mailbox gets another address on a real host: with its messages, their numbers and its password, and back."""

from __future__ import annotations

import imaplib
import itertools
import poplib
import re
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from mail_clients import imap, logins, pop3, send, trusting
from mail_machine import ALICE, BOB, PASSWORDS, Machine, ended, eventually

pytestmark = [pytest.mark.host, pytest.mark.one_release]

ALICIA = "alicia@example.test"
BOBBY = "bobby@other.test"
ROBERT = "robert@example.test"
TABLE = "/etc/dovecot/mailprov/accounts"


def rename(mail: Machine, old: str, new: str, *, alias: bool) -> None:
    user = mail.user(old)
    user |= {"address": new, "was": old}
    user["aliases"] = [*(name for name in user.get("aliases", ()) if name != new), *([old] if alias else [])]


def numbered(mail: Machine, user: str) -> tuple[dict[str, bytes], bytes]:
    """Each message by its subject, with its UIDL; and the INBOX's UIDVALIDITY."""
    with pop3(mail, user, PASSWORDS[BOB] if user in (BOB, BOBBY) else PASSWORDS[ALICE]) as client:
        found: dict[str, bytes] = {}
        for line in client.uidl()[1]:
            number, uidl = line.split()
            headers = b"\n".join(client.top(int(number), 0)[1])
            subject = re.search(rb"(?m)^Subject: (.*)$", headers)
            assert subject is not None
            found[subject[1].decode()] = uidl
    validity = mail.sh('doveadm mailbox status -u "$1" uidvalidity INBOX', user)
    return found, validity.split("uidvalidity=")[1].strip().encode()


def test_a_mailbox_moves_with_the_name_and_back(clone: Machine) -> None:
    for _ in range(2):
        send(clone, ALICE, BOB)
    assert eventually(lambda: len(numbered(clone, BOB)[0]) == 2)
    before, table = numbered(clone, BOB), clone.sh(f"grep '^bob@' {TABLE}")
    rename(clone, BOB, BOBBY, alias=False)
    plan = clone.plan("--details")
    assert plan.status == 2 and f"renames {BOB} to {BOBBY}" in plan.out, plan.out
    assert "(1 renamed)" in plan.out and f"~ {BOBBY}  address {BOB} → {BOBBY}" in plan.out, plan.out
    assert "closes" not in plan.out and "will be generated" not in plan.out, plan.out
    refused = clone.apply()
    assert (refused.status, "--allow-renames" in refused.err) == (5, True), refused.said
    done = clone.apply("--allow-renames")
    assert done.status == 0, done.said
    assert logins(clone, BOBBY, PASSWORDS[BOB]) == [True, False, False]
    assert logins(clone, BOB, PASSWORDS[BOB]) == [False, False, False]
    assert numbered(clone, BOBBY) == before
    assert clone.sh("ls /var/vmail/other.test/bobby; ls -A /var/vmail/example.test").split().count("bob") == 0
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(clone, ALICE, BOB)
    send(clone, ALICE, BOBBY)
    assert eventually(lambda: len(numbered(clone, BOBBY)[0]) == 3)
    assert clone.plan().status == 0
    between = numbered(clone, BOBBY)

    refused = clone.mailprov("rollback", "--yes")
    assert (refused.status, "--allow-renames" in refused.err) == (5, True), refused.said
    back = clone.mailprov("rollback", "--yes", "--allow-renames")
    assert back.status == 0, back.said
    assert numbered(clone, BOB) == between
    assert clone.sh(f"grep '^bob@' {TABLE}") == table
    assert logins(clone, BOBBY, PASSWORDS[BOB]) == [False, False, False]
    again = clone.mailprov("rollback", "--yes", "--allow-renames")
    assert again.status == 0, again.said
    assert numbered(clone, BOBBY) == between
    assert clone.plan().status == 0


def test_what_is_not_confirmed_is_put_back(clone: Machine) -> None:
    send(clone, ALICE, BOB)
    assert eventually(lambda: len(numbered(clone, BOB)[0]) == 1)
    before, table = numbered(clone, BOB), clone.sh(f"cat {TABLE}")
    places = clone.sh("find /var/vmail -maxdepth 2 | sort")
    rename(clone, BOB, BOBBY, alias=True)
    clone.prelude = "from mailprov.workflows import run_plan; run_plan.answer_anew = lambda *_: None"
    applying = clone.start("apply", "--yes", "--allow-renames")
    assert eventually(lambda: "bobby" in clone.sh("ls /var/vmail/other.test", check=False), 30)
    undone = ended(applying)
    assert undone.status == 6, undone.said
    clone.prelude = ""
    assert numbered(clone, BOB) == before
    assert clone.sh(f"cat {TABLE}") == table
    assert set(clone.sh("find /var/vmail -maxdepth 2 | sort").split()) - set(places.split()) <= {
        "/var/vmail/other.test"
    }
    assert clone.apply("--allow-renames").status == 0
    assert numbered(clone, BOBBY) == before


def test_two_mailboxes_are_never_one(clone: Machine) -> None:
    send(clone, ALICE, BOB)
    assert eventually(lambda: len(numbered(clone, BOB)[0]) == 1)
    rename(clone, BOB, ROBERT, alias=False)
    home = "/var/vmail/example.test"

    def refused(why: str) -> bool:
        plan = clone.plan()
        assert why in plan.err and "drop the previous address" in plan.err, plan.said
        return plan.status == 1

    clone.sh(f"cp -a {home}/bob {home}/robert")
    assert refused(f"{home}/robert is a mailbox already, beside that of {BOB}")
    clone.sh(f"mv {home}/bob /srv/bob; ln -s /srv/bob {home}/bob; rm -r {home}/robert")
    assert refused(f"{home}/bob is a symlink")
    clone.sh(f"rm {home}/bob; mv /srv/bob {home}/bob")
    del clone.declared["users"][1]
    clone.user(ALICE)["was"] = BOB  # who has an account by now
    assert refused(f"{ALICE} is a name with an account of its own, and would get the mailbox of {BOB}")
    clone.user(ALICE)["was"] = "nobody@example.test"
    clone.declared["users"].append({"address": ROBERT, "was": "bub@example.test"})
    assert "by the previous address bub@example.test (robert@example.test): a new mailbox is made" in clone.plan().out


def test_mail_for_whom_nobody_has_written_yet(clone: Machine) -> None:
    """Without a mailbox there is nothing to move; and one that comes meanwhile is not overlooked."""
    rename(clone, BOB, BOBBY, alias=True)
    assert clone.apply("--allow-renames").status == 0
    sent = send(clone, ALICE, BOB)
    assert eventually(lambda: [*numbered(clone, BOBBY)[0]] == [sent])
    assert clone.plan().status == 0


class Load:
    """Senders and readers of one mailbox, whatever it is called by now."""

    def __init__(self, mail: Machine) -> None:
        self.mail = mail
        self.accepted: set[str] = set()
        self.wrong: list[str] = []
        self.uidls: dict[str, bytes] = {}
        self.sessions: Counter[str] = Counter()
        self._over = threading.Event()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        clients = (self._send, self._send, self._pop3, self._imap)
        threads = [threading.Thread(target=self._repeat, args=(client,), daemon=True) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)

    def _repeat(self, client: Callable[[], None]) -> None:
        while not self._over.is_set():
            # A login by the name of before is refused, and a session by it ends: that is what was agreed to.
            with suppress(poplib.error_proto, imaplib.IMAP4.error, OSError, EOFError):
                client()

    def _send(self) -> None:
        """Another mail server, which knows the one address."""
        with smtplib.SMTP(self.mail.address, 25, local_hostname="mx.elsewhere.test", timeout=30) as client:
            client.starttls(context=trusting(self.mail))
            for _ in range(5):
                number = f"load-{next(self._numbers)}"
                text = f"From: <someone@elsewhere.test>\r\nSubject: {number}\r\n\r\nA message.\r\n"
                try:
                    client.sendmail("someone@elsewhere.test", [ALICE], text)
                except smtplib.SMTPException as error:
                    self.wrong.append(f"{number}: {error!r}")
                    return
                with self._lock:
                    self.accepted.add(number)
                self._over.wait(0.05)

    def _pop3(self) -> None:
        for user in (ALICE, ALICIA):
            with suppress(poplib.error_proto), pop3(self.mail, user, PASSWORDS[ALICE]) as client:
                for line in client.uidl()[1]:
                    number, uidl = line.split()
                    if self.uidls.setdefault(number.decode(), uidl) != uidl:
                        self.wrong.append(
                            f"message {number!r} had UIDL {self.uidls[number.decode()]!r}, and has {uidl!r}"
                        )
                self.sessions[f"pop3 {user}"] += 1

    def _imap(self) -> None:
        for user in (ALICE, ALICIA):
            with suppress(imaplib.IMAP4.error), imap(self.mail, user, PASSWORDS[ALICE]) as client:
                validity = client.response("UIDVALIDITY")[1][0]
                assert isinstance(validity, bytes)
                if self.uidls.setdefault("validity", validity) != validity:
                    self.wrong.append(f"UIDVALIDITY was {self.uidls['validity']!r}, and is {validity!r}")
                for _ in range(8):
                    client.noop()
                    self._over.wait(0.25)
                self.sessions[f"imap {user}"] += 1


def test_nothing_is_lost_under_load(clone: Machine) -> None:
    load, names = Load(clone), [ALICE, ALICIA]
    with load.running():
        time.sleep(2)
        for _ in range(6):
            rename(clone, *names, alias=True)
            done = clone.apply("--allow-renames")
            assert done.status == 0, (done.said, load.wrong)
            names.reverse()
            time.sleep(1)
    user = names[0]

    def arrived() -> Counter[str]:
        with imap(clone, user, PASSWORDS[ALICE]) as client:
            found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        subjects = (re.search(rb"load-\d+", part[1]) for part in found if isinstance(part, tuple))
        return Counter(subject[0].decode() for subject in subjects if subject)

    unsent = "journalctl -q -o cat | grep 'to=<ali.*status=' | grep -v status=sent | tail -n 12 | cut -c1-400"
    left = clone.sh(unsent, check=False)
    assert eventually(lambda: arrived().keys() >= load.accepted, 60), (load.accepted - arrived().keys(), left)
    found = arrived()
    assert [number for number, times in found.items() if times > 1] == []
    assert load.wrong == []
    assert len(load.accepted) > 50 and all(load.sessions[f"{way} {name}"] for way in ("pop3", "imap") for name in names)
    assert clone.sh("find /var/vmail -type l") == "" and "Mail queue is empty" in clone.sh("mailq")
    print(len(load.accepted), dict(load.sessions))
