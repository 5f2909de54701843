"""Desired + live + last applied → Plan (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailprov.errors import StalePlanError
from mailprov.manifest import Manifest
from mailprov.model import Action, Change, Effect, Facts, Item, Key, Plan, Question, Reason, State, Step, Words
from mailprov.resources import (
    Closer,
    Resource,
    accounts,
    certificates,
    files,
    firewall,
    maps,
    packages,
    services,
    system_users,
)
from mailprov.resources.rows import RowsChange

ORDER: tuple[Resource[Any], ...] = (
    packages,
    system_users,
    files,
    certificates,
    accounts,
    maps,
    firewall,
    services,
)
"""every managed kind, in the order of application"""

CLOSER: Mapping[str, Closer[Any]] = {files.KIND: files, accounts.KIND: accounts, maps.KIND: maps}

# What mailprov put on a host and no longer wants is removed; packages, users and accounts' mail stay.
REMOVED = frozenset({files.KIND, maps.KIND, firewall.KIND, services.KIND})


@dataclass(frozen=True, slots=True)
class Sight:
    """A host as it was found, what the last apply left there, and the digest that a plan is bound to."""

    facts: Facts
    live: State
    manifest: Manifest | None
    digest: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as declared; `before` is None when absent, `after` when unwanted."""

    key: Key
    before: Item | None
    after: Item | None
    reason: Reason


def questions(desired: State) -> tuple[Question, ...]:
    """What must be asked of a host to plan for `desired`, the host's facts and its manifest included."""
    asked = [Question("facts", "facts")]
    for resource in ORDER:
        items = [item for key, item in desired.items() if key.kind == resource.KIND]
        # What is no longer declared must be seen to be removed.
        asked.extend(resource.questions(items) if items or resource.KIND in REMOVED else ())
    more = ("listeners", "transactions", "manifest")
    return (*asked, *(Question(name, name) for name in more))


def live(sections: Mapping[str, str]) -> State:
    """The live state in an answer."""
    return {key: item for resource in ORDER for key, item in resource.read(sections).items()}


def prints(state: State) -> Mapping[Key, str]:
    """The fingerprint of each thing."""
    return {key: item.fingerprint for key, item in state.items()}


def differences(desired: State, sight: Sight) -> tuple[Difference, ...]:
    """Everything that differs, in the order of application."""
    result: list[Difference] = []
    found, manifest = sight.live, sight.manifest
    applied = live(manifest.sections) if manifest else {}
    for resource in ORDER:
        for key, after in desired.items():
            before = found.get(key)
            if key.kind != resource.KIND or (before is not None and resource.same(after, before, applied.get(key))):
                continue
            result.append(Difference(key, before, after, _reason(before, after, applied.get(key), manifest)))
        result.extend(
            Difference(key, found[key], None, Reason.PENDING)
            for key in _former(desired, manifest)
            if key.kind == resource.KIND and key.kind in REMOVED and key not in desired and key in found
        )
    return tuple(result)


def _former(desired: State, manifest: Manifest | None) -> tuple[Key, ...]:
    """What was wanted before and is not now. A certificate goes as the file that it is, if mailprov put it there."""
    keys = [key for key in (manifest.desired if manifest else ()) if key not in desired]
    return tuple(Key(files.KIND, key.name) if key.kind == certificates.KIND else key for key in keys)


def managed(desired: State) -> tuple[str, ...]:
    """The paths of every file that is ours once `desired` holds; not a certificate that others keep there."""
    ours = (
        key.name
        for key, item in desired.items()
        if isinstance(item, files.File) or (isinstance(item, certificates.Certificate) and item.source == "self_signed")
    )
    return tuple(sorted(ours))


def obstacles(found: Sequence[Difference]) -> tuple[str, ...]:
    """Paths where something else is in the way of a file or folder, and what that is: mailprov does not replace it."""
    pairs = ((difference.before, difference.after) for difference in found)
    return tuple(
        f"{before.path} is a {before.type}"
        for before, after in pairs
        if isinstance(before, files.File) and isinstance(after, files.File) and before.type != after.type
    )


