"""What becomes of incoming mail: what its domains ask for, and Sieve scripts (RFC 5228) of users and operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Sieve:
    """Whether users' own scripts run (`on`), and the text of the operator's script that runs before them ("": none)."""

    on: bool = False
    before: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What is done where DMARC fails (RFC 7489): it is marked, or what the domain asks for is followed.

    Marked it is wherever rspamd is there anyway; what is `declared` brings it.
    """

    dmarc: Literal["mark", "follow"] = "mark"
    declared: bool = False
