"""Mail accounts: one Dovecot passwd-file, in which some passwords are ours and some are their users' own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def describe(before: Accounts | None, after: Accounts | None) -> tuple[str, tuple[str, ...]]:
    """How many accounts change, and which."""
    if after is None or after.rows is None:
        return "remove", ()
    found = rows.difference(before.rows.reveal() if before and before.rows else {}, after.rows.reveal())
    text = found.summary("accounts")
    if before is not None and before.attributes != after.attributes:
        text += f"; mode and owner {' '.join(before.attributes)} → {' '.join(after.attributes)}"
    return text, found.detail()


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
            continue
        if after.kept:
            made.extend(_back(change, after))
            continue
        if after.rows is None:
            continue
        new = dict(after.rows.reveal())
        for key in sorted(rows.added(change.detail)):
            if after.initial is not None and owns_password(new[key]):
                new[key] = with_password(new[key], after.initial(key))
        put, undo = ("put", "@", after.path, *after.attributes), ("former_accounts", "@", after.path)
        stage = ("merge", "@", after.path, ":", after.digest)
        delta = rows.delta(change.detail, new)
        made.append(Step(Phase.COMMIT, f"write {after.path}", put, undo, stage, delta, change.key))
        made.extend(_dismissal(change))
    return tuple(made)


def _back(change: Change, after: Accounts) -> list[Step]:
    """What the host has kept is put back; passwords that users have changed since are left to them."""
    do, undo = ("put_back", "@", after.path), ("former_accounts", "@", after.path)
    take = ("take_accounts", "@", after.kept, after.copy, after.path)
    return [Step(Phase.COMMIT, f"put back {after.path}", do, undo, take, key=change.key), *_dismissal(change)]


def _dismissal(change: Change) -> list[Step]:
    closed = sorted(rows.removed(change.detail))
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


def read_usage(text: str) -> Mapping[str, int]:
    """Bytes used by account, in the answer to the `usage` question."""
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return {pair[1]: int(pair[0]) for pair in pairs if len(pair) == 2 and re.fullmatch("[0-9]{1,18}", pair[0])}
