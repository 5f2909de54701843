"""What in a plan wants a consent of its own, because people would miss what it takes away (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from mailprov import probe
from mailprov.model import Change, Danger, Effect, Key
from mailprov.resources import accounts, packages, rows, services

SHARE = 0.3
LEAST = 5
"""touching more than this share of the accounts, and at least so many, wants a consent"""

FLAGS: Mapping[str, str] = {
    "removals": "Accounts may be closed (their mail is kept).",
    "many": f"More than {SHARE:.0%} of the accounts (and at least {LEAST}) may change.",
    "closing": "Ports that are open may be closed.",
    "shrinking": "Quotas may fall below what is used.",
    "expiry": "Old messages may be deleted that are kept now.",
    "restart": "Services that run may be restarted, which cuts live sessions.",
}


def dangers(
    ports: Set[int], changes: Sequence[Change], sections: Mapping[str, str], usage: Mapping[str, int]
) -> tuple[Danger, ...]:
    """Everything in `changes` that wants a consent.

    `ports` are those that shall be open, `sections` is the host's answer, `usage` the bytes used by each account whose
    quota would shrink.
    """
    found: list[Danger] = []
    for change in changes:
        if isinstance(change.delta, rows.RowsChange) and isinstance(change.before, accounts.Accounts):
            found.extend(_accounts(change.delta, change.key.name))
            found.extend(_quotas(change, usage))
            found.extend(_expiry(change.before, change.after))
    open_now = probe.listening(sections.get("listeners", ""), *probe.LISTEN)
    public = {port for address, port in open_now if not address.startswith(("127.", "[::1]"))}
    closing = sorted(public - ports)
    if closing:
        found.append(Danger("closing", f"closes port{_s(closing)} {', '.join(map(str, closing))}"))
    return (*found, *_restarts(changes, sections))


def _restarts(changes: Sequence[Change], sections: Mapping[str, str]) -> list[Danger]:
    """Services that run, and do not live through these changes."""
    live = services.read(sections)
    causes: dict[str, list[str]] = {}
    for change in changes:
        for name, effect in change.effects.items():
            service = live.get(Key(services.KIND, name))
            if effect is Effect.RESTART and service is not None and service.active:
                causes.setdefault(name, []).append(_cause(change))
    return [
        Danger("restart", f"restarts {name}: live sessions are cut ({rows.some(list(dict.fromkeys(each)), 3)})")
        for name, each in causes.items()
    ]


def _cause(change: Change) -> str:
    before, after = change.before, change.after
    if isinstance(before, packages.Package) and isinstance(after, packages.Package):
        return f"upgrade {before.version} → {after.version}"
    return change.summary if change.key.kind == services.KIND else str(change.key)


def _accounts(delta: rows.RowsChange, path: str) -> list[Danger]:
    found = []
    if delta.removed:
        count = f"{len(delta.removed):,} account{_s(delta.removed)}"
        found.append(Danger("removals", f"closes {count}: {rows.some(delta.removed)}"))
    if delta.unclear:
        lines = f"{len(delta.unclear):,} line{_s(delta.unclear)}"
        numbers = rows.some([str(number) for number in delta.unclear])
        found.append(Danger("removals", f"drops {lines} that Dovecot may read as accounts: {numbers} of {path}"))
    touched = len(delta.removed) + len(delta.changed) + len(delta.unclear)
    before = delta.total - len(delta.added) + len(delta.unclear)
    if touched >= LEAST and touched > SHARE * before:
        found.append(Danger("many", f"touches {touched:,} of {before:,} accounts"))
    return found


def _quotas(change: Change, usage: Mapping[str, int]) -> list[Danger]:
    after = change.after.rows if isinstance(change.after, accounts.Accounts) and usage else None
    rows_ = after.reveal() if after else {}
    limits = {name: accounts.quota(rows_[name]) for name in usage if name in rows_}
    over = sorted(name for name, limit in limits.items() if limit is not None and usage[name] > limit)
    return [Danger("shrinking", f"sets quotas below what is used: {rows.some(over)}")] if over else []


def _expiry(before: accounts.Accounts, after: object) -> list[Danger]:
    """It cannot be taken back: a rollback brings no message back that is gone."""
    found = accounts.expiring(before, after) if isinstance(after, accounts.Accounts) else {}
    return [
        Danger("expiry", f"deletes messages older than {days} day{'s' if days > 1 else ''} of {rows.some(names)}")
        for days, names in found.items()
    ]


def _s(things: Sequence[object]) -> str:
    return "" if len(things) == 1 else "s"
