"""How long the certificates that are served will do. Pure: checks and a clock reading in, words out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mailprov.checks.check import Check, Endpoint

Status = Literal["ok", "soon", "failed", "not seen"]


@dataclass(frozen=True, slots=True)
class Watched:
    """The certificate that one listener of `host` serves.

    "soon": it has fewer whole `days` left than are wanted. "failed": clients refuse it, it is not the declared one, or
    nothing is served; `detail` says what. "not seen": the listener is open to other networks only. `until` is UTC.
    """

    host: str
    endpoint: Endpoint
    status: Status
    detail: str
    until: datetime | None = None
    days: int | None = None

    @property
    def wrong(self) -> bool:
        """Whether something must be done."""
        return self.status in ("soon", "failed")


def watched(
    host: str, endpoint: Endpoint, checks: Sequence[Check], now: datetime, least: int, narrowed: Collection[int] = ()
) -> Watched:
    """What `check_listener` found, as far as the certificate goes.

    `least` is how many days must be left at `now` (aware), `narrowed` the ports that may be closed to this machine.
    """
    until = next((check.until for check in checks if check.until is not None), None)
    days = (until - now).days if until is not None else None
    failed = next((check for check in checks if check.failed), None)
    if failed is not None:
        unseen = failed.step == "connect" and endpoint.port in narrowed
        detail = f"{failed.step}: {failed.detail}"
        return Watched(host, endpoint, "not seen" if unseen else "failed", detail, until, days)
    if days is None:
        return Watched(host, endpoint, "failed", "no certificate was seen")
    if days < least:
        return Watched(host, endpoint, "soon", f"fewer than {least} days left: renew it, then apply", until, days)
    return Watched(host, endpoint, "ok", "", until, days)
