"""A plan that is kept: a claim of what an apply would do (pure).

It is compared with the plan that the declaration and the host give when it is applied, and is never a source of what
is done: nothing in it reaches a host, a path or a decision. No secret is in it, and nothing that moves with time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailprov import __version__
from mailprov.engine.plan import prints
from mailprov.engine.risks import FLAGS
from mailprov.errors import KeptPlanError, StalePlanError
from mailprov.model import Action, Change, Effect, Key, Plan, Reason, RowsChange, Words, some

FORMAT = "mailprov-plan 4"

LIMIT = 64 << 20
"""bytes of a kept plan: three thousand hosts and more"""

MARKS = 2 << 20
"""commas and brackets in it, by whose number reading it takes memory: as many hosts"""


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
    return min(max(0, int(change["rows"].get(kind, 0))), MARKS)


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
        what = "the declaration changed since the plan was made; nothing was touched"
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


# --- kept


def dump(partial: bool, hosts: Sequence[Claim]) -> str:
    """The plan as JSON text, sealed with the SHA-256 of all of it: against damage, not against whoever may write it."""
    document = {
        "format": FORMAT,
        "mailprov": __version__,
        "partial": partial,
        "hosts": [_dump(each) for each in sorted(hosts, key=lambda each: each.host)],
    }
    compact = json.dumps(document, sort_keys=True, separators=(",", ":"))
    sealed = document | {"seal": hashlib.sha256(compact.encode()).hexdigest()}
    return json.dumps(sealed, indent=1, ensure_ascii=False) + "\n"


def _dump(each: Claim) -> dict[str, Any]:
    return {
        "host": each.host,
        "identity": each.identity,
        "machine": each.machine,
        "digest": each.digest,
        "effects": each.effects,
        "dangers": each.risks,
        "changes": each.changes,
        "opens": each.opens,
        "asked": [[*key, value] for key, value in sorted(each.asked.items())],
        "seen": [[*key, value] for key, value in sorted(each.seen.items())],
    }


_PRINTS = [(str, str, str)]
_EFFECTS = {str: frozenset(Effect.__members__)}
_HOST = {
    "host": str,
    "identity": str,
    "machine": str,
    "digest": str,
    "effects": _EFFECTS,
    "dangers": [{"flag": frozenset(FLAGS), "text": str}],
    "changes": [
        {
            "key": (str, str),
            "action": frozenset(Action.__members__),
            "reason": frozenset(Reason.__members__),
            "summary": str,
            "detail": str,
            "effects": _EFFECTS,
            "rows": {str: int},
        },
    ],
    "opens": [str],
    "asked": _PRINTS,
    "seen": _PRINTS,
}
_FILE = {"format": str, "mailprov": str, "partial": bool, "hosts": [_HOST], "seal": str}


def load(data: bytes, name: str) -> SavedPlan:
    """The plan in `data`, read from the file `name`.

    Raises KeptPlanError when it is not a plan of this version, or not to the letter as it was written.
    """
    document = _document(data)
    if document.get("format") != FORMAT:
        fix = "make one with `mailprov plan --out`; a declaration is given with -f: `mailprov apply -f mail.yaml`"
        raise KeptPlanError("this is not a plan, or only a part of one", where=name, fix=fix)
    version = document.get("mailprov")
    if version != __version__ and isinstance(version, str):
        why = f"mailprov {plain(version)} made it, this is {__version__}"
        raise KeptPlanError("the plan is another version's", where=name, why=why, fix="plan again")
    if _fits(document, _FILE):
        made = SavedPlan(document["partial"], tuple(map(_load, document["hosts"])))
        # Nothing stands there that is not read: no second value of one key, no host twice, no other spelling.
        text = dump(made.partial, made.hosts).encode("utf-8", "surrogatepass")
        if text.strip() == data.strip() and len({each.host for each in made.hosts}) == len(made.hosts):
            return made
        if _unsealed(text) == _unsealed(data):
            why = "its seal is not the SHA-256 of what it holds: somebody changed it, or it is damaged"
            raise KeptPlanError("the plan is not as it was written", where=name, why=why, fix="plan again")
    raise KeptPlanError("the plan is not as it was written", where=name, fix="plan again")


def _unsealed(text: bytes) -> bytes:
    """What is sealed of a plan's text: the seal is its last line but one."""
    return text.strip().rpartition(b"\n ")[0]


def bearable(data: bytes) -> bool:
    """Whether a plan of this size is read."""
    return len(data) <= LIMIT and sum(map(data.count, (b",", b"[", b"{"))) <= MARKS


def _document(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; an empty one where there is none, or one too large to be a plan."""
    if not bearable(data):
        return {}
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _fits(value: object, shape: Any) -> bool:
    """Whether `value` has this shape: a type, one of a set, [of each], (one by one), {its keys}, or {str: of each
    value}."""
    if isinstance(shape, frozenset):
        return type(value) is str and value in shape
    if isinstance(shape, list):
        return type(value) is list and all(_fits(each, shape[0]) for each in value)
    if isinstance(shape, tuple):
        return type(value) is list and len(value) == len(shape) and all(map(_fits, value, shape))
    if isinstance(shape, dict):
        if type(value) is not dict:
            return False
        shapes = dict.fromkeys(value, shape[str]) if str in shape else shape
        return value.keys() == shapes.keys() and all(_fits(value[key], shapes[key]) for key in shapes)
    return type(value) is shape


def _load(host: Mapping[str, Any]) -> Claim:
    return Claim(
        host["host"],
        host["identity"],
        host["machine"],
        host["digest"],
        host["effects"],
        tuple(host["dangers"]),
        tuple(host["changes"]),
        {Key(kind, name): value for kind, name, value in host["asked"]},
        {Key(kind, name): value for kind, name, value in host["seen"]},
        tuple(host["opens"]),
    )
