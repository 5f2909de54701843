"""Users' own Sieve scripts, ManageSieve, and a script of the operator's that runs first."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from mail_clients import arrives, bring, deliver, imap, subjects
from mail_machine import ALICE, BOB, CAROL, DAVE, FRANK, LI, PASSWORDS, Converged, Machine, eventually
from sieve_client import Refused, managesieve

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

JUNK = 'require ["fileinto", "mailbox"];\nif header :is "X-Spam" "Yes" {\n  fileinto :create "Junk";\n  stop;\n}\n'
FILED = 'require ["fileinto", "mailbox"];\nif header :contains "subject" "list" { fileinto :create "Lists"; }\n'
AWAY = 'require "vacation";\nvacation :days 1 "Away until Monday.";\n'
FRANCIS = "francis@example.test"
FORWARD = f'redirect "{DAVE}";\n'


STATE = "ls -A /etc/dovecot/mailprov; sha256sum /etc/dovecot/dovecot.conf; postconf -h authorized_submit_users"


def filed(mail: Machine, user: str, folder: str) -> list[str]:
    """The subjects in a folder."""
    with imap(mail, user) as client:
        if client.select(folder, readonly=True)[0] != "OK":
            return []
        count = int(client.search(None, "ALL")[1][0].split()[-1] if client.search(None, "ALL")[1][0] else 0)
        found = client.fetch(f"1:{count}", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1] if count else []
    parts = [part[1].decode() for part in found if isinstance(part, tuple)]
    return [part.partition(": ")[2].strip() for part in parts]


def comes_to(mail: Machine, user: str, folder: str, subject: str) -> bool:
    return eventually(lambda: subject in filed(mail, user, folder), 15)


def with_sieve(mail: Machine, script: str = JUNK) -> None:
    (mail.folder / "junk.sieve").write_text(script)
    mail.declared["services"]["sieve"] = True
    mail.declared["sieve"] = {"before": {"file": "junk.sieve"}}


def test_users_have_scripts_of_their_own(clone: Machine) -> None:
    with_sieve(clone)
    planned = clone.plan()
    assert planned.status == 2 and "restart" in planned.said, planned.said
    # Dovecot runs, and takes up a new protocol at its start only
    refused = clone.apply()
    assert refused.status == 5 and "--allow-restart" in refused.said, refused.said
    applied = clone.apply("--allow-restart")
    assert applied.status == 0, applied.said
    clean = clone.plan()
    assert clean.status == 0, clean.said
    seen = clone.mailprov("verify")
    assert seen.status == 0 and "sieve" in seen.said, seen.said
    assert clone.mailprov("status").status == 0

    # a message is filed, and the folder is subscribed to
    with managesieve(clone, ALICE) as session:
        assert '"SASL" ""' in session.before_tls and '"STARTTLS"' in session.before_tls
        assert "PLAIN" in session.offered and "STARTTLS" not in session.offered
        session.put("mine", FILED)
        assert '"mine" ACTIVE' in session.command("LISTSCRIPTS")
        with pytest.raises(Refused, match=r"(?s)line 2.*unknown"):
            session.put("broken", 'require "fileinto";\nfilinto "x";\n')
        with pytest.raises(Refused, match=r"vnd\.dovecot\.pipe"):
            session.put("piped", 'require "vnd.dovecot.pipe";\npipe "x";\n')
        assert '"mine" ACTIVE' in session.command("LISTSCRIPTS")
    mark = clone.mark()
    assert comes_to(clone, ALICE, "Lists", bring(clone, "a@elsewhere.test", ALICE, f"list {secrets.token_hex(4)}"))
    with imap(clone, ALICE) as client:
        assert any(b"Lists" in (line or b"") for line in client.lsub()[1] if isinstance(line, bytes))
    other = deliver(clone, ALICE)
    assert arrives(clone, ALICE, other)

    # the operator's runs first, for everybody; what it keeps, the user's does not see
    assert comes_to(clone, ALICE, "Junk", bring(clone, "a@elsewhere.test", ALICE, "list of junk", X_Spam="Yes"))
    assert comes_to(clone, LI, "Junk", bring(clone, "a@elsewhere.test", LI, "junk", X_Spam="Yes"))
    assert "list of junk" not in filed(clone, ALICE, "Lists")
    said = clone.journal(mark)
    assert "failed to create temporary file" not in said and "Permission denied" not in said, said

    # who is away says so once to each, and to no list
    with managesieve(clone, CAROL) as session:
        session.put("away", AWAY)
    for number in range(2):
        assert arrives(clone, CAROL, bring(clone, DAVE, CAROL, f"hello {number}"))
    assert eventually(lambda: any("hello 0" in each for each in subjects(clone, DAVE) if each.startswith("Auto")), 15)
    assert arrives(clone, CAROL, bring(clone, ALICE, CAROL, "from a list", List_Id="<l.elsewhere.test>"))
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    replies = [each for each in subjects(clone, DAVE) if each.startswith("Auto")]
    assert len(replies) == 1 and not [each for each in subjects(clone, ALICE) if each.startswith("Auto")], replies

    # what is passed on has its owner as the sender
    with managesieve(clone, LI) as session:
        session.put("on", FORWARD)
    mark = clone.mark()
    assert arrives(clone, DAVE, bring(clone, "a@elsewhere.test", LI, "passed on"))
    assert f"from=<{LI}>" in clone.journal(mark)

    # whoever reads mail has scripts: Bob, by POP3; a wrong password has none
    with managesieve(clone, BOB) as session:
        assert session.command("LISTSCRIPTS").startswith("OK")
    with pytest.raises(Refused), managesieve(clone, BOB, "another"):
        pass
    clone.user(BOB)["protocols"] = ["submission"]
    narrowed = clone.apply("--allow-closing")
    assert narrowed.status == 0, narrowed.said
    with pytest.raises(Refused), managesieve(clone, BOB):
        pass
    clone.user(BOB)["protocols"] = ["pop3"]
    assert clone.apply("--allow-closing").status == 0

    # one that does not compile changes nothing
    now = clone.sh("sha256sum /etc/dovecot/mailprov/sieve/*"), clone.daemons()
    with_sieve(clone, 'require "fileinto";\n\nif heder :is "X-Spam" "Yes" { stop; }\n')
    wrong = clone.apply()
    assert wrong.status not in (0, 2) and "line 3" in wrong.said and "heder" in wrong.said, wrong.said
    assert (clone.sh("sha256sum /etc/dovecot/mailprov/sieve/*"), clone.daemons()) == now
    with_sieve(clone)
    assert clone.plan().status == 0, clone.plan().said

    # another one needs no reload; what somebody changes is drift
    with_sieve(clone, JUNK.replace("X-Spam", "X-Junk"))
    daemons = clone.daemons()
    changed = clone.apply()
    assert changed.status == 0, changed.said
    assert clone.daemons() == daemons
    assert comes_to(clone, LI, "Junk", bring(clone, "a@elsewhere.test", LI, "other junk", X_Junk="Yes"))
    clone.sh("echo '# mine' >>/etc/dovecot/mailprov/sieve/before.sieve")
    drift = clone.mailprov("drift")
    assert drift.status == 2 and "before.sieve" in drift.said, drift.said
    assert clone.apply().status == 0
    assert clone.mailprov("drift").status == 0
    clone.sh("rm /etc/dovecot/mailprov/sieve/before.svbin")
    assert clone.plan().status == 2
    assert clone.apply().status == 0 and clone.plan().status == 0


def test_the_way_back(clone: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    was = clone.sh(STATE)
    with_sieve(clone)
    assert clone.apply("--allow-restart").status == 0
    with managesieve(clone, FRANK) as session:
        session.put("mine", FILED)
    with_sieve(clone, JUNK.replace("X-Spam", "X-Junk"))
    assert clone.apply().status == 0
    back = clone.mailprov("rollback", "--yes")
    assert back.status == 0, back.said
    assert comes_to(clone, LI, "Junk", bring(clone, "a@elsewhere.test", LI, "junk", X_Spam="Yes"))
    back = clone.mailprov("rollback", "--yes", "--allow-closing", "--to", _first_with_sieve(clone))
    assert back.status == 0, back.said
    assert clone.sh(STATE) == was
    assert "4190" not in clone.sh("ss -Hltn")
    # scripts stay, and do not run
    assert clone.sh("cat /var/vmail/example.test/frank/sieve/mine.sieve") == FILED
    assert arrives(clone, FRANK, bring(clone, "a@elsewhere.test", FRANK, f"list {secrets.token_hex(4)}"))
    # they come back with it, and move with their mailbox
    clone.user(FRANK).update(address=FRANCIS, was=FRANK)
    monkeypatch.setitem(PASSWORDS, FRANCIS, PASSWORDS[FRANK])
    again = clone.apply("--allow-restart", "--allow-renames")
    assert again.status == 0, again.said
    subject = bring(clone, "a@elsewhere.test", FRANCIS, f"list {secrets.token_hex(4)}")
    assert comes_to(clone, FRANCIS, "Lists", subject)
    del clone.declared["sieve"], clone.declared["services"]["sieve"]
    gone = clone.apply("--allow-closing", "--allow-removals")
    assert gone.status == 0, gone.said
    assert "sieve" not in clone.sh("ls /etc/dovecot/mailprov")
    assert clone.plan().status == 0


def test_scripts_without_the_listener_need_a_reload_only(clone: Machine) -> None:
    clone.declared["sieve"] = True
    daemons = clone.daemons()
    applied = clone.apply()
    assert applied.status == 0, applied.said
    assert clone.daemons() == daemons
    home = "/var/vmail/example.test/alice"
    link = f"ln -s sieve/mine.sieve {home}/.dovecot.sieve; chown -hR vmail:vmail {home}"
    clone.sh(f'mkdir -p {home}/sieve; printf %s "$1" >{home}/sieve/mine.sieve; {link}', FILED)
    assert comes_to(clone, ALICE, "Lists", bring(clone, "a@elsewhere.test", ALICE, f"list {secrets.token_hex(4)}"))
    assert clone.plan().status == 0


@pytest.mark.one_release
def test_a_host_that_is_new(converged: Converged, tmp_path: Path) -> None:
    host = converged.lab.boot("fresh", converged.mail.host.release)
    try:
        fresh = Machine(host, tmp_path / "fresh", converged.mail.ca, converged.mail.shown)
        with_sieve(fresh, JUNK.replace("header", "heder"))
        wrong = fresh.apply()
        assert wrong.status != 0 and "line 2" in wrong.said, wrong.said
        assert "4190" not in fresh.sh("ss -Hltn") and not fresh.sh("ls /etc/dovecot/mailprov 2>/dev/null || :")
        with_sieve(fresh)
        applied = fresh.apply()
        assert applied.status == 0, applied.said
        assert fresh.plan().status == 0
        assert fresh.mailprov("verify").status == 0
        assert comes_to(fresh, LI, "Junk", bring(fresh, "a@elsewhere.test", LI, "junk", X_Spam="Yes"))
    finally:
        converged.lab.discard(host)


def _first_with_sieve(mail: Machine) -> str:
    """The apply that brought it."""
    return mail.sh("cd /var/lib/mailprov/txn && grep -l dovecot-managesieved */steps").split("/")[0]