def _reason(before: Item | None, after: Item, then: Item | None, manifest: Manifest | None) -> Reason:
    """Who moved since the last apply: the declaration, the host, or both."""
    if manifest is None or after.key not in manifest.desired:
        return Reason.PENDING
    moved = (before.fingerprint if before else "") != (then.fingerprint if then else "")
    asked = after.fingerprint != manifest.desired[after.key]
    if moved:
        return Reason.BOTH if asked else Reason.DRIFT
    return Reason.PENDING


def closer_questions(found: Sequence[Difference]) -> tuple[Question, ...]:
    """What more to ask, to show how things differ; each question's section is its place in `found`."""
    asked: list[Question] = []
    for place, difference in enumerate(found):
        closer = CLOSER.get(difference.key.kind)
        if closer is None or difference.before is None:
            continue
        question = closer.closer(_known(difference), difference.after)
        if question is not None:
            asked.append(Question(f"closer{place}", question.function, question.words))
    return tuple(asked)


def _known(difference: Difference) -> Item | None:
    """The live item, as secret as the desired one says that it is."""
    before, after = difference.before, difference.after
    if isinstance(before, files.File) and isinstance(after, files.File):
        return files.as_secret_as(before, after)
    return before


def plan(
    host: str,
    sight: Sight,
    desired: State,
    found: Sequence[Difference],
    closer: Mapping[str, str],
    warnings: Sequence[str] = (),
) -> Plan:
    """The plan for one host, its dangers not yet told.

    `closer` holds the answers to closer_questions(found), by section.
    """
    changes: list[Change] = []
    for place, difference in enumerate(found):
        resource = next(resource for resource in ORDER if difference.key.kind == resource.KIND)
        before, after = _known(difference), difference.after
        text = closer.get(f"closer{place}")
        if text is not None:
            before = CLOSER[difference.key.kind].closely(before, after, text)
        action = Action.REMOVE if after is None else Action.CREATE if before is None else Action.UPDATE
        delta, effects = resource.delta(before, after), resource.effects(before, after)
        changes.append(Change(difference.key, action, difference.reason, before, after, delta, effects))
    return Plan(
        host,
        sight.facts,
        desired,
        tuple(changes),
        _effects(changes, desired, sight.live),
        tuple(warnings),
        sight.digest,
        managed(desired),
    )


def _effects(changes: Sequence[Change], desired: State, found: State) -> Mapping[str, Effect]:
    """The strongest effect on each service that is wanted; one that is down is started, whatever else it needs."""
    strongest: dict[str, Effect] = {}
    for change in changes:
        for name, effect in change.effects.items():
            strongest[name] = max(effect, strongest.get(name, Effect.NONE))
    for name in strongest:
        service = found.get(Key(services.KIND, name))
        wanted = Key(services.KIND, name) in desired
        if wanted and not (isinstance(service, services.Service) and service.active):
            strongest[name] = Effect.START
    return {
        name: effect for name, effect in strongest.items() if name == "systemd" or Key(services.KIND, name) in desired
    }


def supplied(plan: Plan, desired: State) -> Plan:
    """The plan with a desired state that asks for just the same, and holds more: passwords that are known by now.

    Raises StalePlanError where it asks for anything else.
    """
    if prints(desired) != prints(plan.desired):
        what = "the declaration changed since the plan was made; nothing was touched"
        raise StalePlanError(what, where=plan.host, cure="plan again")
    changes = tuple(replace(change, after=desired.get(change.key)) for change in plan.changes)
    return replace(plan, changes=changes, desired=desired)


def told(plan: Plan) -> Plan:
    """The plan as it is shown and counted, without what the declaration and the host hold: to tell it elsewhere."""
    changes = (
        replace(
            change,
            before=None,
            after=None,
            delta=change.delta if isinstance(change.delta, RowsChange) else Words(change.summary, change.detail),
        )
        for change in plan.changes
    )
    return replace(plan, changes=tuple(changes), desired={})


def steps(plan: Plan) -> tuple[Step, ...]:
    """What the host does, in order.

    Raises MailprovError when a secret that is needed (a new account's initial password) cannot be had.
    """
    made: list[Step] = []
    for resource in ORDER:
        made.extend(resource.steps([change for change in plan.changes if change.key.kind == resource.KIND]))
    made = [*services.debts(plan.effects), *made, *services.activation(plan.effects)]
    return tuple(sorted(made, key=lambda step: step.phase))
