"""mailprov check-certs against a real host: what is served, what is declared, and what the host keeps."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from mail_machine import Machine, Ran

pytestmark = pytest.mark.host


@pytest.fixture
def declared(mail: Machine) -> Iterator[Machine]:
    """The shared host; only what is declared of it changes."""
    before, shown = copy.deepcopy(mail.declared), mail.shown
    yield mail
    mail.declared = before
    mail.show(shown)


def listeners(ran: Ran) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ran.out)["listeners"]
    return found


def test_every_listener_serves_the_declared_certificate(declared: Machine) -> None:
    ran = declared.mailprov("check-certs", "--format", "json")
    assert ran.status == 0, ran.said
    assert len(listeners(ran)) == 7
    days = {each["days"] for each in listeners(ran)}
    assert len(days) == 1
    (left,) = days
    assert declared.mailprov("check-certs", "--warn", str(left)).status == 0
    soon = declared.mailprov("check-certs", "--warn", str(left + 1))
    assert soon.status == 9
    assert soon.out.count(f"fewer than {left + 1} days left") == 7
    assert f'"certificate_days": {left}' in declared.plan("--format", "json").out


def test_a_renewed_one_is_missed_until_it_is_applied_by_a_reload(declared: Machine) -> None:
    shown, before = declared.shown, declared.daemons()
    try:
        declared.renew()
        ran = declared.mailprov("check-certs")
        assert ran.status == 9
        assert ran.out.count("another certificate is served") == 7
        assert declared.apply().status == 0
        assert declared.mailprov("check-certs").status == 0
        assert declared.daemons() == before
    finally:
        declared.show(shown)
        assert declared.apply().status == 0


def test_the_one_that_the_host_keeps(declared: Machine) -> None:
    """A self-signed one is known by the host only, which is asked by SSH; it keeps it where the declared one is now."""
    declared.declared["tls"] = {"self_signed": {}}
    assert declared.mailprov("check-certs").status == 0
    kept = "/etc/mailprov/tls/default.pem"
    declared.sh(
        f"cp -p {kept} {kept}.kept; openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout /dev/null -out {kept}"
    )
    try:
        ran = declared.mailprov("check-certs")
        assert ran.status == 9
        assert ran.out.count("another certificate is served") == 7
        assert declared.mailprov("check-certs", "--no-ssh").status == 0
    finally:
        declared.sh(f"mv {kept}.kept {kept}")
