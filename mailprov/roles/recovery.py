"""What puts a host right after a power cut: a unit that runs before the mail services do."""

from __future__ import annotations

from mailprov.model import Daemon, Item
from mailprov.render import Render, render
from mailprov.resources.files import text_file
from mailprov.resources.services import Service
from mailprov.roles import Role

NAME = "mailprov-recover"
UNIT = f"/etc/systemd/system/{NAME}.service"
DAEMON = Daemon(NAME, at_boot=True)


def items(render: Render = render) -> tuple[Item, ...]:
    """The unit, enabled."""
    unit = render(f"systemd/{NAME}.service", {})
    return (text_file(UNIT, unit, services=("systemd",)), Service(NAME))


ROLE = Role(lambda asked: items(asked.render), DAEMON)
