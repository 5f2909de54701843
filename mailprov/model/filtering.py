"""How incoming mail is filed: Sieve scripts (RFC 5228) of the users' own, and one that runs before them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sieve:
    """Whether users' own scripts run (`on`), and the text of the operator's script that runs before them ("": none)."""

    on: bool = False
    before: str = ""
