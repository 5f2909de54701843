"""Mail accounts: one Dovecot passwd-file, in which some passwords are ours and some are their users' own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import Change, Effect, Key, Phase, Question, Secret, Step, fingerprint
from mailprov.resources import listing, rows

KIND = "accounts"
MODE = ("640", "root", "dovecot")


@dataclass(frozen=True, slots=True)
class Accounts:
    """The passwd-file at `path`.

    `digest` is that of its sorted rows, where the password of an account that owns it is left out (the gecos field
    says "initial" there). `rows` are those rows, when known. `initial` gives the password hash with which
    such an account is created; it is asked for accounts that are new, and for no other. `kept` is where the host has
    kept the copy from which it is put back, whose own digest is `copy`.
    """

    path: str
    digest: str
    attributes: tuple[str, str, str] = MODE
    type: listing.Type = "file"
    rows: rows.Table | rows.Seen | None = field(default=None, repr=False, compare=False)
    initial: Callable[[str], Secret] | None = field(default=None, repr=False, compare=False)
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


def questions(desired: Sequence[Accounts]) -> tuple[Question, ...]:
    """One: digest and attributes."""
    return tuple(Question("accounts", "accounts", (item.path,)) for item in desired)


def read(sections: Mapping[str, str]) -> Mapping[Key, Accounts]:
    """What is there, links not followed."""
    text = sections.get("accounts", "")
    digest = next((line.split()[0] for line in text.splitlines() if line.endswith("  -")), "")
    found = [Accounts(f.path, digest, (f.mode, f.owner, f.group), f.type) for f in listing.read(text)]
    return {item.key: item for item in found}


def same(desired: Accounts, live: Accounts, made: str) -> bool:
    """Equal rows and attributes."""
    return desired == live


def moved(live: Accounts, asked: str, made: str) -> bool:
    """It is not what was asked for."""
    return live.fingerprint != asked


def made(live: Accounts) -> str:
    """Nothing: the declaration says all."""
    return ""


def closer(live: Accounts, desired: Accounts | None) -> Question | None:
    """The rows, where they may differ."""
    return rows.question(live.path, ":", desired.rows if desired else None)


def closely(live: Accounts, desired: Accounts | None, text: str) -> Accounts:
    """With its rows."""
    return replace(live, rows=rows.answered(text, ":", desired.rows if desired else None))


def delta(before: Accounts | None, after: Accounts | None) -> rows.RowsChange:
    """Which accounts change, and what of them."""
    besides = "remove" if after is None else ""
    if before is not None and after is not None and before.attributes != after.attributes:
        besides = f"mode and owner {' '.join(before.attributes)} → {' '.join(after.attributes)}"
    live = before.rows if before else None
    found = rows.change("accounts", live, after.rows if after else None, fields, besides)
    # Dovecot takes any line for an account that has a colon and does not begin with one, or with "#".
    broken = live.broken if isinstance(live, rows.Seen) else {}
    return replace(found, unclear=tuple(sorted(n for n, row in broken.items() if row[0] not in ":#" and ":" in row)))


def deltas(changes: Iterable[Change]) -> Iterator[rows.RowsChange]:
    """How the accounts differ, of all `changes`."""
    return (it.delta for it in changes if it.key.kind == KIND and isinstance(it.delta, rows.RowsChange))


def effects(before: Accounts | None, after: Accounts | None) -> Mapping[str, Effect]:
    """None: Dovecot reads a changed passwd-file by itself."""
    return {}


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
        if after.rows is None or not isinstance(change.delta, rows.RowsChange):
            continue
        new = dict(after.rows.reveal())
        for key in change.delta.added:
            if after.initial is not None and owns_password(new[key]):
                new[key] = with_password(new[key], after.initial(key))
        put, undo = ("put", "@", after.path, *after.attributes), ("former_accounts", "@", after.path)
        stage = ("merge", "@", after.path, ":", after.digest)
        payload = rows.payload(change.delta, new)
        made.append(Step(Phase.COMMIT, f"write {after.path}", put, undo, stage, payload, change.key))
        made.extend(_dismissal(change))
    return tuple(made)


def _back(change: Change, after: Accounts) -> list[Step]:
    """What the host has kept is put back; passwords that users have changed since are left to them."""
    do, undo = ("put_back", "@", after.path), ("former_accounts", "@", after.path)
    take = ("take_accounts", "@", after.kept, after.copy, after.path)
    return [Step(Phase.COMMIT, f"put back {after.path}", do, undo, take, key=change.key), *_dismissal(change)]


def _dismissal(change: Change) -> list[Step]:
    closed = change.delta.removed if isinstance(change.delta, rows.RowsChange) else ()
    if not closed:
        return []
    what, names = "end sessions of closed accounts", "".join(f"{name}\n" for name in closed).encode()
    return [Step(Phase.ACTIVATE, what, ("dismiss", "@"), ("keep",), payload=names)]


def owns_password(row: str) -> bool:
    """Whether this row's account owns its password: the gecos field says so."""
    return row.split(":")[4:5] == ["initial"]


