"""What is sent is signed, by stages that wait for DNS; what comes in is checked."""

from __future__ import annotations

import json
import re
import secrets
import smtplib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dkim
import pytest
from mail_clients import arrives, bring, deliver, fetched, message, outsider, send, subjects, submission
from mail_machine import ALICE, CAROL, Machine, eventually
from name_server import NameServer

from mailprov.dns.resolver import ask

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

NOTES = "/etc/mailprov/dkim/example.test"


@contextmanager
def dns_of(mail: Machine, folder: Path) -> Iterator[NameServer]:
    """A name server for the domains of a host, which is asked by it and by whoever plans."""
    folder.mkdir(exist_ok=True)
    gateway = mail.host.place.gateway
    names = NameServer(folder, gateway, 53)
    names.zones["example.test"] = f"mail 1 IN A {mail.address}\n@ 1 IN MX 10 mail\n"
    names.zones["elsewhere.test"] = '@ 1 IN TXT "v=spf1 -all"\n_dmarc 1 IN TXT "v=DMARC1; p=reject"\n'
    names.start()
    mail.host.write("/etc/resolv.conf", f"nameserver {gateway}\n".encode())
    mail.declared["resolver"] = gateway
    try:
        yield names
    finally:
        names.stop()


def records(mail: Machine) -> dict[str, str]:
    """By selector, the lines of a zone file that `mailprov dns` has of keys."""
    done = mail.mailprov("dns", "example.test", "--zonefile")
    assert done.status == 0, done.said
    lines = [line for line in done.out.splitlines() if "._domainkey IN TXT" in line]
    return {line.partition(".")[0]: f"{line.replace(' IN ', ' 1 IN ')}\n" for line in lines}


def publish(names: NameServer, lines: dict[str, str]) -> None:
    """Have the keys of example.test be these, and no others."""
    kept = [line for line in names.zones["example.test"].splitlines() if "_domainkey" not in line]
    names.zones["example.test"] = "".join(f"{line}\n" for line in [*kept, *lines.values()])
    names.start()


def verified(mail: Machine, raw: bytes, domain: str = "example.test") -> list[str]:
    """The selectors whose signatures verify by what DNS says now, by another verifier than rspamd."""

    def txt(name: bytes, timeout: int = 5) -> bytes:
        found = ask([(name.decode().rstrip("."), "TXT")], (mail.declared["resolver"], 53))
        return "".join(value for answer in found.values() for value in answer.values).encode()

    count = len(re.findall(rb"^DKIM-Signature:", raw, re.M))
    signed = [dkim.DKIM(raw) for _ in range(count)]
    ok = [one.verify(idx=number, dnsfunc=txt) for number, one in enumerate(signed)]
    assert all(ok), (ok, raw)
    assert all(one.domain == domain.encode() for one in signed), [one.domain for one in signed]
    return sorted(one.selector.decode() for one in signed)


def signed(mail: Machine, user: str = ALICE, recipient: str = ALICE, *, sender: str | None = None) -> list[str]:
    """The selectors with which a message is signed that somebody sends now."""
    return verified(mail, fetched(mail, recipient, send(mail, user, recipient, sender=sender)))


def signs(mail: Machine, *selectors: str) -> bool:
    """Whether the next message is signed with these, at once."""
    return signed(mail) == sorted(selectors)


def signing(mail: Machine, *, rotate: str = "") -> None:
    mail.declared["domains"][0] = {"name": "example.test", "sign": {"rotate": rotate} if rotate else True}


def stage(mail: Machine) -> dict[str, str]:
    """What each pair of keys is for."""
    done = mail.mailprov("status", "--format", "json")
    assert done.status == 0, done.said
    return {each["name"]: each["use"] for each in json.loads(done.out)["hosts"][0]["signing"]}


def older(mail: Machine, name: str, days: int) -> None:
    """Have a pair be in its stage since some days ago: all guests have this machine's clock."""
    since = int(time.time()) - days * 86400
    mail.sh(f'sed -i "s/^\\(use [a-z]*\\) .*/\\1 {since}/" "$1"', f"{NOTES}/{name}.txt")


def done(mail: Machine, *more: str) -> str:
    """Apply what there is to do, after which there is no more of it."""
    applied = mail.apply(*more)
    assert applied.status == 0, applied.said
    again = mail.plan()
    assert again.status == 0, again.said
    return applied.said


