"""Mail accounts: one Dovecot passwd-file, in which some passwords are ours and some are their users' own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import (
    Backup,
    Change,
    Key,
    Phase,
    Query,
    Risk,
    RowsChange,
    Secret,
    State,
    Step,
    fingerprint,
    listing,
    some,
)
from mailprov.resources import common, rows
from mailprov.resources.accounts.row import RESET, TAKEN, expire, fields, owns_password, quota, with_password

KIND = "accounts"
SECTIONS = ("accounts",)
REMOVED = False
MODE = ("640", "root", "dovecot")


@dataclass(frozen=True, slots=True)
class Accounts:
    """The passwd-file at `path`.

    `digest` is that of its sorted rows, where the password of an account that owns it is left out (the gecos field
    says "initial" there). `rows` are those rows, when known. `initial` gives the password hash with which
    such an account is created; it is asked for accounts that are new or whose password is `reset`, and for no other.
    `signed_out` are those whose sessions end. `kept` is where the host has kept the copy from which it is put back,
    whose own digest is `copy`.
    """

    path: str
    digest: str
    attributes: tuple[str, str, str] = MODE
    type: listing.Type = "file"
    rows: rows.Table | rows.Seen | None = field(default=None, repr=False, compare=False)
    initial: Callable[[str], Secret] | None = field(default=None, repr=False, compare=False)
    reset: tuple[str, ...] = field(default=(), compare=False)
    signed_out: tuple[str, ...] = field(default=(), compare=False)
    kept: str = field(default="", compare=False)
    copy: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """Its path."""
        return Key(KIND, self.path)

    @property
    def fingerprint(self) -> str:
        """Of rows, mode, owner and group."""
        return fingerprint(KIND, self.path, self.digest, *self.attributes, *((self.type,) if self.obstacles else ()))

    @property
    def obstacles(self) -> tuple[tuple[str, listing.Type], ...]:
        """What is there and cannot be replaced."""
        return () if self.type == "file" else ((self.path, self.type),)


def accounts(path: str, lines: Iterable[str], initial: Callable[[str], Secret]) -> Accounts:
    """The desired passwd-file with these rows."""
    table = rows.table(lines, ":")
    return Accounts(path, table.digest(), rows=table, initial=initial)


activation = common.no_steps
behind = common.never_behind
effects = common.no_effects
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
lasting = common.nothing_lasts
off = common.never_off
made = common.nothing_made
moved = common.unlike_asked
paths = common.no_paths
pending = common.no_steps
runs = common.never_runs
same = common.equal


def queries(desired: Sequence[Accounts]) -> tuple[Query, ...]:
    """One: digest and attributes."""
    return tuple(Query("accounts", "accounts", (item.path,)) for item in desired)


def read(sections: Mapping[str, str]) -> Mapping[Key, Accounts]:
    """What is there, links not followed."""
    text = sections.get("accounts", "")
    digest = next((line.split()[0] for line in text.splitlines() if line.endswith("  -")), "")
    found = [Accounts(f.path, digest, (f.mode, f.owner, f.group), f.type) for f in listing.read(text)]
    return {item.key: item for item in found}


def detail_query(live: Accounts, desired: Accounts | None) -> Query | None:
    """The rows, where they may differ."""
    return rows.query(live.path, ":", desired.rows if desired else None)


def with_details(live: Accounts, desired: Accounts | None, text: str) -> Accounts:
    """With its rows."""
    return replace(live, rows=rows.answered(text, ":", desired.rows if desired else None))


def delta(before: Accounts | None, after: Accounts | None) -> RowsChange:
    """Which accounts change, and what of them."""
    besides = "remove" if after is None else ""
    if before is not None and after is not None and before.attributes != after.attributes:
        besides = f"mode and owner {' '.join(before.attributes)} → {' '.join(after.attributes)}"
    live = before.rows if before else None
    found = rows.change("accounts", live, after.rows if after else None, fields, besides)
    if after is not None and after.reset:
        fresh = {name: (*found.fields.get(name, ()), RESET) for name in after.reset}
        found = replace(found, changed=tuple(sorted({*found.changed, *fresh})), fields={**found.fields, **fresh})
    # Dovecot takes any line for an account that has a colon and does not begin with one, or with "#".
    broken = live.broken if isinstance(live, rows.Seen) else {}
    return replace(found, unclear=tuple(sorted(n for n, row in broken.items() if row[0] not in ":#" and ":" in row)))


def deltas(changes: Iterable[Change]) -> Iterator[RowsChange]:
    """How the accounts differ, of all `changes`."""
    return (it.delta for it in changes if it.key.kind == KIND and isinstance(it.delta, RowsChange))


def obstacles(before: Accounts | None, after: Accounts | None, there: State) -> tuple[tuple[str, str], ...]:
    """What is in its place."""
    return tuple((path, listing.NOUNS[type_]) for path, type_ in before.obstacles) if before else ()


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """One merge of what changes into the file as it is, checked against the digest that must come out; then whoever is
    not among the accounts any more is sent away.

    Raises MailprovError when a new account's initial password cannot be had.
    """
    made: list[Step] = []
    for change in changes:
        after = change.after
        if not isinstance(after, Accounts):
            drop, back = ("drop", "@", change.key.name), ("former_accounts", "@", change.key.name)
            made.append(Step(Phase.COMMIT, f"remove {change.key.name}", drop, back, key=change.key))
            made.extend(_dismissal(change))
            continue
        if after.kept:
            made.extend(_back(change, after))
            continue
        if after.rows is None or not isinstance(change.delta, RowsChange):
            continue
        new = dict(after.rows.reveal())
        for key in (*change.delta.added, *after.reset):
            if after.initial is not None and owns_password(new[key]):
                new[key] = with_password(new[key], after.initial(key))
        # What else is undone leaves passwords to their users: that of a reset would stay.
        back = ("restore" if after.reset else "former_accounts", "@", after.path)
        put = ("put", "@", after.path, *after.attributes)
        stage = ("merge", "@", after.path, ":", after.digest)
        payload = rows.payload(change.delta, new)
        made.append(Step(Phase.COMMIT, f"write {after.path}", put, back, stage, payload, change.key))
        made.extend(_dismissal(change))
    return tuple(made)


def _back(change: Change, after: Accounts) -> list[Step]:
    """What the host has kept is put back; passwords that users have changed since are left to them."""
    do, undo = ("put_back", "@", after.path), ("former_accounts", "@", after.path)
    take = ("take_accounts", "@", after.kept, after.copy, after.path)
    return [Step(Phase.COMMIT, f"put back {after.path}", do, undo, take, key=change.key), *_dismissal(change)]


def _dismissal(change: Change) -> list[Step]:
    closed = change.delta.removed if isinstance(change.delta, RowsChange) else ()
    others = change.after.signed_out if isinstance(change.after, Accounts) else ()
    if not closed and not others:
        return []
    whose = "closed accounts" if closed else "accounts with a new password"
    what, names = f"end sessions of {whose}", "".join(f"{name}\n" for name in (*closed, *others)).encode()
    return [Step(Phase.ACTIVATE, what, ("dismiss", "@"), ("keep",), payload=names)]


def reset(live: Accounts, names: Sequence[str], initial: Callable[[str], Secret], *, end_sessions: bool) -> Accounts:
    """`live`, whose rows are known, with new passwords for these accounts and everything else as it is."""
    table, whose = rows.table(live.rows.reveal().values() if live.rows else (), ":"), tuple(names)
    known = Accounts(live.path, table.digest(), live.attributes, rows=table, initial=initial, reset=whose)
    return replace(known, signed_out=whose if end_sessions else ())


def ended(delta: RowsChange) -> frozenset[str]:
    """The accounts whose users' passwords end with this change: they are closed, or the declaration has theirs."""
    return frozenset(delta.removed) | {name for name, found in delta.fields.items() if TAKEN in found}


