"""Desired + live + last applied → Plan (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailprov.engine.manifest import Manifest
from mailprov.engine.registry import Registry
from mailprov.errors import StalePlanError
from mailprov.model import (
    Action,
    Change,
    Effect,
    Facts,
    Item,
    Key,
    Kind,
    Plan,
    Query,
    Reason,
    RowsChange,
    State,
    Step,
    Words,
)


@dataclass(frozen=True, slots=True)
class Observation:
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


def queries(registry: Registry, desired: State) -> tuple[Query, ...]:
    """What must be asked of a host to plan for `desired`, the host's facts and its manifest included."""
    asked = [Query("facts", "facts")]
    for kind in registry.kinds:
        items = [item for key, item in desired.items() if key.kind == kind.KIND]
        # What is no longer declared must be seen to be removed.
        asked.extend(kind.queries(items) if items or kind.REMOVED else ())
    return (*asked, *(Query(name, name) for name in ("listeners", "transactions", "manifest")))


def prints(state: State) -> Mapping[Key, str]:
    """The fingerprint of each thing."""
    return {key: item.fingerprint for key, item in state.items()}


def differences(registry: Registry, desired: State, observation: Observation) -> tuple[Difference, ...]:
    """Everything that differs, in the order of application."""
    result: list[Difference] = []
    found, manifest = observation.live, observation.manifest
    told = made(registry, manifest)
    for kind in registry.kinds:
        for key, after in desired.items():
            before = found.get(key)
            if key.kind != kind.KIND or (before is not None and kind.same(after, before, told.get(key, ""))):
                continue
            why = reason(registry, before, after, told.get(key, ""), manifest)
            result.append(Difference(key, before, after, why))
        result.extend(
            Difference(key, found[key], None, _reason_to_go(registry, found[key], told.get(key, ""), manifest))
            for key in _former(registry, desired, manifest)
            if key.kind == kind.KIND and kind.REMOVED and key not in desired and key in found
        )
    return (*result, *_behind(registry, desired, found, result, manifest))


def _behind(
    registry: Registry, desired: State, found: State, differing: list[Difference], manifest: Manifest | None
) -> tuple[Difference, ...]:
    """Services that do not run what their files say; one that differs already is told in its place."""
    pairs = [registry.kind(each.key).effects(each.before, each.after) for each in differing]
    changed = {name for effects in pairs for name in effects}
    places = {each.key: place for place, each in enumerate(differing)}
    more: list[Difference] = []
    for key, after in desired.items():
        before = found.get(key)
        if before is None:
            continue
        ours = manifest is not None and key in manifest.desired
        live = registry.kind(key).behind(after, before, key.name in changed, ours)
        if live is not None and key in places:
            differing[places[key]] = replace(differing[places[key]], before=live)
        elif live is not None:
            more.append(Difference(key, live, after, Reason.DRIFT))
    return tuple(more)


def _former(registry: Registry, desired: State, manifest: Manifest | None) -> tuple[Key, ...]:
    """What was wanted before and is not now, as what it goes; what is of no kind that is known here stays."""
    wanted = manifest.desired if manifest else ()
    keys = [key for key in wanted if key not in desired and registry.knows(key)]
    return tuple(registry.kind(key).former(key) for key in keys)


def managed(registry: Registry, desired: State) -> tuple[str, ...]:
    """The paths of every file that is ours once `desired` holds; not of one that others keep there."""
    return tuple(sorted(path for key, item in desired.items() for path in registry.kind(key).paths(item)))


def obstacles(registry: Registry, found: Sequence[Difference], there: State) -> tuple[tuple[str, str], ...]:
    """What is in the way of a thing of which kind, in words: mailprov does not replace it."""
    pairs = ((each.key.kind, registry.kind(each.key).obstacles(each.before, each.after, there)) for each in found)
    return tuple((kind, f"{path} is a {noun}") for kind, each in pairs for path, noun in each)


def made(registry: Registry, manifest: Manifest | None) -> Mapping[Key, str]:
    """What the host made at the last apply; a manifest of the former form tells it by what was there just after it."""
    if manifest is None:
        return {}
    then = registry.live(manifest.sections)
    return {key: registry.kind(key).made(item) for key, item in then.items()} | dict(manifest.made)


def reason(registry: Registry, before: Item | None, after: Item, made: str, manifest: Manifest | None) -> Reason:
    """Who moved since the last apply: the declaration, the host, or both."""
    if manifest is None or after.key not in manifest.desired:
        return Reason.PENDING
    asked = manifest.desired[after.key]
    moved = before is None or registry.kind(after.key).moved(before, asked, made)
    if moved:
        return Reason.BOTH if after.fingerprint != asked else Reason.DRIFT
    return Reason.PENDING


def _reason_to_go(registry: Registry, before: Item, made: str, manifest: Manifest | None) -> Reason:
    """The declaration moved, which has it no more; where it was asked for as something else, no more is known."""
    asked = manifest.desired.get(before.key) if manifest else None
    moved = asked is not None and registry.kind(before.key).moved(before, asked, made)
    return Reason.BOTH if moved else Reason.PENDING


def detail_queries(registry: Registry, found: Sequence[Difference]) -> tuple[Query, ...]:
    """What more to ask, to show how things differ and what making them brings along.

    The section of a query about one thing is its place in `found`.
    """
    asked: list[Query] = []
    for kind in registry.kinds:
        asked.extend(kind.foresight([each.key.name for each in found if each.key.kind == kind.KIND and each.after]))
    return (*asked, *closer_queries(registry, found))