def test_signed_once_dns_has_the_keys(clone: Machine, tmp_path: Path) -> None:
    with dns_of(clone, tmp_path / "dns") as names:
        signing(clone)
        planned = clone.plan()
        assert planned.status == 2 and "mailprov dns example.test" in planned.said, planned.said
        assert (
            "MiB of memory" in planned.said
            and "until then it is not signed" in planned.said
            and "rspamd: start" in planned.said
        ), planned.said
        done(clone)
        assert stage(clone) == {"mail1-1": "waits"}
        owned = clone.sh(f"stat -c '%a %U:%G %n' {NOTES}/*").replace(f"{NOTES}/", "").splitlines()
        assert owned == [
            "640 root:_rspamd mail1-1.ed25519",
            "640 root:_rspamd mail1-1.rsa",
            "644 root:root mail1-1.txt",
        ]
        assert signed(clone) == []
        lines = records(clone)
        assert sorted(lines) == ["mail1-1e", "mail1-1r"]

        # one of two, another one, and none at one of the name servers: nothing is signed yet
        publish(names, {"mail1-1r": lines["mail1-1r"]})
        half = clone.plan()
        assert half.status == 0 and "ns.example.test: it is not there" in half.out, half.said
        publish(names, {**lines, "mail1-1e": re.sub("p=....", "p=AAAA", lines["mail1-1e"])})
        other = clone.plan()
        assert other.status == 0 and "ns.example.test: another key is there" in other.out, other.said
        checked = clone.mailprov("dns", "example.test", "--check")
        assert checked.status == 9 and "another key is there" in checked.out, checked.said
        names.stop()
        silent = clone.plan()
        assert silent.status == 0 and "no answer" in silent.out, silent.said

        publish(names, lines)
        ready = clone.plan()
        assert ready.status == 2 and "sign with it from now on" in ready.out, ready.said
        assert "rspamd: reload" in done(clone)
        assert stage(clone) == {"mail1-1": "signs"}
        assert signs(clone, "mail1-1e", "mail1-1r")
        assert clone.mailprov("drift").status == 0
        assert clone.mailprov("verify").status == 0

        # an own alias is signed, another domain's mail is not
        assert signed(clone, sender="sales@example.test") == ["mail1-1e", "mail1-1r"]
        assert signed(clone, CAROL, CAROL) == []

        # what comes in is checked; nobody's word is taken for it
        raw = fetched(clone, ALICE, deliver(clone, ALICE))
        said = re.findall(rb"^Authentication-Results: mail\.example\.test;(?:\r\n[ \t].*|.*)*", raw, re.M)
        assert len(said) == 1 and b"dmarc=fail" in raw and b"spf=" in raw and b"dkim=none" in raw, raw
        with outsider(clone) as client:
            forged = b"Authentication-Results: mail.example.test; dkim=pass\r\n" + message(
                "a@elsewhere.test", ALICE, "forged results"
            )
            client.sendmail("a@elsewhere.test", [ALICE], forged)
        raw = fetched(clone, ALICE, "forged results")
        assert b"dkim=pass" not in raw, raw
        with outsider(clone) as client:
            client.sendmail(ALICE, [ALICE], message(ALICE, ALICE, "forged author"))
        assert b"DKIM-Signature" not in fetched(clone, ALICE, "forged author")


@pytest.mark.one_release
def test_there_and_back(clone: Machine, tmp_path: Path) -> None:
    """Each step is taken back; keys stay, for DNS may have their records."""
    with dns_of(clone, tmp_path / "dns") as names:
        seen = "sha256sum /etc/postfix/main.cf; ls -d /etc/systemd/system/*.d /etc/mailprov/*.conf; :"
        bare = clone.sh(seen)
        signing(clone)
        done(clone)
        publish(names, records(clone))
        done(clone)
        assert signs(clone, "mail1-1e", "mail1-1r")
        back = clone.mailprov("rollback", "--yes")
        assert back.status == 0, back.said
        assert stage(clone) == {"mail1-1": "waits"}
        assert signs(clone)
        back = clone.mailprov("rollback", "--yes", "--to", history(clone)[0])
        assert back.status == 0, back.said
        assert clone.sh(seen) == bare
        # as a package's is before an apply has set it up
        assert clone.sh("systemctl is-active rspamd; systemctl is-enabled rspamd; :").split() == ["inactive", "masked"]
        assert signed(clone) == []

        # the same keys sign at once: DNS has their records
        done(clone)
        assert stage(clone) == {"mail1-1": "signs"}
        assert signs(clone, "mail1-1e", "mail1-1r")

        # signed no more: mail goes on; and once more
        clone.declared["domains"][0] = "example.test"
        with sending(clone) as sent, taking_its_time(clone, 8) as held:
            said = done(clone)
        assert held == [250], held
        assert "rspamd: stop" in said and "STOP" not in said, said
        assert not sent.failures and len(sent.subjects) > 3, sent.failures
        assert stage(clone) == {"mail1-1": "signed"}
        assert clone.sh("systemctl is-active rspamd; :").strip() == "inactive"
        signing(clone)
        with sending(clone) as sent:
            done(clone)
        assert not sent.failures, sent.failures
        assert stage(clone) == {"mail1-1": "signs"}


