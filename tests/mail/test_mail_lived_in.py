"""Hosts as they are met: held packages, other programs at work, keys and shells that do something of their own."""

from __future__ import annotations

import json

import pytest
from mail_clients import LOGIN_DENIED, login, logins
from mail_machine import ALICE, BOB, Machine
from test_mail_trouble import held, one_error

pytestmark = [pytest.mark.host, pytest.mark.two_releases]


def test_a_good_login_leaves_no_line_of_failure(clone: Machine) -> None:
    """Else who watches the log for failures bans who logs in; a failure leaves its line all the same."""
    since = clone.mark()
    assert logins(clone, ALICE) == [True, True, True]
    assert clone.mailprov("verify", "--ca", "ca.pem").status == 0
    journal = clone.journal(since)
    assert "Logged in" in journal or "Login: " in journal
    assert "unknown user" not in journal and "mismatch" not in journal, journal
    assert login(clone, "imaps", ALICE, "wrong") == LOGIN_DENIED
    assert login(clone, "imaps", "nobody@example.test", "wrong") == LOGIN_DENIED
    assert login(clone, "imaps", BOB) == LOGIN_DENIED
    journal = clone.journal(since)
    assert "mismatch" in journal and "unknown user" in journal


def test_what_is_held_is_installed(clone: Machine) -> None:
    clone.sh("apt-mark hold dovecot-core dovecot-imapd postfix")
    assert clone.plan().status == 0
    clone.user(ALICE)["quota"] = "3GiB"
    assert clone.apply().status == 0


@pytest.mark.one_release
def test_somebody_else_has_apts_lists(clone: Machine) -> None:
    """They are waited for, as dpkg's lock is."""
    clone.sh("dpkg --remove --force-depends ca-certificates; rm -rf /var/lib/apt/lists/*_*; apt-get clean")
    with held(clone.host, "/var/lib/apt/lists/lock", 5):
        ran = clone.apply()
        assert ran.status == 0, ran.said
    assert clone.plan().status == 0


@pytest.mark.one_release
def test_a_key_with_a_command_of_its_own(clone: Machine) -> None:
    """As in cloud images: what it says is told, and how to come in."""
    words = 'Please login as the user "debian" rather than the user "root".'
    clone.sh(f"""sed -i 's/^/command="echo {words.replace('"', "")}; exit 142" /' /root/.ssh/authorized_keys""")
    ran = clone.plan()
    assert ran.status == 1
    one_error(ran, "does something else than what it was asked", "Please login as the user debian", "become: true")


@pytest.mark.one_release
def test_a_shell_that_is_none_of_ours(clone: Machine) -> None:
    clone.sh("ln -s sh /bin/tcsh && echo /bin/tcsh >>/etc/shells && chsh -s /bin/tcsh root")
    ran = clone.plan()
    assert ran.status == 1
    one_error(ran, "/bin/tcsh", "cannot run")
    clone.sh("usermod -s /usr/sbin/nologin root")
    ran = clone.plan()
    assert ran.status == 1
    one_error(ran, "currently not available")


@pytest.mark.one_release
def test_an_environment_that_changes_what_programs_do(clone: Machine) -> None:
    clone.sh("sed -i '1i export POSIXLY_CORRECT=1' /root/.bashrc")
    assert clone.plan().status == 0
    clone.user(ALICE)["quota"] = "3GiB"
    ran = clone.apply()
    assert ran.status == 0, ran.said
    assert clone.plan().status == 0
    assert clone.mailprov("rollback", "--yes").status == 0


@pytest.mark.one_release
def test_what_was_no_account_is_not_purged(clone: Machine) -> None:
    clone.sh(
        "cd /var/vmail && mkdir -p vmail1/acme.test/x/Maildir/cur backup/mysql/data lost+found/a"
        " old.test/theirs/Maildir/cur && echo kept >backup/mysql/data/db && chown -R vmail:vmail vmail1"
    )
    shown = clone.mailprov("purge")
    assert shown.status == 0
    told = json.loads(clone.mailprov("purge", "--format", "json").out)
    assert told["hosts"] == [{"host": "mail1", "mailboxes": [], "deleted": 0}]
    assert not any(name in shown.said for name in ("acme", "mysql", "theirs", "lost")), shown.said
    for address in ("mysql@backup", "theirs@old.test"):
        assert clone.mailprov("purge", address, "--delete", "1").status == 1
    assert clone.sh("cat /var/vmail/backup/mysql/data/db") == "kept\n"
