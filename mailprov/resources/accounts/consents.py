"""What people would miss when accounts change (pure): of a change's delta, and of the rows before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mailprov.model import Risk, RowsChange, some
from mailprov.resources.accounts.row import expire, quota

Rows = Mapping[str, str]
"""the rows of a passwd-file by address"""

SHARE = 0.3
LEAST = 5
"""touching more than this share of the accounts, and at least so many, wants a consent"""


def pairs(delta: RowsChange, before: Rows, after: Rows) -> Iterator[tuple[str, str, str]]:
    """Each account that stays and has another row: its address before, and its rows before and after."""
    for name, was in [*((name, name) for name in delta.changed), *delta.renamed.items()]:
        if was in before and name in after:
            yield was, before[was], after[name]


def shrinking(delta: RowsChange, before: Rows, after: Rows) -> tuple[str, ...]:
    """The accounts whose quota falls, by their address before, in order."""
    limits = ((name, quota(was), quota(will)) for name, was, will in pairs(delta, before, after))
    return tuple(sorted(name for name, was, will in limits if will is not None and (was is None or will < was)))


def expiring(delta: RowsChange, before: Rows, after: Rows) -> Mapping[int, tuple[str, ...]]:
    """The accounts that would lose messages which they keep now, in order, by the days after which they do."""
    found: dict[int, list[str]] = {}
    for name, was, will in ((name, expire(was), expire(will)) for name, was, will in pairs(delta, before, after)):
        if will is not None and (was is None or will < was):
            found.setdefault(will, []).append(name)
    return {days: tuple(sorted(found[days])) for days in sorted(found)}


def read_usage(text: str) -> Mapping[str, int]:
    """Bytes used by account, in the answer to the `usage` question."""
    told = (line.split(" ", 1) for line in text.splitlines())
    return {pair[1]: int(pair[0]) for pair in told if len(pair) == 2 and re.fullmatch("[0-9]{1,18}", pair[0])}


def risks(delta: RowsChange, path: str, before: Rows, after: Rows, usage: Mapping[str, int]) -> tuple[Risk, ...]:
    """Accounts that are closed, many that change, quotas below what is used, messages that go."""
    return (*_touched(delta, path), *_quotas(delta, before, after, usage), *_expiry(delta, before, after))


def _touched(delta: RowsChange, path: str) -> list[Risk]:
    found = []
    if delta.removed:
        count = f"{len(delta.removed):,} account{_s(delta.removed)}"
        found.append(Risk("removals", f"closes {count}: {some(delta.removed)}"))
    if delta.unclear:
        lines = f"{len(delta.unclear):,} line{_s(delta.unclear)}"
        numbers = some([str(number) for number in delta.unclear])
        found.append(Risk("removals", f"drops {lines} that Dovecot may read as accounts: {numbers} of {path}"))
    touched = len(delta.removed) + len(delta.changed) + len(delta.renamed) + len(delta.unclear)
    before = delta.total - len(delta.added) + len(delta.unclear)
    if touched >= LEAST and touched > SHARE * before:
        found.append(Risk("many", f"touches {touched:,} of {before:,} accounts"))
    return found


def _quotas(delta: RowsChange, before: Rows, after: Rows, usage: Mapping[str, int]) -> list[Risk]:
    limits = {name: quota(will) for name, _, will in pairs(delta, before, after)} if usage else {}
    over = sorted(name for name, limit in limits.items() if limit is not None and usage.get(name, 0) > limit)
    return [Risk("shrinking", f"sets quotas below what is used: {some(over)}")] if over else []


def _expiry(delta: RowsChange, before: Rows, after: Rows) -> list[Risk]:
    """It cannot be taken back: a rollback brings no message back that is gone."""
    return [
        Risk("expiry", f"deletes messages older than {days} day{'s' if days > 1 else ''} of {some(names)}")
        for days, names in expiring(delta, before, after).items()
    ]


def _s(things: Sequence[object]) -> str:
    return "" if len(things) == 1 else "s"
