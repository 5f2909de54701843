"""toyd says in /run/toyd what the link /etc/toy/greeting leads to."""

from __future__ import annotations

from mailprov.model import Daemon, Item
from mailprov.resources.files import folder, text_file
from mailprov.resources.services import Service
from mailprov.roles import Context, Readers, Role
from toys.link import Link

DAEMON = Daemon("toyd", core="coreutils")
UNIT = """\
[Unit]
Description=A toy

[Service]
RuntimeDirectory=toyd
ExecStart=/bin/sh -c 'trap "cat /etc/toy/greeting >/run/toyd/said" HUP; cat /etc/toy/greeting >/run/toyd/said; while :; do sleep 1 & wait; done'
ExecReload=/bin/sh -c '! grep -q refuse /etc/toy/greeting && kill -HUP $MAINPID'

[Install]
WantedBy=multi-user.target
"""  # noqa: E501
GREETINGS = {"hello": "hello\n", "hallo": "hallo\n", "refused": "refuse to reload\n", "empty": ""}


def role(greeting: str) -> Role:
    """Greeting so, if at all."""

    def items(asked: Context) -> tuple[Item, ...]:
        if not greeting:
            return ()
        return (
            folder("/etc/toy"),
            *(text_file(f"/etc/toy/{name}", text) for name, text in GREETINGS.items()),
            text_file("/etc/systemd/system/toyd.service", UNIT, services=("systemd",)),
            Link("/etc/toy/greeting", f"/etc/toy/{greeting}"),
            Service("toyd"),
        )

    return Role(items, DAEMON, {"/etc/systemd/system/toyd.service": Readers(("systemd",))})
