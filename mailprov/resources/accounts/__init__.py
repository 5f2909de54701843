"""Mail accounts: one Dovecot passwd-file, in which some passwords are ours and some are their users' own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov.model import (
    Backup,
    Change,
    Command,
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
)
from mailprov.resources import common, rows
from mailprov.resources.accounts import consents
from mailprov.resources.accounts.row import RESET, TAKEN, fields, owns_password, with_password

KIND = "accounts"
SECTIONS = ("accounts",)
REMOVED = False
MODE = ("640", "root", "dovecot")
_READER = "without_own_passwords"  # in store.sh


@dataclass(frozen=True, slots=True)
class Accounts:
    """The passwd-file at `path`.

    `digest` is that of its sorted rows, where the password of an account that owns it is left out (the gecos field
    says "initial" there). `rows` are those rows, when known. `initial` gives the password hash with which such an
    account is created; it is asked for accounts that are new or whose password is `reset`, and for no other.
    `signed_out` are those whose sessions end. `formerly`: by address, the one that an account may have had before.
    `kept` is where the host has kept the copy from which it is put back, whose own digest is `copy`.
    """

    path: str
    digest: str
    attributes: tuple[str, str, str] = MODE
    type: listing.Type = "file"
    rows: rows.Table | rows.Seen | None = field(default=None, repr=False, compare=False)
    initial: Callable[[str], Secret] | None = field(default=None, repr=False, compare=False)
    reset: tuple[str, ...] = field(default=(), compare=False)
    signed_out: tuple[str, ...] = field(default=(), compare=False)
    formerly: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
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


def accounts(
    path: str, lines: Iterable[str], initial: Callable[[str], Secret], formerly: Mapping[str, str] | None = None
) -> Accounts:
    """The desired passwd-file with these rows, of which some may have had another address before."""
    table = rows.table(lines, ":")
    return Accounts(path, table.digest(), rows=table, initial=initial, formerly=formerly or {})


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
    return rows.query(live.path, ":", desired.rows if desired else None, _READER)


def with_details(live: Accounts, desired: Accounts | None, text: str) -> Accounts:
    """With its rows."""
    return replace(live, rows=rows.answered(text, ":", desired.rows if desired else None))


def delta(before: Accounts | None, after: Accounts | None) -> RowsChange:
    """Which accounts change, and what of them."""
    besides = "remove" if after is None else ""
    if before is not None and after is not None and before.attributes != after.attributes:
        besides = f"mode and owner {' '.join(before.attributes)} → {' '.join(after.attributes)}"
    live = before.rows if before else None
    wanted, formerly = (after.rows, after.formerly) if after else (None, {})
    found = rows.change("accounts", live, wanted, fields, besides, formerly)
    if after is not None and after.reset:
        fresh = {name: (*found.fields.get(name, ()), RESET) for name in after.reset}
        found = replace(found, changed=tuple(sorted({*found.changed, *fresh})), fields={**found.fields, **fresh})
    # Dovecot takes any line for an account that has a colon and does not begin with one, or with "#".
    broken = live.broken if isinstance(live, rows.Seen) else {}
    unclear = tuple(sorted(n for n, row in broken.items() if row[0] not in ":#" and ":" in row))
    return replace(found, unclear=unclear, aspects=_aspects(before, after))


def _aspects(before: Accounts | None, after: Accounts | None) -> frozenset[str]:
    if before is None or after is None:
        return frozenset()
    shapes = (before.type, *before.attributes), (after.type, *after.attributes)
    return rows.aspects((before.digest, after.digest), shapes)


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
            path = change.key.name
            made.append(
                Step(Phase.COMMIT, f"remove {path}", ("drop", "@", path), _undo(path, {}), key=change.key, late=2)
            )
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
        renamed, both = change.delta.renamed, _with_former(change)
        # What else is undone leaves passwords to their users: that of a reset would stay.
        back = ("restore", "@", after.path) if after.reset else _undo(after.path, renamed)
        put = ("put", "@", after.path, *after.attributes)
        stage = ("merge", "@", after.path, ":", both.digest() if both else after.digest)
        payload = rows.payload(change.delta, {**(both.reveal() if both else {}), **new})
        made.append(Step(Phase.COMMIT, f"write {after.path}", put, back, stage, payload, change.key))
        made += _leaving(after, renamed) if renamed else []
        made.extend(_dismissal(change))
    return tuple(made)


def _leaving(after: Accounts, renamed: Mapping[str, str]) -> list[Step]:
    """Once nothing waits any more that came for them, the former names go."""
    do, undo = ("drop_names", "@", after.path, after.digest, *after.attributes), ("names_again", "@", after.path)
    what, names = f"take the former names out of {after.path}", _lines(renamed.values())
    drop = Step(Phase.ACTIVATE, what, do, undo, payload=names)
    return [_delivery(renamed), drop]


def _undo(path: str, renamed: Mapping[str, str]) -> Command:
    return ("former_accounts", "@", path, *(f"{key}={was}" for key, was in renamed.items()))


def _with_former(change: Change) -> rows.Table | None:
    """The rows of renamed accounts under both names: until all else is done mail may come for either."""
    delta, there, wanted = _sides(change)
    if not delta.renamed:
        return None
    return rows.table((*wanted.values(), *(there[was] for was in delta.renamed.values())), ":")


def _delivery(renamed: Mapping[str, str]) -> Step:
    what = "deliver what waits for the former names"
    return Step(Phase.ACTIVATE, what, ("delivered", "@"), ("keep",), payload=_lines(renamed.values()))


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _back(change: Change, after: Accounts) -> list[Step]:
    """What the host has kept is put back; passwords that users have changed since are left to them."""
    renamed = _delta(change).renamed
    take = ("take_accounts", "@", after.kept, after.copy, after.path, *(f"{was}={key}" for key, was in renamed.items()))
    what, do = f"put back {after.path}", ("put_back", "@", after.path)
    if not renamed or not isinstance(change.before, Accounts):
        return [Step(Phase.COMMIT, what, do, _undo(after.path, {}), take, key=change.key), *_dismissal(change)]
    both = _back_with_present(change, after.path, change.before.attributes)
    last = Step(Phase.ACTIVATE, what, do, ("names_again", "@", after.path), take)
    return [both, _delivery(renamed), last, *_dismissal(change)]


def _back_with_present(change: Change, path: str, attributes: tuple[str, str, str]) -> Step:
    """Accounts that get their former names back have both, until all else is done."""
    delta, there, then = _sides(change)
    both = {**there, **{key: then[key] for key in delta.renamed}}
    stage = ("merge", "@", path, ":", rows.table(both.values(), ":").digest())
    payload = rows.payload(RowsChange("accounts", renamed=delta.renamed), both)
    undo, what = _undo(path, delta.renamed), f"write {path} with former names"
    return Step(Phase.COMMIT, what, ("put", "@", path, *attributes), undo, stage, payload, change.key)


def _dismissal(change: Change) -> list[Step]:
    delta = _delta(change)
    others = change.after.signed_out if isinstance(change.after, Accounts) else ()
    names = (*delta.removed, *delta.renamed.values(), *others)
    if not names:
        return []
    whose = "accounts with a new password" if others else "closed accounts" if delta.removed else "renamed accounts"
    what = f"end sessions of {whose}"
    return [Step(Phase.ACTIVATE, what, ("dismiss", "@"), ("keep",), payload=_lines(names))]


def reset(live: Accounts, names: Sequence[str], initial: Callable[[str], Secret], *, end_sessions: bool) -> Accounts:
    """`live`, whose rows are known, with new passwords for these accounts and everything else as it is."""
    table, whose = rows.table(live.rows.reveal().values() if live.rows else (), ":"), tuple(names)
    known = Accounts(live.path, table.digest(), live.attributes, rows=table, initial=initial, reset=whose)
    return replace(known, signed_out=whose if end_sessions else ())


def ended(delta: RowsChange) -> frozenset[str]:
    """The accounts whose users' passwords end with this change: they are closed, or the declaration has theirs."""
    return frozenset(delta.removed) | {name for name, found in delta.fields.items() if TAKEN in found}


