"""What hosts that are at work have said so far, so that whoever interrupts is told what each one does now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mailprov.engine.rollout import HostStatus
from mailprov.engine.transaction import Event, OnEvent, Work
from mailprov.engine.transaction_state import Station, interrupted, place, words
from mailprov.errors import InterruptionError

_ENDED = {"applied": HostStatus.APPLIED, "reverted": HostStatus.REVERTED}
_LOOK = "look with `mailprov status`"


@dataclass(slots=True)
class AtWork:
    """The last transaction of each host and its events. Threads write it, each for its own host."""

    _said: dict[str, tuple[Work, list[Event]]] = field(default_factory=dict)
    stopped: bool = False
    """nothing more is to be begun"""
    _left: bool = False

    def follow(self, work: Work, then: OnEvent) -> OnEvent:
        """What hears each event of `work`, which is handed over next, and passes it on."""
        events: list[Event] = []
        self._said[work.plan.host] = (work, events)

        def hear(event: Event) -> None:
            events.append(event)
            if self._left:
                raise KeyboardInterrupt  # in its own thread, where nobody says anything more
            then(event)

        return hear

    def leave(self) -> None:
        """Have whoever still follows a host stop at its next event: nothing that waits is confirmed then."""
        self._left = True

    def lines(self, hosts: Iterable[str]) -> list[str]:
        """A line for each of these that has been handed its work: what it does now."""
        said = {host: self._said[host] for host in hosts if host in self._said}
        return [f"{host}: {words(place(events), work.steps)}" for host, (work, events) in said.items()]

    def status(self, host: str) -> HostStatus:
        """What is known of a host that nobody follows any more."""
        if host not in self._said:
            return HostStatus.WAITING
        found = place(self._said[host][1])
        return _ENDED.get(found.verdict, HostStatus.FAILED) if found.station is Station.ENDED else HostStatus.UNKNOWN

    def interrupted(self) -> InterruptionError:
        """The error that says what each host does that is at work; of one host alone also how it had ended."""
        said = dict(self._said)
        told = {name: interrupted(events, work.steps, work.confirm_seconds) for name, (work, events) in said.items()}
        if not told:
            return InterruptionError("interrupted: nothing was changed")
        if len(told) == 1:
            [(host, what)] = told.items()
            return InterruptionError(f"interrupted: {what}", where=host, fix=_LOOK)
        ended = {name for name, (_, events) in said.items() if place(events).station is Station.ENDED}
        lines = [f"  {name}: {what}" for name, what in told.items() if name not in ended]
        head = f"interrupted: {len(ended)} hosts had ended, {len(lines)} {'is' if len(lines) == 1 else 'are'} at work"
        return InterruptionError("\n".join([head, *lines]), fix=_LOOK)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """An interruption (Ctrl-C, also at a question) becomes that error."""
        try:
            yield
        except KeyboardInterrupt:
            raise self.interrupted() from None
