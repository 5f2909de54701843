"""Secrets from the repository on a real host: opened where they are needed, the same after rekey, seen by nobody."""

from __future__ import annotations

import secrets

import pytest
from age_tools import person, sealed, text
from mail_clients import login
from mail_machine import ALICE, Machine
from mail_watch import watching

from mailprov.credentials.passwords import sha512_crypt
from mailprov.model import Secret

pytestmark = pytest.mark.host


@pytest.mark.one_release
def test_a_host_gets_what_the_repository_keeps(clone: Machine) -> None:
    me, other = person(), person()
    password, initial = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    known = sha512_crypt(Secret(password)).reveal()
    clone.renew()
    key = clone.shown.key_pem
    (clone.folder / "mail.key").unlink()
    (clone.folder / "mail.key.age").write_bytes(sealed(key, me))
    (clone.folder / ".age-recipients").write_text(f"{me.recipient}\n{other.recipient}\n")
    clone.declared["tls"]["key"] = {"age": {"file": "mail.key.age"}}
    clone.declared["users"].append({"address": "eve@example.test", "password": {"initial": {"age": text(initial, me)}}})
    clone.user(ALICE)["password"] = {"hash": {"age": text(known, me)}}

    # who has no key can look at the host, and is told at once what a plan would need
    assert clone.mailprov("status").status == 0
    lacking = clone.plan()
    assert (lacking.status, lacking.err.count("Error: "), lacking.out) == (3, 1, "")
    assert "age.txt; the same at mail.yaml:" in lacking.err
    clone.environment["MAILPROV_AGE_IDENTITY"] = other.identity
    refused = clone.apply()
    assert refused.status == 3
    assert "mail.key.age: this is encrypted for other identities than the one in MAILPROV_AGE_IDENTITY" in refused.err

    clone.environment["MAILPROV_AGE_IDENTITY"] = me.identity
    hidden = {password, initial, known, me.identity, *(line for line in key.splitlines() if "-" not in line)}
    since = clone.mark()
    with watching(hidden) as seen:
        assert clone.plan().status == 2
        applied = clone.apply("--details")
        assert applied.status == 0, applied.said
        # other texts, the same secrets: nothing to do on the host
        before = (clone.folder / "mail.key.age").read_bytes()
        rekeyed = clone.mailprov("secret", "rekey")
        assert rekeyed.status == 0, rekeyed.err
        assert (clone.folder / "mail.key.age").read_bytes() != before
        clone.environment["MAILPROV_AGE_IDENTITY"] = other.identity
        clone.declared = _declared(clone)
        planned = clone.plan()
    assert planned.status == 0, planned.said
    assert seen == set()
    assert login(clone, "pop3s", ALICE, password) == login(clone, "imaps", "eve@example.test", initial) == 0
    journal = clone.sh('journalctl -q -o export --after-cursor "$1"; cat /var/log/*.log 2>/dev/null || :', since)
    said = applied.said + rekeyed.said + planned.said
    assert [word for word in hidden if word in journal + said] == []
    # of an initial password nothing but its hash is on the host, and of the identity nothing at all
    for word in (initial, me.identity):
        assert clone.sh('grep -rlF -e "$1" /etc /var /root /tmp /run 2>/dev/null || :', word) == ""


def _declared(clone: Machine) -> dict[str, object]:
    """What mail.yaml says by now."""
    import yaml

    found: dict[str, object] = yaml.safe_load((clone.folder / "mail.yaml").read_text())
    return found
