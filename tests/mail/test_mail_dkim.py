"""What is sent is signed, by stages that wait for DNS; what comes in is checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mail_clients import fetched, send
from mail_machine import ALICE, Machine
from name_server import NameServer

pytestmark = [pytest.mark.host, pytest.mark.two_releases]


@contextmanager
def dns_of(mail: Machine, folder: Path) -> Iterator[NameServer]:
    """A name server for the domains of a host, which is asked by it and by whoever plans."""
    folder.mkdir(exist_ok=True)
    gateway = mail.host.place.gateway
    names = NameServer(folder, gateway, 53)
    names.zones["example.test"] = f"mail 5 IN A {mail.address}\n@ 5 IN MX 10 mail\n"
    names.start()
    mail.host.write("/etc/resolv.conf", f"nameserver {gateway}\n".encode())
    mail.declared["resolver"] = gateway
    try:
        yield names
    finally:
        names.stop()


def zone(mail: Machine) -> str:
    """What `mailprov dns --zonefile` has of keys."""
    done = mail.mailprov("dns", "example.test", "--zonefile")
    assert done.status == 0, done.said
    return "".join(f"{line}\n" for line in done.out.splitlines() if "_domainkey" in line and not line.startswith(";"))


def test_signed_once_dns_has_the_keys(clone: Machine, tmp_path: Path) -> None:
    with dns_of(clone, tmp_path / "dns") as names:
        clone.declared["domains"][0] = {"name": "example.test", "sign": True}
        planned = clone.plan()
        assert planned.status == 2, planned.said
        print(planned.said)
        applied = clone.apply()
        print(applied.said)
        assert applied.status == 0, applied.said
        clean = clone.plan()
        print(clean.said)
        assert clean.status == 0, clean.said
        print(clone.mailprov("status").said)
        records = zone(clone)
        print(records)
        unsigned = fetched(clone, ALICE, send(clone, ALICE, ALICE))
        assert b"DKIM-Signature" not in unsigned
        names.zones["example.test"] += records
        names.start()
        planned = clone.plan()
        print(planned.said)
        applied = clone.apply()
        print(applied.said)
        assert applied.status == 0
        clone.sh("sleep 6")
        signed = fetched(clone, ALICE, send(clone, ALICE, ALICE))
        print(signed.decode())
        print(clone.mailprov("status").said)
        assert signed.count(b"DKIM-Signature") == 2
