"""Which events in a host's log the doctor's own look has made (pure): told by time and session, never by address alone.

Behind one address there may be a whole office, and the trouble that the doctor was called for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mailprov.doctor.log import Event

_HANDSHAKE = ("client-tls-old", "certificate-distrusted")
_EDGE = 2
"""seconds by which a line may be logged before or after what it tells of"""


def own(
    events: Sequence[Event], addresses: Collection[str], since: float, until: float, logins: int
) -> frozenset[Event]:
    """The events of a look from these addresses between two times of the host's clock, in which so many logins were
    tried: no more sessions with a login than these are the doctor's."""
    here = [e for e in events if e.client in addresses and since - _EDGE <= e.at <= until + _EDGE]
    found = {event for event in here if event.kind in _HANDSHAKE}
    rest = [event for event in here if event.kind not in _HANDSHAKE and not _submitted(event)]
    sessions = list(dict.fromkeys(map(_session, sorted(rest, key=lambda event: event.at))))[:logins]
    return frozenset(found | {event for event in rest if _session(event) in sessions})


def _submitted(event: Event) -> bool:
    """Whether Postfix tells of a login: it does so once a message comes, and the doctor submits none."""
    return event.kind == "login" and "sasl_method=" in event.text


def _session(event: Event) -> str:
    """What tells one session of a mail program from the next; Postfix's have no name, and are told by the second."""
    return event.session or f"{event.at:.0f}"