def history(mail: Machine) -> list[str]:
    """The names of what was applied, the first one first."""
    told = json.loads(mail.mailprov("history", "--format", "json").out)
    return [entry["transaction"] for entry in told["hosts"][0]["entries"]][1:]


class Sending:
    """Messages that somebody sends one after another."""

    def __init__(self, mail: Machine) -> None:
        self.mail = mail
        self.subjects: list[str] = []
        self.failures: list[BaseException] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            subject = f"{len(self.subjects)} under load"
            try:
                with submission(self.mail, ALICE) as client:
                    client.sendmail(ALICE, [ALICE], message(ALICE, ALICE, subject))
            except (smtplib.SMTPException, OSError) as error:
                self.failures.append(error)
            self.subjects.append(subject)


@contextmanager
def sending(mail: Machine) -> Iterator[Sending]:
    """Meanwhile somebody sends, and whatever was taken arrives."""
    found = Sending(mail)
    thread = threading.Thread(target=found.run)
    thread.start()
    try:
        yield found
    finally:
        found.over.set()
        thread.join()
    assert found.failures or eventually(lambda: {*found.subjects} <= {*subjects(mail, ALICE)}, 20)


@contextmanager
def taking_its_time(mail: Machine, seconds: float) -> Iterator[list[int]]:
    """A session in which the message itself comes so many seconds after its sender; what the host says to it."""
    said: list[int] = []
    with submission(mail, ALICE) as client:
        client.mail(ALICE)
        client.rcpt(ALICE)
        timer = threading.Timer(seconds, lambda: said.append(client.data(message(ALICE, ALICE, "at last"))[0]))
        timer.start()
        yield said
        timer.join()


@pytest.mark.one_release
def test_rotation(clone: Machine, tmp_path: Path) -> None:
    """From old to new keys: each message is signed, and each signature verifies by what DNS says then."""
    with dns_of(clone, tmp_path / "dns") as names:
        signing(clone)
        done(clone)
        first = records(clone)
        publish(names, first)
        done(clone)
        assert signs(clone, "mail1-1e", "mail1-1r")
        signing(clone, rotate="30d")
        assert clone.plan().status == 0
        older(clone, "mail1-1", 31)
        with sending(clone) as sent:
            due = clone.plan()
            assert due.status == 2 and "+ dkim_key example.test/mail1-2" in due.out, due.said
            done(clone)
            assert stage(clone) == {"mail1-1": "signs", "mail1-2": "waits"}
            both = records(clone)
            assert sorted(both) == ["mail1-1e", "mail1-1r", "mail1-2e", "mail1-2r"]
            assert signed(clone) == ["mail1-1e", "mail1-1r"]
            publish(names, both)
            done(clone)
            assert stage(clone) == {"mail1-1": "signed", "mail1-2": "signs"}
            assert signs(clone, "mail1-2e", "mail1-2r")
            older(clone, "mail1-1", 6)
            assert clone.plan().status == 0
            assert sorted(records(clone)) == sorted(both)
            older(clone, "mail1-1", 8)
            done(clone)
            assert stage(clone) == {"mail1-2": "signs"}
        assert not sent.failures, sent.failures
        used = [verified(clone, fetched(clone, ALICE, subject)) for subject in sent.subjects]
        assert all(used) and {len(each) for each in used} == {2}, used
        last = clone.mailprov("dns", "example.test")
        assert "mail1-1r._domainkey.example.test" in last.out and "they can go" in last.out, last.said
        assert clone.sh(f"cd {NOTES}; ls").split() == ["mail1-1.txt", "mail1-2.ed25519", "mail1-2.rsa", "mail1-2.txt"]
        # a way back brings back what was retired
        assert clone.mailprov("rollback", "--yes").status == 0
        assert stage(clone) == {"mail1-1": "signed", "mail1-2": "signs"}


