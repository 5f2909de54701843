"""A plan that is kept: a claim of what an apply would do (pure).

It is compared with the plan that the declaration and the host give when it is applied, and is never a source of what
is done: nothing in it reaches a host, a path or a decision. No secret is in it, and nothing that moves with time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailprov.engine.plan import prints
from mailprov.errors import StalePlanError
from mailprov.model import Action, Change, Effect, Key, Plan, Reason, RowsChange, Words, some

_MOST_ROWS = 1 << 21
"""rows that a change of one table is taken for at most"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a plan says of one host, every word of which is compared.

    `identity` is the host's key fingerprint, `machine` its machine-id, `digest` that of its answer; `asked` and `seen`
    are the fingerprints of every desired and live thing. Where they differ, they tell what moved. `opens` are the ports
    that come to be reached.
    """

    host: str
    identity: str
    machine: str
    digest: str
    effects: Mapping[str, str]
    risks: tuple[Mapping[str, str], ...]
    changes: tuple[Mapping[str, Any], ...]
    asked: Mapping[Key, str]
    seen: Mapping[Key, str]
    opens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A kept plan: each host's claim. `partial`: some declared hosts were left out."""

    partial: bool
    hosts: tuple[Claim, ...]


def claim(plan: Plan, identity: str, seen: Mapping[Key, str]) -> Claim:
    """What `plan` says of its host, whose key is `identity`, and on which `seen` was found."""
    return Claim(
        plan.host,
        identity,
        plan.facts.machine_id,
        plan.digest,
        {name: effect.name for name, effect in plan.effects.items()},
        tuple({"flag": risk.flag, "text": risk.text} for risk in plan.risks),
        tuple(map(_change, plan.changes)),
        prints(plan.desired),
        seen,
        plan.opens,
    )


def _change(change: Change) -> Mapping[str, Any]:
    """`detail` is a digest: it may name each of many accounts. `rows` counts them."""
    return {
        "key": list(change.key),
        "action": change.action.name,
        "reason": change.reason.name,
        "summary": change.summary,
        "detail": hashlib.sha256("\n".join(change.detail).encode("utf-8", "replace")).hexdigest(),
        "effects": {name: effect.name for name, effect in change.effects.items()},
        "rows": _counts(change.delta) if isinstance(change.delta, RowsChange) else {},
    }


def _counts(delta: RowsChange) -> Mapping[str, int]:
    """How many rows of a table come, change and go; `unclear` are lines that go and may be rows."""
    kinds = ("added", "changed", "renamed", "removed", "unclear")
    return {name: count for name in kinds if (count := len(getattr(delta, name)))}


def rows(change: Mapping[str, Any], kind: str) -> int:
    """How many rows of its table a claimed change says are `kind` ("removed", …): never less than none."""
    return min(max(0, int(change["rows"].get(kind, 0))), _MOST_ROWS)


def changes(kept: Claim) -> tuple[Change, ...]:
    """What a claim says that changes, as far as it is told by that: without the things themselves, and no details."""
    return tuple(
        Change(
            Key(*each["key"]),
            Action[each["action"]],
            Reason[each["reason"]],
            None,
            None,
            Words(each["summary"]),
            effects(each["effects"]),
        )
        for each in kept.changes
    )


def effects(named: Mapping[str, str]) -> Mapping[str, Effect]:
    """The effects on services that a claim names."""
    return {name: Effect[effect] for name, effect in named.items()}


# --- compared


def require(kept: Claim, now: Claim) -> None:
    """Whether the host's plan is `kept` now, too; or a host that it changes is as declared by now.

    So a plan can be run again when it was cut off: where this returns, `now` is what was kept, or has no changes.
    Raises StalePlanError, naming what moved.
    """
    if kept == now:
        return
    if (kept.identity, kept.machine) != (now.identity, now.machine):
        why = f"it shows the key {now.identity or '(none)'}, the plan is for {plain(kept.identity) or '(none)'}"
        if kept.identity == now.identity:
            why = f"its machine-id is {now.machine}, the plan is for {plain(kept.machine)}"
        what = "this is not the host that the plan was made for; nothing was touched"
        raise StalePlanError(what, where=now.host, why=why, fix="plan again")
    if kept.asked != now.asked:
        what = "the declaration, or what it waits for, changed since the plan was made; nothing was touched"
        raise StalePlanError(what, where=now.host, why=_moved(kept.asked, now.asked), fix="plan again")
    if kept.changes and not now.changes and kept.digest != now.digest:
        return
    if kept.digest != now.digest or kept.seen != now.seen:
        raise stale(kept.seen, now.seen, now.host)
    raise StalePlanError(
        "the declaration and the host give another plan than the one that was kept; nothing was touched",
        where=now.host,
        why="; ".join(_differing(kept, now)),
        fix="plan again",
    )


def _differing(kept: Claim, now: Claim) -> list[str]:
    """What two plans say differently, though nothing moved that is told by a fingerprint: packages on offer, say."""
    was, is_ = ({" ".join(change["key"]): change for change in each.changes} for each in (kept, now))
    keys = [plain(key) for key in sorted({*was, *is_}) if was.get(key) != is_.get(key)]
    order = "" if keys or kept.changes == now.changes else "another order of changes"
    words = (
        f"other changes: {some(keys)}" if keys else order,
        "other consents" if kept.risks != now.risks else "",
        "other effects on services" if kept.effects != now.effects else "",
        "other ports that open" if kept.opens != now.opens else "",
    )
    return [word for word in words if word]


def stale(seen: Mapping[Key, str], now: Mapping[Key, str], where: str) -> StalePlanError:
    """The error that names what moved on a host between two looks, given the fingerprints of all that each saw."""
    what = "the host changed after it was looked at; nothing was touched"
    return StalePlanError(what, where=where, why=_moved(seen, now), fix="look at the plan again")


def _moved(was: Mapping[Key, str], now: Mapping[Key, str]) -> str:
    keys = [plain(str(key)) for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    return f"moved: {some(keys) or 'something that is not shown'}"


def plain(text: str) -> str:
    """A word of the file as one that can be shown: short, and on one line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:200])
