"""What a host is in, from its answer: an apply at work or cut off, services that are down, a reload pending (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mailprov.engine import manifest, probe
from mailprov.engine.history import Entry, transactions
from mailprov.engine.registry import Registry
from mailprov.engine.transaction import event
from mailprov.engine.transaction_state import Place, Station, clock, place
from mailprov.model import KeyPair, Query
from mailprov.model.listeners import listening
from mailprov.model.mail_queue import MailQueue, mail_queue


class State(StrEnum):
    """The one word for a host: what matters most of all that is so."""

    AT_WORK = "at_work"
    WAITING = "waiting_for_confirmation"
    INCOMPLETE = "revert_incomplete"
    CUT_OFF = "cut_off"
    DOWN = "services_down"
    RELOAD_PENDING = "reload_pending"
    NOTHING_APPLIED = "nothing_applied"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Status:
    """What one host is in.

    `holder` says who is at work there, "" for nobody; `open` the transaction that has not ended, `where` it is,
    and when it was `begun`; `pending` reloads that are owed ("dovecot reload"); `down` services and what systemd calls
    them; `silent` the declared listeners (protocol, port) on which no mail service listens; `waiting` is mail that is
    still to be sent; `keys` are those that sign mail.
    """

    host: str
    holder: str = ""
    open: str = ""
    where: Place = field(default_factory=Place)
    begun: datetime | None = None
    pending: tuple[str, ...] = ()
    down: tuple[tuple[str, str], ...] = ()
    silent: tuple[tuple[str, int], ...] = ()
    last: Entry | None = None
    waiting: MailQueue = field(default_factory=MailQueue)
    keys: tuple[KeyPair, ...] = ()

    @property
    def state(self) -> State:
        """What matters most."""
        if self.open:
            if self.where.station is Station.INCOMPLETE:
                return State.INCOMPLETE
            if not self.holder:
                return State.CUT_OFF
            return State.WAITING if self.where.station is Station.WAITING else State.AT_WORK
        if self.down:
            return State.DOWN
        if self.pending:
            return State.RELOAD_PENDING
        return State.IDLE if self.last else State.NOTHING_APPLIED


def queries(registry: Registry) -> tuple[Query, ...]:
    """What must be asked for it, all in one answer."""
    names = ("facts", "listeners", "transactions", "manifest", "mail_queue")
    return (*(Query(name, name) for name in names), *registry.report_queries, *registry.services.queries(()))


def status(registry: Registry, host: str, ports: Sequence[tuple[str, int]], sections: Mapping[str, str]) -> Status:
    """What `host` is in, whose declared listeners are `ports`. Raises HostError for a host that is none of ours."""
    facts, past = probe.facts(registry, sections), transactions(sections)
    events = [found for line in past.events if (found := event(line))]
    heard = {port for _, port in listening(sections.get("listeners", ""), registry.units)}
    silent = tuple((protocol, port) for protocol, port in ports if port not in heard) if past.last else ()
    down = _down(registry, sections)
    begun = datetime.fromtimestamp(events[0].seconds, UTC) if events else None
    where = _overdue(place(events), datetime.fromtimestamp(facts.clock, UTC))
    waiting = mail_queue(sections.get("mail_queue", ""))
    pending = facts.pending_reloads
    keys = registry.reported(sections)
    return Status(host, past.holder, past.open, where, begun, pending, down, silent, past.last, waiting, keys)


LATE = timedelta(seconds=10)


def _overdue(found: Place, now: datetime) -> Place:
    """Where it stopped waiting long ago and has written nothing since, it cannot write."""
    if found.station is not Station.WAITING or found.until is None or now < found.until + LATE:
        return found
    why = f"it stopped waiting at {clock(found.until)}, and has written nothing since: is /var/lib/mailprov writable?"
    return replace(found, station=Station.INCOMPLETE, reason=why)


def _down(registry: Registry, sections: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The services that are enabled, or that the last apply wanted, and do not run."""
    kept, kind = manifest.parse(sections.get("manifest", "")), registry.services
    wanted = {key.name for key in (kept.desired if kept else ()) if key.kind == kind.KIND}
    states = kind.states(sections)
    wanted |= {key.name for key, item in kind.read(sections).items() if kind.enabled(item)}
    return tuple(
        (name, states.get(name, "not installed"))
        for name in (daemon.name for daemon in registry.daemons)
        if name in wanted and states.get(name) not in ("active", "reloading")
    )