def closer_queries(registry: Registry, found: Sequence[Difference]) -> tuple[Query, ...]:
    """Those of detail_queries(found) that show how things differ."""
    asked: list[Query] = []
    for place, difference in enumerate(found):
        if difference.before is None:
            continue
        query = registry.kind(difference.key).detail_query(difference.before, difference.after)
        if query is not None:
            asked.append(Query(f"closer{place}", query.function, query.words))
    return tuple(asked)


def plan(
    registry: Registry,
    host: str,
    observation: Observation,
    desired: State,
    found: Sequence[Difference],
    details: Mapping[str, str],
    warnings: Sequence[str] = (),
) -> Plan:
    """The plan for one host, its risks not yet told.

    `details` holds the replies to detail_queries(found), by section. Raises HostError where what it brings along may
    not be.
    """
    changes: list[Change] = []
    for kind in registry.kinds:
        places = [(place, each) for place, each in enumerate(found) if each.key.kind == kind.KIND]
        own = [_change(kind, each, details.get(f"closer{place}")) for place, each in places]
        told, more = kind.foreseen(own, details, host)
        changes.extend(told)
        warnings = (*warnings, *more)
    known = made(registry, observation.manifest)
    return Plan(
        host,
        observation.facts,
        {key: item for key, item in desired.items() if registry.kind(key).SECTIONS},
        tuple(changes),
        _effects(registry, changes, desired, observation.live),
        tuple(warnings),
        observation.digest,
        managed(registry, desired),
        made={key: value for key, value in known.items() if key in desired and value},
    )


def closer(registry: Registry, found: Sequence[Difference], details: Mapping[str, str]) -> tuple[Change, ...]:
    """How each of `found` differs, by the replies to closer_queries(found). Raises HostError where one is garbled."""
    pairs = enumerate(found)
    return tuple(_change(registry.kind(each.key), each, details.get(f"closer{place}")) for place, each in pairs)


def _change(kind: Kind[Any], difference: Difference, details: str | None) -> Change:
    before, after = difference.before, difference.after
    if details is not None:
        before = kind.with_details(before, after, details)
    action = Action.REMOVE if after is None else Action.CREATE if before is None else Action.UPDATE
    delta, effects = kind.delta(before, after), kind.effects(before, after)
    return Change(difference.key, action, difference.reason, before, after, delta, effects)


def _effects(registry: Registry, changes: Sequence[Change], desired: State, found: State) -> Mapping[str, Effect]:
    """The strongest effect on each service that is wanted; one that is down is started, whatever else it needs."""
    strongest: dict[str, Effect] = {}
    for change in changes:
        for name, effect in change.effects.items():
            strongest[name] = max(effect, strongest.get(name, Effect.NONE))
    wanted = {key.name: key for key, item in desired.items() if registry.runs(item)}
    for name in strongest.keys() & wanted.keys():
        service = found.get(wanted[name])
        if service is None or not registry.runs(service):
            strongest[name] = Effect.START
    return {name: effect for name, effect in strongest.items() if name == SYSTEMD or name in wanted}


SYSTEMD = "systemd"
"""no service: systemd itself, which reads its units anew"""


def supplied(plan: Plan, desired: State) -> Plan:
    """The plan with a desired state that asks for just the same, and holds more: passwords that are known by now.

    Raises StalePlanError where it asks for anything else.
    """
    if prints(desired) != prints(plan.desired):
        what = "the declaration changed since the plan was made; nothing was touched"
        raise StalePlanError(what, where=plan.host, fix="plan again")
    was = plan.desired
    changes = (
        replace(change, after=desired[change.key]) if change.after is was.get(change.key, plan) else change
        for change in plan.changes
    )
    return replace(plan, changes=tuple(changes), desired=desired)


def told(plan: Plan) -> Plan:
    """The plan as it is shown and counted, without what the declaration and the host hold: to tell it elsewhere."""
    facts = replace(plan.facts, salt=None)
    return replace(plan, facts=facts, changes=tuple(map(told_change, plan.changes)), desired={})


def told_change(change: Change) -> Change:
    """The same for one change."""
    delta = change.delta
    words = delta if isinstance(delta, RowsChange) else Words(delta.summary, delta.detail, delta.aspects)
    return replace(change, before=None, after=None, delta=words)


def steps(registry: Registry, plan: Plan) -> tuple[Step, ...]:
    """What the host does, in order.

    Raises MailprovError when a secret that is needed (a new account's initial password) cannot be had.
    """
    left = _left_to_do(plan)
    of_changes = [
        step
        for kind in registry.kinds
        for step in kind.steps([change for change in plan.changes if change.key.kind == kind.KIND])
    ]
    noted = [step for kind in registry.kinds for step in kind.pending(left)]
    activated = [step for kind in registry.kinds for step in kind.activation(left)]
    made = [*noted, *of_changes, *activated]
    # What one kind takes away and another one makes in the same place goes first.
    twice = {key for key, count in Counter(step.key for step in made).items() if key and count > 1}
    return tuple(sorted(made, key=lambda step: (step.phase, 0 if step.key in twice else step.late)))


def _left_to_do(plan: Plan) -> Mapping[str, Effect]:
    """What each service needs once all is prepared: one that was upgraded then has been restarted right after it."""
    later: dict[str, Effect] = {}
    for change in plan.changes:
        if not change.brought_along:
            for name, effect in change.effects.items():
                later[name] = max(effect, later.get(name, Effect.NONE))
    return {
        name: later.get(name, Effect.NONE) if effect is Effect.RESTART else effect
        for name, effect in plan.effects.items()
    }
