"""The Mozilla "intermediate" profile, and where the host's certificate is."""

from __future__ import annotations

from dataclasses import dataclass

from mailprov.encode import Encoded, word
from mailprov.errors import MailprovError
from mailprov.model import Facts, HostSpec, Item
from mailprov.resources.certificates import Certificate, clock
from mailprov.resources.files import File, folder, text_file
from mailprov.roles import Readers, Role

# https://wiki.mozilla.org/Security/Server_Side_TLS, version 5.7, "intermediate", TLS 1.2 suites
CIPHERS = Encoded(
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
)

# Key and chain are one file, so that one rename replaces both: no daemon can ever read a pair that does not match.
PEM = "/etc/mailprov/tls/default.pem"

READERS = ("dovecot", "postfix")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the daemons find the certificate and its key, encoded for their configuration."""

    certificate: Encoded
    key: Encoded


def paths(host: HostSpec) -> Paths:
    """The files to name in configuration."""
    if host.tls.source == "on_host":
        return Paths(word(host.tls.certificate_path), word(host.tls.key_path))
    return Paths(word(PEM), word(PEM))


def items(host: HostSpec, facts: Facts) -> tuple[Item, ...]:
    """The certificate as the declaration has it: a secret file, one made on the host, or one that is there."""
    folders: tuple[File, ...] = (folder("/etc/mailprov"), folder("/etc/mailprov/tls", "700"))
    tls, now = host.tls, clock(facts.clock)
    if tls.source == "file":
        if tls.key is None or not tls.chain:
            raise MailprovError("the certificate or its key was not read", where=host.name, fix="provide both")
        pem = tls.key.reveal().rstrip("\n") + "\n" + tls.chain.rstrip("\n") + "\n"
        return (*folders, text_file(PEM, pem, mode="600", secret=True, services=READERS))
    if tls.source == "self_signed":
        return (*folders, Certificate(PEM, PEM, "self_signed", (host.hostname,), services=READERS, now=now))
    where = (tls.certificate_path, tls.key_path)
    return (Certificate(*where, "on_host", (host.hostname,), services=READERS, now=now),)


ROLE = Role(lambda asked: items(asked.host, asked.facts), files={PEM: Readers(READERS, secret=True)})
