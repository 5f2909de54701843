"""What mailprov manages, and the daemons that it looks after: the one place where kinds and roles are registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mailprov.assets import script
from mailprov.engine.registry import Registry, Shell
from mailprov.model import Kind
from mailprov.platform import debian
from mailprov.resources import (
    accounts,
    certificates,
    dkim_keys,
    files,
    firewall,
    mailboxes,
    maps,
    queue,
    scripts,
    system_users,
)
from mailprov.resources.packages import Packages
from mailprov.resources.services import Services
from mailprov.roles import dovecot, postfix, recovery, rspamd
from mailprov.roles import firewall as firewall_role

DAEMONS = (recovery.DAEMON, dovecot.DAEMON, rspamd.DAEMON, postfix.DAEMON, firewall_role.DAEMON)
"""what puts right at boot, who is asked before who asks, and the firewall last"""

_KINDS: Mapping[str, Kind[Any]] = {
    "packages": Packages(DAEMONS),
    "system_users": system_users,
    "files": files,
    "certificates": certificates,
    "accounts": accounts,
    "maps": maps,
    "scripts": scripts,
    "dkim_keys": dkim_keys,
    "firewall": firewall,
    "queue": queue,
    "mailboxes": mailboxes,
}
"""by folder of resources/, in the order of application"""

_ROLES = ("dovecot", "rspamd", "postfix")
"""folders of roles/ with shell of their own"""


def _scripts(room: str, folders: Iterable[str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, (script(f"{room}/{folder}/{name}") for folder in folders)))


REGISTRY = Registry(
    tuple(_KINDS.values()),
    Services(DAEMONS),
    Shell(
        (
            *_scripts("resources", (*_KINDS, "services"), "query.sh"),
            *_scripts("roles", _ROLES, "query.sh"),
        ),
        _scripts("resources", (*_KINDS, "services"), "steps.sh"),
        _scripts("roles", _ROLES, "daemon.sh"),
        _scripts("resources", _KINDS, "store.sh"),
    ),
    debian,
    (dkim_keys,),
)
