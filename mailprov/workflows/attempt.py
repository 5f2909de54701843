"""What is tried with one host, and what became of it: the one place where an error becomes a host's result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType

from mailprov.engine.rollout import HostStatus, Result
from mailprov.errors import ConnectError, InterruptionError, MailprovError, RevertedError, UndecidedError
from mailprov.workflows.at_work import AtWork


@dataclass(slots=True)
class Attempt:
    """To be entered for one host: an error that ends the block becomes the `result`, and goes no further.

    `handed`: the work has been handed to the host. `at_work` knows what the host has said where somebody interrupts.
    """

    host: str
    at_work: AtWork | None = None
    changes: int = 0
    handed: bool = False
    status: HostStatus = HostStatus.APPLIED
    error: MailprovError | None = None
    _begun: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, MailprovError):
            return False
        if isinstance(error, InterruptionError):
            self.status = self.at_work.status(self.host) if self.at_work else HostStatus.UNKNOWN
        else:
            error.at(self.host)
            self.status = _status(error, handed=self.handed)
        self.error = error
        return True

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._begun

    @property
    def result(self) -> Result:
        """What became of the host."""
        return Result(self.host, self.status, self.changes, self.seconds, self.error)


def _status(error: MailprovError, *, handed: bool) -> HostStatus:
    """What an error says of a host."""
    if isinstance(error, RevertedError):
        return HostStatus.REVERTED
    # Once the work has been handed over, a lost connection says nothing about how it ended.
    undecided = isinstance(error, UndecidedError) or (handed and isinstance(error, ConnectError))
    return HostStatus.UNKNOWN if undecided else HostStatus.FAILED


def interrupted(host: str) -> Result:
    """Of a host that is not begun because somebody interrupted before."""
    error = MailprovError("not begun: interrupted")
    error.at(host)
    return Result(host, HostStatus.WAITING, error=error)
