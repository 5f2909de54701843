"""Sieve (RFC 5228) at delivery, and ManageSieve (RFC 5804): what Dovecot needs for users' own scripts."""

from __future__ import annotations

from collections.abc import Mapping

from mailprov.encode import Encoded
from mailprov.model import Facts, HostSpec, Item
from mailprov.resources.files import folder
from mailprov.resources.scripts import script

FOLDER = "/etc/dovecot/mailprov/sieve"
BEFORE = f"{FOLDER}/before.sieve"
RESTART = "protocols sieve"
"""A Dovecot that runs knows the protocols of the packages that were there at its start, and no others: where one comes
in, a reload says 0 and changes nothing, not even the rest of the file."""
AUTH_SERVICE = "sieve"
"""what Dovecot's auth calls ManageSieve"""


def packages(host: HostSpec) -> tuple[str, ...]:
    """The Debian packages that bring it."""
    sieve = ("dovecot-sieve",) if host.sieve.on else ()
    return (*sieve, *(("dovecot-managesieved",) if host.services.sieve is not None else ()))


def items(host: HostSpec, facts: Facts) -> tuple[Item, ...]:
    """The script that runs before users' own. It is compiled anew for another Dovecot: its last line tells which."""
    if not host.sieve.before:
        return ()
    version = ".".join(facts.dovecot.split(".")[:2])
    return (folder(FOLDER), script(BEFORE, f"{host.sieve.before}# compiled for Dovecot {version}\n"))


def values(host: HostSpec) -> Mapping[str, object]:
    """What dovecot.conf says of it."""
    return {
        "sieve": host.sieve.on,
        "before": Encoded(BEFORE) if host.sieve.before else "",
        "managesieve": host.services.sieve or 0,
    }
