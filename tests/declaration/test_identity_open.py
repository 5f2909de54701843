"""Whoever can read the identity has every secret: that it is open to others is told where it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from age_tools import person, text
from spec_tools import NOW

from mailprov.declaration import Reading, load
from mailprov.encrypted import armour
from mailprov.model import Purpose

TOLD = "this identity opens the secrets, and is open to others on this machine (mode 0644)"


@pytest.mark.parametrize("named", ["option", "variable", "home", "text"])
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_an_identity_that_others_can_read(named: str, mode: int, tmp_path: Path) -> None:
    me = person()
    path = me.write(tmp_path / ".config/mailprov/age.txt")
    path.chmod(mode)
    value = armour.one_line(text("the secret", me))
    (tmp_path / "mail.yaml").write_text(
        "mailprov: 1\n"
        "hosts: {mail.example.com: {address: 192.0.2.10}}\n"
        "domains: [example.com]\n"
        f'users: [{{address: postmaster@example.com, password: {{initial: {{age: "{value}"}}}}}}]\n'
        "tls: {self_signed: {}}\nservices: {imap: true}\n"
    )
    environ = {
        "option": {},
        "variable": {"MAILPROV_AGE_IDENTITY_FILE": str(path)},
        "home": {"HOME": str(tmp_path)},
        "text": {"MAILPROV_AGE_IDENTITY": me.identity},
    }[named]
    reading = Reading(identity=path if named == "option" else None)
    spec = load(tmp_path / "mail.yaml", environ=environ, now=NOW, reading=reading)
    assert spec.users[0].password.plaintext is not None
    assert [TOLD in each for each in spec.warnings] == ([True] if mode == 0o644 and named != "text" else [])
    unread = Reading(secrets=frozenset({Purpose.SUDO}), identity=reading.identity)
    assert load(tmp_path / "mail.yaml", environ=environ, now=NOW, reading=unread).warnings == ()
