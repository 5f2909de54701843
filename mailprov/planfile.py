"""A plan that is kept: what was looked at, and what was seen, so that an apply does just that or refuses.

No secret is in it. What an apply needs is taken from the declaration again and checked against the plan's digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mailprov import __version__
from mailprov.errors import MailprovError, StalePlanError
from mailprov.model import Action, Change, Danger, Effect, Facts, Key, Plan, Reason, State
from mailprov.plan import managed

FORMAT = "mailprov-plan 2"


@dataclass(frozen=True, slots=True)
class Kept:
    """One host's part of a kept plan.

    `identity` is the host's key fingerprint; `asked` and `seen` are the fingerprints of every desired and live thing.
    """

    plan: Plan
    identity: str
    asked: Mapping[Key, str]
    seen: Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A kept plan: the declaration's path, and each host's part. `partial`: some declared hosts were left out."""

    declaration: str
    partial: bool
    hosts: tuple[Kept, ...]


def dump(declaration: str, partial: bool, hosts: Sequence[Kept]) -> str:
    """The plan as JSON text, sealed with the SHA-256 of all of it."""
    document = {
        "format": FORMAT,
        "mailprov": __version__,
        "declaration": declaration,
        "partial": partial,
        "hosts": [_dump(kept) for kept in hosts],
    }
    return json.dumps(document | {"seal": _seal(document)}, indent=1, ensure_ascii=False) + "\n"


def load(data: bytes, name: str) -> PlanFile:
    """The plan in `data`, read from the file `name`.

    Raises MailprovError when it is not a plan of this version, or not as it was written.
    """
    try:
        document = _document(data)
        if document.get("format") != FORMAT:
            cure = "make one with `mailprov plan --out`; a declaration is given with -f: `mailprov apply -f mail.yaml`"
            raise MailprovError("this is not a plan, or only a part of one", where=name, cure=cure)
        if document["mailprov"] != __version__:
            why = f"mailprov {document['mailprov']} made it, this is {__version__}"
            raise MailprovError("the plan is another version's", where=name, why=why, cure="plan again")
        if document.pop("seal", "") != _seal(document):
            raise MailprovError("the plan is not as it was written", where=name, cure="plan again")
        hosts = tuple(_load(host) for host in document["hosts"])
        return PlanFile(document["declaration"], document["partial"], hosts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MailprovError(
            "the plan cannot be read", where=name, why=ascii(str(error))[:200], cure="plan again"
        ) from error


def _document(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; an empty one where there is none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def bind(kept: Kept, desired: State) -> Plan:
    """The plan with what the declaration holds now, which must be what it held then.

    Raises StalePlanError, naming what moved.
    """
    moved = [str(key) for key in sorted({*kept.asked, *desired}) if _print(desired, key) != kept.asked.get(key, "")]
    if moved:
        raise StalePlanError(
            "the declaration changed since the plan was made; nothing was touched",
            where=kept.plan.host,
            why=f"moved: {', '.join(moved)}",
            cure="plan again",
        )
    changes = tuple(replace(change, after=desired.get(change.key)) for change in kept.plan.changes)
    return replace(kept.plan, changes=changes, desired=desired, managed=managed(desired))


def _print(state: State, key: Key) -> str:
    return state[key].fingerprint if key in state else ""


def _seal(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _dump(kept: Kept) -> dict[str, Any]:
    plan = kept.plan
    return {
        "host": plan.host,
        "identity": kept.identity,
        "facts": asdict(plan.facts),
        "digest": plan.digest,
        "effects": {name: effect.name for name, effect in plan.effects.items()},
        "warnings": list(plan.warnings),
        "dangers": [asdict(danger) for danger in plan.dangers],
        "certificate_until": plan.certificate_until,
        "asked": [[*key, value] for key, value in kept.asked.items()],
        "seen": [[*key, value] for key, value in kept.seen.items()],
        "changes": [
            {
                "key": list(change.key),
                "action": change.action.name,
                "reason": change.reason.name,
                "summary": change.summary,
                "detail": list(change.detail),
                "effects": {name: effect.name for name, effect in change.effects.items()},
            }
            for change in plan.changes
        ],
    }


def _load(host: Mapping[str, Any]) -> Kept:
    facts: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in host["facts"].items()
    }
    changes = tuple(
        Change(
            Key(*change["key"]),
            Action[change["action"]],
            Reason[change["reason"]],
            None,
            None,
            change["summary"],
            tuple(change["detail"]),
            {name: Effect[effect] for name, effect in change["effects"].items()},
        )
        for change in host["changes"]
    )
    plan = Plan(
        host["host"],
        Facts(**facts),
        {},
        changes,
        {name: Effect[effect] for name, effect in host["effects"].items()},
        tuple(host["warnings"]),
        host["digest"],
        dangers=tuple(Danger(**danger) for danger in host["dangers"]),
        certificate_until=host["certificate_until"],
    )
    return Kept(
        plan,
        host["identity"],
        {Key(kind, name): value for kind, name, value in host["asked"]},
        {Key(kind, name): value for kind, name, value in host["seen"]},
    )
