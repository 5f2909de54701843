"""mailprov check-certs against a real host: what is served, what is declared, and what the host keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mail_machine import Machine, Ran

pytestmark = pytest.mark.host


def listeners(ran: Ran) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ran.out)["listeners"]
    return found


def test_every_listener_serves_the_declared_certificate(clone: Machine) -> None:
    ran = clone.mailprov("check-certs", "--format", "json")
    assert ran.status == 0, ran.said
    assert len(listeners(ran)) == 7
    days = {each["days"] for each in listeners(ran)}
    assert len(days) == 1
    (left,) = days
    assert clone.mailprov("check-certs", "--warn", str(left)).status == 0
    soon = clone.mailprov("check-certs", "--warn", str(left + 1))
    assert soon.status == 9
    assert soon.out.count(f"fewer than {left + 1} days left") == 7
    assert f'"certificate_days": {left}' in clone.plan("--format", "json").out


def test_a_renewed_one_is_missed_until_it_is_applied_by_a_reload(clone: Machine) -> None:
    shown, before = clone.shown, clone.daemons()
    clone.renew()
    ran = clone.mailprov("check-certs")
    assert ran.status == 9
    assert ran.out.count("another certificate is served") == 7
    assert clone.apply().status == 0
    assert clone.mailprov("check-certs").status == 0
    assert clone.daemons() == before
    clone.show(shown)
    assert clone.apply().status == 0


def test_the_one_that_the_host_keeps(clone: Machine) -> None:
    """A self-signed one is known by the host only, which is asked by SSH; it keeps it where the declared one is now."""
    clone.declared["tls"] = {"self_signed": {}}
    assert clone.mailprov("check-certs").status == 0
    kept = "/etc/mailprov/tls/default.pem"
    clone.sh(f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout /dev/null -out {kept}")
    ran = clone.mailprov("check-certs")
    assert ran.status == 9
    assert ran.out.count("another certificate is served") == 7
    assert clone.mailprov("check-certs", "--no-ssh").status == 0
