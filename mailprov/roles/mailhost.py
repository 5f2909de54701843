"""A mail host: all roles of one declared host, as one desired state."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from mailprov.model import Command, Facts, HostSpec, Key, Secret, Spec, State, User
from mailprov.render import Render, render
from mailprov.resources.files import File
from mailprov.resources.firewall import SERVICE
from mailprov.roles import dovecot, firewall, postfix, recovery, tls


def desired(
    spec: Spec, host: HostSpec, facts: Facts, initial: Callable[[User], Secret], render: Render = render
) -> State:
    """Everything that `host` is declared to be.

    `initial` gives the password hash with which a user is created; it is kept, and asked only where a user is new.
    Raises EncodeError for a text that its destination cannot hold.
    """
    users = spec.users_of(host.name)
    items = chain(
        tls.items(host, facts),
        dovecot.items(host, users, facts, initial, render),
        postfix.items(host, facts, spec.domains_of(host.name), users, spec.aliases_of(host.name), render),
        firewall.items(host, facts, render),
        recovery.items(render),
    )
    return {Key(*item.key): item for item in items}


def reads(path: str) -> File:
    """A bare file at this path, with what is known of who reads it: for one that is put back as a host has kept it."""
    if path.startswith("/etc/systemd/"):
        return File(path, "", "", "", services=("systemd",))
    readers: dict[str, tuple[str, ...]] = {
        "/etc/dovecot/dovecot.conf": ("dovecot",),
        "/etc/postfix/main.cf": ("postfix",),
        "/etc/postfix/master.cf": ("postfix",),
        firewall.PATH: (SERVICE,),
        tls.PEM: tls.READERS,
    }
    restart = postfix.RESTART_SETTINGS if path == "/etc/postfix/main.cf" else ()
    return File(path, "", "", "", services=readers.get(path, ()), restart_settings=restart, secret=path == tls.PEM)


def validators(host: HostSpec) -> tuple[Command, ...]:
    """What must hold of the staged tree, seen by the host's own programs, before anything live changes."""
    where = tls.paths(host)
    checks: list[Command] = [
        ("certificate_matches", str(where.certificate), str(where.key)),
        ("dovecot_check",),
        ("postfix_check",),
    ]
    return (*checks, *([("nft", "-c", "-f", firewall.PATH)] if host.firewall.manage else []))


def health(spec: Spec, host: HostSpec) -> tuple[Command, ...]:
    """What must hold of the canary and then of the live host: each port serves the certificate, mail is accepted."""
    where = str(tls.paths(host).certificate)
    starttls = {"pop3": "pop3", "imap": "imap", "submission": "smtp", "smtp": "smtp"}
    served: list[Command] = [
        ("serves", str(port), "tls" if mode == "tls" else starttls[name], where)
        for name, mode, port in host.services.ports()
    ]
    users = spec.users_of(host.name)
    if users and host.services.smtp is not None:
        served.append(("accepts", str(host.services.smtp), users[0].address))
    served.append(("listens_on", *(str(port) for _, _, port in host.services.ports())))
    return tuple(served)
