"""Mail of two hosts is accepted elsewhere: SPF, DKIM with both keys, and DMARC, by verifiers of three makers."""

from __future__ import annotations

import re
import secrets
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_certificates import certificate
from mail_clients import message, trusting
from mail_machine import ALICE, PASSWORDS, Converged, Machine
from mail_receiver import READER, receiver
from name_server import NameServer
from test_mail_dkim import publish, records, verified

pytestmark = [pytest.mark.host, pytest.mark.one_release]


@pytest.fixture
def other(converged: Converged, tmp_path: Path) -> Iterator[Machine]:
    """Another host of the same domain, with a name of its own."""
    host = converged.lab.boot("second", layer=converged.layer)
    yield Machine(host, tmp_path / "second", converged.mail.ca, certificate("mail2.example.test", converged.mail.ca))
    converged.lab.discard(host)


def sent(mail: Machine) -> str:
    """The subject of what Alice sends from there; by which name its certificate is, is no matter here."""
    context = trusting(mail)
    context.check_hostname = False
    subject = secrets.token_hex(8)
    with smtplib.SMTP_SSL(mail.address, 465, timeout=20, context=context) as client:
        client.login(ALICE, PASSWORDS[ALICE])
        client.sendmail(ALICE, [READER], message(ALICE, READER, subject))
    return subject


def passes(raw: str) -> None:
    """By OpenDKIM, for each signature; and by OpenDMARC, which looks at SPF itself."""
    results = " ".join(re.findall(r"(?ms)^Authentication-Results: mx\.receiver\.test;.*?(?=^\S)", raw))
    assert results.count("dkim=pass") >= 1 and "dkim=fail" not in results, raw
    assert "dmarc=pass (p=reject" in results, raw
    assert re.search(r"spf=pass", results), raw


def test_two_hosts_and_a_receiver(converged: Converged, clone: Machine, other: Machine, tmp_path: Path) -> None:
    gateway = clone.host.place.gateway
    names = NameServer(tmp_path, gateway, 53)
    names.zones["example.test"] = (
        f"mail 1 IN A {clone.address}\nmail2 1 IN A {other.address}\n@ 1 IN MX 10 mail\n@ 1 IN MX 10 mail2\n"
        '@ 1 IN TXT "v=spf1 mx -all"\n_dmarc 1 IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s"\n'
    )
    # one declaration, two hosts: each has keys of its own
    clone.declared["hosts"]["mail2"] = {**other.declared["hosts"]["mail1"], "hostname": "mail2.example.test"}
    clone.declared["hosts"]["mail1"]["tls"] = clone.declared.pop("tls")
    for name in ("mail.pem", "mail.key"):
        (clone.folder / f"second-{name}").touch(0o600)
        (clone.folder / f"second-{name}").write_text((other.folder / name).read_text())
    pair = {"certificate": {"file": "second-mail.pem"}, "key": {"file": "second-mail.key"}}
    clone.declared["hosts"]["mail2"]["tls"] = pair
    clone.declared["domains"][0] = {"name": "example.test", "sign": True}
    clone.declared["resolver"] = gateway
    try:
        names.start()
        for each in (clone, other):
            each.host.write("/etc/resolv.conf", f"nameserver {gateway}\n".encode())
        first = clone.apply()
        assert first.status == 0, first.said
        with receiver(converged, gateway, clone, other, folder=tmp_path / "receiver") as there:
            names.zones["receiver.test"] = f"@ 1 IN MX 10 mx\nmx 1 IN A {there.host.address}\n"
            publish(names, records(clone))
            done = clone.apply()
            assert done.status == 0, done.said
            assert clone.plan().status == 0
            for mail, selectors in ((clone, ["mail1-1e", "mail1-1r"]), (other, ["mail2-1e", "mail2-1r"])):
                raw = there.message(sent(mail))
                passes(raw)
                assert verified(clone, raw.replace("\n", "\r\n").encode()) == selectors

            # whoever forges this domain is refused there, as its DMARC record says
            with (
                smtplib.SMTP(there.host.address, 25, local_hostname="mail.example.test", timeout=20) as client,
                pytest.raises(smtplib.SMTPDataError, match=r"5\.7\.1"),
            ):
                client.sendmail(ALICE, [READER], message(ALICE, READER, "forged"))
    finally:
        names.stop()
