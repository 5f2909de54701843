"""A provider's relay: a real Postfix on a host of its own, set up by hand, that passes on what its customer sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mail_certificates import certificate
from mail_machine import DAVE, PASSWORDS, Converged, Machine
from name_server import NameServer

from mailprov.lab import LabHost, connect

NAME = "smtp.provider.test"
USER, PASSWORD = DAVE, PASSWORDS[DAVE]
ELSEWHERE = "someone@elsewhere.test"
"""whose mailbox is the customer's at the provider: whatever passes there stays there"""
_SET_UP = """
own=/etc/postfix/own.pem
postconf -e myhostname=smtp.provider.test smtpd_tls_cert_file=$own smtpd_tls_key_file=$own \
    virtual_alias_maps=regexp:/etc/postfix/all virtual_alias_domains=elsewhere.test,example.net
for port in 587 465; do postconf -P "$port/inet/smtpd_sender_restrictions="; done
echo '/./ dave@other.test' >/etc/postfix/all
postfix reload
"""


class Provider:
    """The relay's host, and what it took."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        host = machine.host
        shown = certificate(NAME, machine.ca)
        host.write("/etc/postfix/own.pem", (shown.key_pem + shown.pem).encode(), 0o600)
        machine.sh(_SET_UP)

    def serves(self, customer: LabHost) -> None:
        """Lay a cable to a customer's host, which trusts the same authority."""
        connect(customer, self.machine.host)
        customer.write("/usr/local/share/ca-certificates/test.crt", self.machine.ca.pem.encode())
        customer.run(("update-ca-certificates",))


@contextmanager
def provider(converged: Converged, customer: Machine, folder: Path) -> Iterator[Provider]:
    """A provider beside `customer`, whose resolver knows its name."""
    host = converged.lab.boot("provider", layer=converged.layer)
    names = NameServer(folder, customer.host.place.gateway, 53)
    try:
        machine = Machine(host, folder / "provider", converged.mail.ca, converged.mail.shown)
        found = Provider(machine)
        found.serves(customer.host)
        names.zones["test"] = f"smtp.provider 5 IN A {host.address}\nelsewhere 5 IN MX 10 mx.elsewhere\n"
        names.zones["test"] += f"mx.elsewhere 5 IN A {host.address}\n"
        names.zones["test"] += f"second 5 IN MX 10 mx.second\nmx.second 5 IN A {host.address}\n"
        names.start()
        customer.host.write("/etc/resolv.conf", f"nameserver {customer.host.place.gateway}\n".encode())
        yield found
    finally:
        names.stop()
        converged.lab.discard(host)