def risk_queries(change: Change) -> tuple[Query, ...]:
    """How much the accounts use whose quota would shrink."""
    names = consents.shrinking(*_sides(change))
    return (Query("usage", "usage", names),) if names else ()


def risks(change: Change, sections: Mapping[str, str]) -> tuple[Risk, ...]:
    """What people would miss of the accounts that were there before."""
    if not isinstance(change.delta, RowsChange) or not isinstance(change.before, Accounts):
        return ()
    delta, before, after = _sides(change)
    return consents.risks(delta, change.key.name, before, after, consents.read_usage(sections.get("usage", "")))


def _sides(change: Change) -> tuple[RowsChange, Mapping[str, str], Mapping[str, str]]:
    """How the accounts differ, and their rows before and after, as far as they are known."""
    sides = (it.rows.reveal() if isinstance(it, Accounts) and it.rows else {} for it in (change.before, change.after))
    before, after = sides
    return _delta(change), before, after


def _delta(change: Change) -> RowsChange:
    return change.delta if isinstance(change.delta, RowsChange) else RowsChange("accounts")


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
    formerly: dict[str, str] = {}
    for undo in backup.undos:
        for now, _, then in (word.partition("=") for word in undo[3:]):
            formerly[then] = formerly.pop(now, now)
    return Accounts(backup.key.name, "", attributes, formerly=formerly, kept=backup.where, copy=copy.sha256)


def kept_query(item: Accounts) -> Query | None:
    """The copy's rows."""
    return rows.query(item.kept, ":", None, _READER) if item.kept else None


def with_kept(item: Accounts, text: str) -> Accounts:
    """With its rows."""
    table = rows.table(rows.lines(text, ":"), ":")
    return replace(item, rows=table, digest=table.digest())
