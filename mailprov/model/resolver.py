"""How the address of a DNS resolver is written."""

from __future__ import annotations

import re
from ipaddress import ip_address

EXAMPLES = "192.0.2.53, 127.0.0.1:5353 or [2001:db8::53]:53"
_FORM = re.compile(r"\[([^\]]+)\](?::([0-9]{1,5}))?|([0-9.]+)(?::([0-9]{1,5}))?|([0-9a-fA-F:]+)")


def resolver_at(text: str) -> tuple[str, int] | None:
    """Address and port that `text` means: IP, IP:port or [IPv6]:port; None where it means neither."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    address, port = found[1] or found[3] or found[5], int(found[2] or found[4] or 53)
    try:
        return (str(ip_address(address)), port) if 0 < port < 65536 else None
    except ValueError:
        return None