def with_password(row: str, password: Secret) -> str:
    """`row` with this hash in the password field."""
    name, _, rest = row.split(":", 2)
    return f"{name}:{password.reveal()}:{rest}"


_QUOTA = re.compile(r"userdb_quota_(?:rule=\*:bytes=|storage_size=)([0-9]{1,15})B?(?: |$)")


def quota(row: str) -> int | None:
    """The quota in this row, in bytes; None: there is none."""
    found = _QUOTA.search(row.split(":", 7)[7] if row.count(":") >= 7 else "")
    return int(found[1]) if found else None


def shrinking(before: Accounts, after: Accounts) -> tuple[str, ...]:
    """The accounts whose quota falls, in order."""
    old, new = (side.rows.reveal() if side.rows else {} for side in (before, after))
    changed = ((name, row, new[name]) for name, row in old.items() if new.get(name, row) != row)
    limits = ((name, quota(was), quota(will)) for name, was, will in changed)
    return tuple(sorted(name for name, was, will in limits if will is not None and (was is None or will < was)))


_EXPIRE = re.compile(r"userdb_namespace/inbox/mailbox/INBOX/autoexpunge=([0-9]{1,9})d(?: |$)")


def expire(row: str) -> int | None:
    """After how many days this row's account loses messages; None: it keeps them."""
    found = _EXPIRE.search(row.split(":", 7)[7] if row.count(":") >= 7 else "")
    return int(found[1]) if found else None


def expiring(before: Accounts, after: Accounts) -> Mapping[int, tuple[str, ...]]:
    """The accounts that would lose messages which they keep now, in order, by the days after which they do."""
    old, new = (side.rows.reveal() if side.rows else {} for side in (before, after))
    changed = ((name, expire(row), expire(new[name])) for name, row in old.items() if new.get(name, row) != row)
    found: dict[int, list[str]] = {}
    for name, was, will in changed:
        if will is not None and (was is None or will < was):
            found.setdefault(will, []).append(name)
    return {days: tuple(sorted(found[days])) for days in sorted(found)}


_EXTRA = 7
"""the fields of a row before its extra ones: name, password, uid, gid, gecos, home, shell (passwd-file of Dovecot)"""

_KNOWN = re.compile(
    r"(userdb_quota_rule=\*:bytes|userdb_quota_storage_size|allow_nets|userdb_namespace/.*autoexpunge)=.*"
)


def fields(was: str, will: str) -> tuple[rows.FieldChange, ...]:
    """What differs between two rows of one account. No password is shown, nor what is in no field that we know."""
    old, new = ((row.split(":", _EXTRA) + [""] * _EXTRA)[: _EXTRA + 1] for row in (was, will))
    extras = [[word for word in row[_EXTRA].split() if not _KNOWN.fullmatch(word)] for row in (old, new)]
    pairs = (
        ("quota", _size(quota(was)), _size(quota(will))),
        ("networks", _networks(old[_EXTRA]), _networks(new[_EXTRA])),
        ("messages kept", _days(expire(was)), _days(expire(will))),
        ("password of", _owner(was), _owner(will)),
    )
    found = [rows.FieldChange(name, before, after) for name, before, after in pairs if before != after]
    if old[1] != new[1] and owns_password(was) == owns_password(will):
        found.append(rows.FieldChange("password"))
    # The gecos field says whose the password is, which is told above.
    if (*old[2:4], *old[5:_EXTRA], extras[0]) != (*new[2:4], *new[5:_EXTRA], extras[1]) or not found:
        found.append(rows.FieldChange("other fields"))
    return tuple(found)


def _owner(row: str) -> str:
    return "the user" if owns_password(row) else "the declaration"


def _size(count: int | None) -> str:
    if count is None:
        return "none"
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count and count % (1 << power) == 0:
            return f"{count >> power:,} {unit}"
    return f"{count:,} byte{'' if count == 1 else 's'}"


def _days(days: int | None) -> str:
    return "for good" if days is None else f"{days} day{'' if days == 1 else 's'}"


def _networks(extra: str) -> str:
    """Where an account may log in from; what is no network is not shown: it may be anything."""
    texts = [word.removeprefix("allow_nets=") for word in extra.split(" ") if word.startswith("allow_nets=")]
    names = [name for text in texts for name in text.split(",")]
    return (", ".join(names) if all(map(_NETWORK.fullmatch, names)) else "unreadable") if names else "any"


_NETWORK = re.compile(r"[0-9a-fA-F:.]{2,45}(/[0-9]{1,3})?")


def read_usage(text: str) -> Mapping[str, int]:
    """Bytes used by account, in the answer to the `usage` question."""
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return {pair[1]: int(pair[0]) for pair in pairs if len(pair) == 2 and re.fullmatch("[0-9]{1,18}", pair[0])}
