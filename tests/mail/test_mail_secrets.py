"""No password, no hash and no key shows in what is printed, in a process list, or in the host's journal."""

from __future__ import annotations

import secrets

import pytest
from mail_clients import login
from mail_machine import ALICE, Machine, ended
from mail_watch import watching

from mailprov.credentials.passwords import sha512_crypt
from mailprov.model import Secret

pytestmark = pytest.mark.host


@pytest.mark.one_release
def test_secrets_stay_secret(clone: Machine) -> None:
    password, initial = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    known = sha512_crypt(Secret(password)).reveal()
    clone.renew()
    clone.environment["EVE_INITIAL"] = initial
    clone.environment["ALICE_PASSWORD"] = password
    clone.declared["users"].append({"address": "eve@example.test", "password": {"initial": {"env": "EVE_INITIAL"}}})
    clone.user(ALICE)["password"] = {"hash": known}
    key = [line for line in clone.shown.key_pem.splitlines() if "-" not in line]
    hidden = {password, initial, known, known.rpartition("$")[2], *key}
    since = clone.mark()
    said = ""
    with watching(hidden) as seen:
        marker = clone.start("plan", "--details")
        said += ended(marker).said
        for form in ("json", "markdown"):
            said += clone.plan("--format", form, "--out", f"{form}.plan").said
        applied = clone.apply("--details")
        assert applied.status == 0, applied.said
        said += applied.said
        said += clone.mailprov("verify", "--details").said
        verified = clone.mailprov("verify", "--user", ALICE, "--password-env", "ALICE_PASSWORD", "--format", "json")
        assert verified.status == 0
        said += verified.said
        clone.environment["EVE_INITIAL"] = "another"
        clone.user(ALICE)["password"] = {"hash": "{SHA512-CRYPT}$6$x$" + "y" * 86}
        said += clone.plan("--details").said
        clone.mailprov("validate")
    assert login(clone, "pop3s", ALICE, password) == login(clone, "imaps", "eve@example.test", initial) == 0
    assert seen == set()
    kept = "".join((clone.folder / f"{form}.plan").read_text() for form in ("json", "markdown"))
    journal = clone.sh('journalctl -q -o export --after-cursor "$1"; cat /var/log/*.log 2>/dev/null || :', since)
    assert "mailprov" in journal
    for where, text in {"output": said, "plan file": kept, "journal": journal}.items():
        assert [word for word in hidden if word in text] == [], where
    # What the host keeps to go back to holds hashes and keys, and is root's.
    assert clone.sh("stat -c '%a %U' /var/lib/mailprov") == "700 root\n"
    places = r"grep -rlE -e 'PRIVATE KEY|\$6\$[^ ]{50}' /etc /var /home /root /tmp /run 2>/dev/null || :"
    found = {path for path in clone.sh(places).split() if not path.startswith(("/var/lib/mailprov/txn/", "/etc/ss"))}
    ours = {"/etc/mailprov/tls/default.pem", "/etc/dovecot/mailprov/accounts"}
    assert found - {"/run/dovecot/dovecot.conf.binary"} == ours
    assert clone.sh('find "$@" -perm /007', *found) == ""


@pytest.mark.one_release
def test_the_watch_sees_a_command_line(clone: Machine) -> None:
    word = secrets.token_hex(12)
    with watching((word,)) as seen:
        clone.host.run(("sh", "-c", "sleep 0.3", "sh", word))
    assert seen == {word}
