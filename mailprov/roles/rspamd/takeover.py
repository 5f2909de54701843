"""What ends where an rspamd is taken over that somebody else has set up (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from mailprov.model import HostSpec, Query, Spec, State, some
from mailprov.roles import Takeover


def _ends(_spec: Spec, _host: HostSpec, _desired: State, text: str) -> Iterator[str]:
    """What it reads now, where somebody has written that, or has it run."""
    own = [line.removeprefix("own ") for line in text.splitlines() if line.startswith("own ")]
    if own:
        yield f"rspamd no longer reads its settings in {some(sorted(own), 5)}"
    elif "running" in text.splitlines():
        yield "rspamd no longer reads /etc/rspamd: it signs and checks, and scores nothing"


TAKEOVER = Takeover(Query("rspamd_setup", "rspamd_setup"), _ends)