def shrinking(before: Accounts, after: Accounts) -> tuple[str, ...]:
    """The accounts whose quota falls, in order."""
    old, new = (side.rows.reveal() if side.rows else {} for side in (before, after))
    changed = ((name, row, new[name]) for name, row in old.items() if new.get(name, row) != row)
    limits = ((name, quota(was), quota(will)) for name, was, will in changed)
    return tuple(sorted(name for name, was, will in limits if will is not None and (was is None or will < was)))


def expiring(before: Accounts, after: Accounts) -> Mapping[int, tuple[str, ...]]:
    """The accounts that would lose messages which they keep now, in order, by the days after which they do."""
    old, new = (side.rows.reveal() if side.rows else {} for side in (before, after))
    changed = ((name, expire(row), expire(new[name])) for name, row in old.items() if new.get(name, row) != row)
    found: dict[int, list[str]] = {}
    for name, was, will in changed:
        if will is not None and (was is None or will < was):
            found.setdefault(will, []).append(name)
    return {days: tuple(sorted(found[days])) for days in sorted(found)}


def read_usage(text: str) -> Mapping[str, int]:
    """Bytes used by account, in the answer to the `usage` question."""
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return {pair[1]: int(pair[0]) for pair in pairs if len(pair) == 2 and re.fullmatch("[0-9]{1,18}", pair[0])}