@pytest.mark.one_release
def test_what_somebody_else_does(clone: Machine, tmp_path: Path) -> None:
    with dns_of(clone, tmp_path / "dns") as names:
        # an rspamd of somebody else's
        clone.sh("apt-get install -y -q --no-install-recommends rspamd && systemctl start rspamd")
        clone.sh("echo 'reject = 20;' >/etc/rspamd/local.d/actions.conf")
        signing(clone)
        refused = clone.apply()
        assert refused.status == 5 and "/etc/rspamd/local.d/actions.conf" in refused.said, refused.said
        done(clone, "--allow-takeover")
        assert "11332" not in clone.sh("ss -Hltn")
        back = clone.mailprov("rollback", "--yes")
        assert back.status == 0, back.said
        assert eventually(lambda: "127.0.0.1:11332" in clone.sh("ss -Hltn"), 60), "it is theirs again"
        assert signed(clone) == []
        done(clone, "--allow-takeover")
        publish(names, records(clone))
        done(clone)
        assert signs(clone, "mail1-1e", "mail1-1r")

        # a key that others can read, and one that is another's
        clone.sh(f"chmod 644 {NOTES}/mail1-1.rsa")
        drift = clone.mailprov("drift")
        assert drift.status == 2 and "dkim_key example.test/mail1-1" in drift.out, drift.said
        done(clone)
        assert clone.sh(f"stat -c %a {NOTES}/mail1-1.rsa").strip() == "640"
        clone.sh(f"echo x >>{NOTES}/mail1-1.ed25519")
        told = clone.mailprov("status")
        assert "not as they were made" in told.out, told.said
        spoilt = clone.plan()
        assert spoilt.status == 2 and "+ dkim_key example.test/mail1-2" in spoilt.out, spoilt.said
        done(clone)
        assert stage(clone) == {"mail1-1": "signed", "mail1-2": "waits"}
        publish(names, {**records(clone)})
        done(clone)
        assert signs(clone, "mail1-2e", "mail1-2r")

        # rspamd is down: mail is put off, and nothing is lost
        clone.sh("systemctl stop rspamd")
        with outsider(clone) as client, pytest.raises(smtplib.SMTPException, match="451"):
            client.sendmail("a@elsewhere.test", [ALICE], message("a@elsewhere.test", ALICE, "put off"))
        down = clone.mailprov("status")
        assert "rspamd is down" in down.out, down.said
        asked = clone.mailprov("doctor", "--ca", str(clone.roots))
        assert asked.status == 9 and "rspamd is inactive: what is sent" in asked.out, asked.said
        done(clone)
        assert arrives(clone, ALICE, deliver(clone, ALICE))


@pytest.mark.one_release
def test_what_a_domain_asks_for_is_followed(clone: Machine, tmp_path: Path) -> None:
    """Where that is declared; and nobody is asked who may send without a login."""
    with dns_of(clone, tmp_path / "dns") as names:
        names.zones["soft.test"] = '@ 1 IN TXT "v=spf1 -all"\n_dmarc 1 IN TXT "v=DMARC1; p=quarantine"\n'
        names.zones["example.test"] += '@ 1 IN TXT "v=spf1 -all"\n_dmarc 1 IN TXT "v=DMARC1; p=reject"\n'
        names.start()
        clone.declared["incoming"] = {"dmarc": "mark"}
        done(clone)
        forged, soft, none = ("a@elsewhere.test", "a@soft.test", "a@nobody.example")
        assert b"dmarc=fail" in fetched(clone, ALICE, brought(clone, forged))
        clone.declared["incoming"] = {"dmarc": "follow"}
        gateway = clone.host.place.gateway
        clone.declared["outgoing"] = {"allow_from": [f"{gateway}/32"], "limits": False}
        done(clone)
        # this machine may send without a login: as an address from here, which DNS says nobody may
        assert b"X-Spam" not in fetched(clone, ALICE, brought(clone, CAROL))
        del clone.declared["outgoing"]
        done(clone)
        with pytest.raises(smtplib.SMTPDataError, match=r"554, b'5\.7\.1"):
            brought(clone, forged)
        assert b"\r\nX-Spam: Yes\r\n" in fetched(clone, ALICE, brought(clone, soft))
        # nobody's own mark is taken for it
        assert b"X-Spam" not in fetched(clone, ALICE, brought(clone, none, X_Spam="Yes"))
        assert arrives(clone, ALICE, send(clone, ALICE, ALICE))
        del clone.declared["incoming"]
        done(clone)
        assert clone.sh("systemctl is-active rspamd; :").strip() == "inactive"


def brought(mail: Machine, sender: str, **headers: str) -> str:
    """The subject of a message that another server brings Alice, from this author."""
    return bring(mail, sender, ALICE, secrets.token_hex(8), **headers)
