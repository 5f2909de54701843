"""A mail server that somebody has built by hand: what ends is said, agreed to, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_clients import logins
from mail_machine import ALICE, Converged, Machine, ended, eventually

pytestmark = pytest.mark.host

BUILD = r"""
export DEBIAN_FRONTEND=noninteractive
apt-get -q update && apt-get -qy install postfix dovecot-imapd dovecot-pop3d || exit
useradd -m nora && echo 'nora:secret of nora' | chpasswd || exit
postconf -e home_mailbox=Maildir/ 'relayhost=[127.0.0.1]:2525' smtpd_milters=inet:127.0.0.1:8891 \
    milter_default_action=accept mydestination=example.test,localhost myorigin=example.test
echo 'info: nora' >>/etc/aliases && newaliases
if dovecot --version | grep -q '^2[.]3'; then
    echo 'mail_location = maildir:~/Maildir' >/etc/dovecot/local.conf
else
    printf '%s\n' 'mail_driver = maildir' 'mail_path = %{home}/Maildir' 'mail_inbox_path = %{home}/Maildir' \
        >/etc/dovecot/local.conf
fi
systemctl restart postfix dovecot
printf 'Subject: an old letter\n\nfor info\n' | sendmail info
printf 'Subject: for elsewhere\n\nthat waits\n' | sendmail -f nora@example.test someone@elsewhere.invalid
"""
REFUSE = """
until read -r t </var/lib/mailprov/open && grep -q ' await ' /var/lib/mailprov/txn/$t/journal; do sleep 0.02; done
echo 'by a test' >/var/lib/mailprov/txn/$t/refused
"""
INBOX = "doveadm mailbox status -u nora messages INBOX"


@pytest.fixture
def lived_in(converged: Converged, tmp_path: Path) -> Iterator[Machine]:
    """A Debian host with a mail server that was built by hand: users of the system, a relay, a milter, an alias."""
    host = converged.lab.boot("lived-in", converged.mail.host.release)
    host.run(("sh", "-c", BUILD), timeout=300)
    yield Machine(host, tmp_path / "lived-in", converged.mail.ca, converged.mail.shown)
    converged.lab.discard(host)


def waits(mail: Machine, queue: str) -> bool:
    return mail.sh(f"find /var/spool/postfix/{queue} -type f | wc -l").strip() == "1"


def works_as_before(mail: Machine) -> bool:
    mail.sh("doveadm auth test nora 'secret of nora'")
    return "messages=1" in mail.sh(INBOX) and "2525" in mail.sh("postconf -h relayhost")


@pytest.mark.one_release("bookworm")
def test_what_was_built_by_hand_is_taken_over_and_given_back(lived_in: Machine) -> None:
    mail = lived_in
    assert eventually(lambda: waits(mail, "deferred") and "messages=1" in mail.sh(INBOX))
    assert works_as_before(mail)
    place = "maildir:%{home}/Maildir" if mail.host.release == "trixie" else "maildir:~/Maildir"
    plan = mail.plan()
    for said in (
        "one who can log in today (pam) cannot any more: nora: needs --allow-takeover",
        f"mail that lies at {place} is not looked for",
        "mail is refused for addresses that are not declared: info@example.test, nora@example.test",
        "mail for others no longer leaves through [127.0.0.1]:2525, but directly",
        "mail no longer passes the milters inet:127.0.0.1:8891",
        "mail is no longer delivered to Maildir/ in each user's home",
        "1 message waits in Postfix's queue",
    ):
        assert said in plan.out, plan.out[-3000:]
    refused = mail.apply()
    assert (refused.status, "--allow-takeover" in refused.err) == (5, True), refused.said
    assert works_as_before(mail) and waits(mail, "deferred")

    applying = mail.start("apply", "--yes", "--allow-takeover", "--allow-restart")
    mail.sh(REFUSE)
    undone = ended(applying)
    assert undone.status == 6, undone.said[-2000:]
    assert works_as_before(mail) and waits(mail, "deferred")

    applied = mail.apply("--allow-takeover", "--allow-restart")
    assert applied.status == 0, applied.said[-2000:]
    assert logins(mail, ALICE) == [True, True, True]
    assert waits(mail, "hold")
    assert mail.plan().status == 0
    back = mail.mailprov(
        "rollback", "--yes", "--allow-many", *(f"--allow-{flag}" for flag in ("removals", "closing", "restart"))
    )
    assert back.status == 0, back.said[-2000:]
    assert works_as_before(mail) and waits(mail, "deferred")
    mail.sh("systemd-run -q --unit=relay smtp-sink -u postfix 127.0.0.1:2525 10; sleep 0.3; postqueue -f")
    assert eventually(lambda: "Mail queue is empty" in mail.sh("mailq"))
    assert "to=<someone@elsewhere.invalid>, relay=127.0.0.1[127.0.0.1]:2525" in mail.sh("journalctl -q -o cat")
    assert "needs --allow-takeover" in mail.plan().out
    refused = mail.mailprov("rollback", "--yes")
    assert (refused.status, "takes postfix over again" in refused.said) == (5, True), refused.said[-2000:]
    assert mail.mailprov("rollback", "--yes", "--allow-takeover", "--allow-restart").status == 0
    assert logins(mail, ALICE) == [True, True, True]
    assert mail.plan().status == 0
