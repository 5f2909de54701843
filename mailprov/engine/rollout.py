"""How a change goes through a fleet: a canary, then batch by batch, until all is done or too much has failed (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailprov.errors import MailprovError


class HostStatus(StrEnum):
    """What became of one host."""

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    REVERTED = "reverted"
    """applied, and put back as it was"""
    FAILED = "failed"
    """nothing that it serves was touched, or it could not be reached at all"""
    UNKNOWN = "unknown"
    """the work was handed over, and the host has not said how it ended"""
    WAITING = "waiting"
    """not begun, because too much had failed before, or somebody interrupted"""


FAILURES = frozenset({HostStatus.REVERTED, HostStatus.FAILED, HostStatus.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Result:
    """One host's verdict; how many changes were asked for; how long it took (seconds); and the error, if any."""

    host: str
    status: HostStatus
    changes: int = 0
    seconds: float = 0.0
    error: MailprovError | None = None


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """`canary` hosts first, then `batch` ("5" hosts, or "20%" of them) at a time.

    After a batch with which more than `max_failures` hosts have failed, or that was not all begun, nothing more is.
    """

    canary: int = 1
    batch: str = "20%"
    max_failures: int = 0


def size(batch: str, total: int) -> int:
    """How many hosts of `total` are in one batch: at least one. Raises MailprovError for what is neither N nor N%."""
    found = re.fullmatch(r"([0-9]{1,6})(%?)", batch)
    if found is None or int(found[1]) == 0 or (found[2] and int(found[1]) > 100):
        raise MailprovError(f"`{batch}` is no size of a batch", where="--batch", fix="give a number, or 1% to 100%")
    return max(1, total * int(found[1]) // 100) if found[2] else int(found[1])


def batches(hosts: Sequence[str], policy: RolloutPolicy) -> tuple[tuple[str, ...], ...]:
    """The hosts in the order in which they are changed. Raises MailprovError for a wrong size."""
    step, first = size(policy.batch, len(hosts)), min(policy.canary, len(hosts))
    rest = hosts[first:]
    parts = [hosts[:first], *(rest[place : place + step] for place in range(0, len(rest), step))]
    return tuple(tuple(part) for part in parts if part)


def roll_out(
    hosts: Sequence[str],
    policy: RolloutPolicy,
    before: Mapping[str, Result],
    change: Callable[[tuple[str, ...]], Iterable[Result]],
) -> dict[str, Result]:
    """Change `hosts`; `change` does one batch and gives its results. `before` holds what is decided already.

    Where it leaves a host waiting, whoever comes after it waits, too, and says why. Returns every host's result, those
    of `before` too.
    """
    results = dict(before)
    for batch in batches(hosts, policy):
        if why := _not_begun(results, hosts, policy):
            results |= {host: Result(host, HostStatus.WAITING, error=MailprovError(why, where=host)) for host in batch}
        else:
            results |= {result.host: result for result in change(batch)}
    return results


def _not_begun(results: Mapping[str, Result], hosts: Sequence[str], policy: RolloutPolicy) -> str:
    """Why nothing more is begun; "" where something may be."""
    left = next((result for result in results.values() if result.status is HostStatus.WAITING), None)
    if left is not None:
        what = left.error.what if left.error else ""
        return what if what.startswith(_NOT_BEGUN) else f"{_NOT_BEGUN}: {what or f'neither was {left.host}'}"
    failed = [result for result in results.values() if result.status in FAILURES]
    if len(failed) <= policy.max_failures:
        return ""
    # One that could not even be looked at would have been among the first, too.
    first = sorted({*hosts, *(result.host for result in failed)})[: policy.canary]
    named = next((result for result in failed if result.host in first), failed[0])
    canary = "canary " if named.host in first else ""
    because = f" ({named.error.what})" if named.error else ""
    more = f", and {len(failed) - 1} more failed" if len(failed) > 1 else ""
    return f"{_NOT_BEGUN}: {canary}{named.host} {_BECAME[named.status]}{because}{more}"


_NOT_BEGUN = "not begun"
_BECAME = {
    HostStatus.FAILED: "failed",
    HostStatus.REVERTED: "was put back",
    HostStatus.UNKNOWN: "has not said how it ended",
}


def failures(results: Iterable[Result]) -> int:
    """How many hosts have failed."""
    return sum(result.status in FAILURES for result in results)