# --- what people would miss

SHARE = 0.3
LEAST = 5
"""touching more than this share of the accounts, and at least so many, wants a consent"""


def risk_queries(change: Change) -> tuple[Query, ...]:
    """How much the accounts use whose quota would shrink."""
    before, after = change.before, change.after
    names = shrinking(before, after) if isinstance(before, Accounts) and isinstance(after, Accounts) else ()
    return (Query("usage", "usage", names),) if names else ()


def risks(change: Change, sections: Mapping[str, str]) -> tuple[Risk, ...]:
    """Accounts that are closed, many that change, quotas below what is used, messages that go."""
    if not isinstance(change.delta, RowsChange) or not isinstance(change.before, Accounts):
        return ()
    usage = read_usage(sections.get("usage", ""))
    found = [*_touched(change.delta, change.key.name), *_quotas(change, usage), *_expiry(change.before, change.after)]
    return tuple(found)


def _touched(delta: RowsChange, path: str) -> list[Risk]:
    found = []
    if delta.removed:
        count = f"{len(delta.removed):,} account{_s(delta.removed)}"
        found.append(Risk("removals", f"closes {count}: {some(delta.removed)}"))
    if delta.unclear:
        lines = f"{len(delta.unclear):,} line{_s(delta.unclear)}"
        numbers = some([str(number) for number in delta.unclear])
        found.append(Risk("removals", f"drops {lines} that Dovecot may read as accounts: {numbers} of {path}"))
    touched = len(delta.removed) + len(delta.changed) + len(delta.unclear)
    before = delta.total - len(delta.added) + len(delta.unclear)
    if touched >= LEAST and touched > SHARE * before:
        found.append(Risk("many", f"touches {touched:,} of {before:,} accounts"))
    return found


def _quotas(change: Change, usage: Mapping[str, int]) -> list[Risk]:
    after = change.after.rows if isinstance(change.after, Accounts) and usage else None
    rows_ = after.reveal() if after else {}
    limits = {name: quota(rows_[name]) for name in usage if name in rows_}
    over = sorted(name for name, limit in limits.items() if limit is not None and usage[name] > limit)
    return [Risk("shrinking", f"sets quotas below what is used: {some(over)}")] if over else []


def _expiry(before: Accounts, after: object) -> list[Risk]:
    """It cannot be taken back: a rollback brings no message back that is gone."""
    found = expiring(before, after) if isinstance(after, Accounts) else {}
    return [
        Risk("expiry", f"deletes messages older than {days} day{'s' if days > 1 else ''} of {some(names)}")
        for days, names in found.items()
    ]


def _s(things: Sequence[object]) -> str:
    return "" if len(things) == 1 else "s"


# --- the way back


def bare(name: str) -> Accounts:
    """A path."""
    return Accounts(name, "")


def restored(backup: Backup, live: Accounts | None) -> Accounts | None:
    """As the copy is; its rows are asked for."""
    copy = backup.copies.get("")
    if copy is None or copy.type != "file":
        return None
    attributes = (copy.mode, copy.owner, copy.group)
    return Accounts(backup.key.name, "", attributes, kept=backup.where, copy=copy.sha256)


def kept_query(item: Accounts) -> Query | None:
    """The copy's rows."""
    return rows.query(item.kept, ":", None) if item.kept else None


def with_kept(item: Accounts, text: str) -> Accounts:
    """With its rows."""
    table = rows.table(rows.lines(text, ":"), ":")
    return replace(item, rows=table, digest=table.digest())
