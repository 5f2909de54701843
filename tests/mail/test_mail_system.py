"""The system's own mail arrives somewhere, and who has no login sends none."""

from __future__ import annotations

import pytest
from mail_clients import arrives, refusal
from mail_machine import ALICE, BOB, HOSTNAME, Machine

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

NOBODY_READS = "nobody may read the system's own mail"
ROOT = f"root@{HOSTNAME}"


def submit(mail: Machine, user: str, subject: str, *words: str) -> bool:
    """Whether the host's sendmail takes a message from a local user."""
    script = (
        'n=$1 s=$2; shift 2; setpriv --reuid "$n" --regid "$n" --clear-groups'
        ' sh -c \'printf "Subject: $1\\n\\nof the system\\n" | { shift; /usr/sbin/sendmail "$@"; }\' sh "$s" "$@"'
    )
    done = mail.host.run(("sh", "-c", script, "sh", user, subject, *words), check=False)
    return done.returncode == 0


def queued(mail: Machine) -> str:
    return mail.sh("mailq")


def test_the_systems_own_mail_arrives(clone: Machine) -> None:
    """Where /etc/aliases says so, then where the declaration does; nobody else's mail comes with it."""
    assert NOBODY_READS in clone.plan().out
    clone.sh("echo 'root: alice@example.test' >>/etc/aliases; newaliases")
    assert NOBODY_READS not in clone.plan().out
    assert submit(clone, "root", "by an alias", "root")
    assert arrives(clone, ALICE, "by an alias")
    clone.sh("sed -i '/^root:/d' /etc/aliases; newaliases; useradd nora")
    clone.declared["system_mail"] = {"to": BOB}
    assert clone.apply().status == 0
    for name in ("root", "nora", "postmaster"):
        assert submit(clone, "root", f"for {name}", name)
        assert arrives(clone, BOB, f"for {name}")
    assert clone.sh("ls -A /var/mail").split() == []
    assert refusal(clone, "someone@elsewhere.test", f"nora@{HOSTNAME}") == 550
    assert refusal(clone, "someone@elsewhere.test", ROOT) == 550
    assert refusal(clone, "someone@elsewhere.test", f"postmaster@{HOSTNAME}") == 250
    assert clone.plan().status == 0 and NOBODY_READS not in clone.plan().out
    assert clone.mailprov("rollback", "--yes").status == 0
    assert clone.plan().status == 2


def test_a_local_user_sends_nothing(clone: Machine) -> None:
    """Unless that is declared, and then as an address of the host's own (Debian 11's Postfix cannot tell)."""
    clone.sh("useradd mallory")
    elsewhere = "victim@elsewhere.invalid"
    assert not submit(clone, "mallory", "forged", "-f", ALICE, elsewhere)
    assert not submit(clone, "mallory", "spam", elsewhere)
    assert "empty" in queued(clone)
    clone.declared["system_mail"] = {"submit_users": ["root", "mallory"]}
    assert clone.apply().status == 0
    assert submit(clone, "mallory", "honest", ALICE)
    assert arrives(clone, ALICE, "honest")
    if clone.host.release != "bullseye":
        assert not submit(clone, "mallory", "forged", "-f", ALICE, BOB)
        assert submit(clone, "mallory", "his own", "-f", f"mallory@{HOSTNAME}", BOB)
        assert arrives(clone, BOB, "his own")


@pytest.mark.one_release
def test_a_host_named_like_its_domain(clone: Machine) -> None:
    """Root's mail is not refused as that of an unknown mailbox."""
    clone.declared["domains"].append({"name": HOSTNAME})
    clone.declared["system_mail"] = {"to": BOB}
    assert clone.apply().status == 0
    assert submit(clone, "root", "of a namesake", "root")
    assert arrives(clone, BOB, "of a namesake")
    assert "in BOTH" not in clone.sh("journalctl -q -o cat -u 'postfix*'")
