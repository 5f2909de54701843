"""What puts a host right after a power cut: a unit that runs before the mail services do."""

from __future__ import annotations

from mailprov.model import Item
from mailprov.render import Render, render
from mailprov.resources.files import text_file
from mailprov.resources.services import Service

NAME = "mailprov-recover"


def items(render: Render = render) -> tuple[Item, ...]:
    """The unit, enabled."""
    unit = render(f"systemd/{NAME}.service", {})
    return (text_file(f"/etc/systemd/system/{NAME}.service", unit, services=("systemd",)), Service(NAME))
