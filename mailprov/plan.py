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
    listing,
    mail_tree,
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
    users = (item for item in desired.values() if isinstance(item, system_users.SystemUser))
    asked.extend(mail_tree.question(user.name, user.home) for user in users)
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
    told = made(manifest)
    for resource in ORDER:
        for key, after in desired.items():
            before = found.get(key)
            if key.kind != resource.KIND or (before is not None and resource.same(after, before, told.get(key, ""))):
                continue
            result.append(Difference(key, before, after, reason(before, after, told.get(key, ""), manifest)))
        result.extend(
            Difference(key, found[key], None, Reason.PENDING)
            for key in _former(desired, manifest)
            if key.kind == resource.KIND and key.kind in REMOVED and key not in desired and key in found
        )
    return (*result, *_behind(desired, found, result, manifest))


def _behind(
    desired: State, found: State, differing: list[Difference], manifest: Manifest | None
) -> tuple[Difference, ...]:
    """Services that do not run what their files say; one that differs already is told in its place."""
    resources_ = {resource.KIND: resource for resource in ORDER}
    changed = {name for each in differing for name in resources_[each.key.kind].effects(each.before, each.after)}
    more: list[Difference] = []
    for key, after in desired.items():
        before = found.get(key)
        if not isinstance(after, services.Service) or not isinstance(before, services.Service):
            continue
        ours = manifest is not None and key in manifest.desired
        live = services.behind(after, before, key.name in changed, ours)
        places = [place for place, each in enumerate(differing) if each.key == key]
        if live is not None and places:
            differing[places[0]] = replace(differing[places[0]], before=live)
        elif live is not None:
            more.append(Difference(key, live, after, Reason.DRIFT))
    return tuple(more)


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


def obstacles(found: Sequence[Difference], there: State) -> tuple[str, ...]:
    """Paths where something else is in the way of a file or folder, and what that is: mailprov does not replace it."""
    pairs = (_in_the_way(difference.before, difference.after, there) for difference in found)
    return tuple(f"{path} is a {_NOUNS[type_]}" for each in pairs for path, type_ in each)


_NOUNS: Mapping[listing.Type, str] = {
    "file": "file",
    "directory": "directory",
    "symlink": "symlink",
    "other": "FIFO, socket or device",
}


def _in_the_way(before: Item | None, after: Item | None, there: State) -> tuple[tuple[str, listing.Type], ...]:
    if isinstance(after, certificates.Certificate) and after.source == "self_signed":
        file = there.get(Key(files.KIND, after.path))
        return ((file.path, file.type),) if isinstance(file, files.File) and file.type != "file" else ()
    if isinstance(before, (accounts.Accounts, maps.Map)):
        return before.obstacles
    if not isinstance(before, files.File):
        return ()
    right = before.type == after.type if isinstance(after, files.File) else before.type in ("file", "directory")
    return () if right else ((before.path, before.type),)


def made(manifest: Manifest | None) -> Mapping[Key, str]:
    """What the host made at the last apply; a manifest of the former form tells it by what was there just after it."""
    if manifest is None:
        return {}
    then = live(manifest.sections)
    return {key: kind(key).made(item) for key, item in then.items()} | dict(manifest.made)


def kind(key: Key) -> Resource[Any]:
    """What manages a thing of this name."""
    return next(resource for resource in ORDER if key.kind == resource.KIND)


def reason(before: Item | None, after: Item, made: str, manifest: Manifest | None) -> Reason:
    """Who moved since the last apply: the declaration, the host, or both."""
    if manifest is None or after.key not in manifest.desired:
        return Reason.PENDING
    asked = manifest.desired[after.key]
    moved = before is None or kind(after.key).moved(before, asked, made)
    if moved:
        return Reason.BOTH if after.fingerprint != asked else Reason.DRIFT
    return Reason.PENDING


def closer_questions(found: Sequence[Difference]) -> tuple[Question, ...]:
    """What more to ask, to show how things differ; each question's section is its place in `found`."""
    asked: list[Question] = [*packages.simulation(_missing(found))]
    for place, difference in enumerate(found):
        closer = CLOSER.get(difference.key.kind)
        if closer is None or difference.before is None:
            continue
        question = closer.closer(_known(difference), difference.after)
        if question is not None:
            asked.append(Question(f"closer{place}", question.function, question.words))
    return tuple(asked)


def _missing(found: Sequence[Difference]) -> tuple[str, ...]:
    return tuple(difference.key.name for difference in found if isinstance(difference.after, packages.Package))


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
    apt, missing = closer.get(packages.SIMULATION, ""), _missing(found)
    packages.refuse_crossing(apt, host)
    versions, (upgraded, further) = packages.brought(apt), packages.along(apt, missing)
    warnings = (*warnings, *filter(None, [packages.untold(apt, missing) if missing else ""]))
    changes: list[Change] = []
    for place, difference in enumerate(found):
        resource = kind(difference.key)
        before, after = _known(difference), difference.after
        if isinstance(after, packages.Package):
            after = replace(after, version=versions.get(after.name, ("", ""))[1])
        text = closer.get(f"closer{place}")
        if text is not None:
            before = CLOSER[difference.key.kind].closely(before, after, text)
        action = Action.REMOVE if after is None else Action.CREATE if before is None else Action.UPDATE
        delta, effects = resource.delta(before, after), resource.effects(before, after)
        if isinstance(after, packages.Package) and place == 0:
            delta = Words(delta.summary, further)
        changes.append(Change(difference.key, action, difference.reason, before, after, delta, effects))
    changes[len(missing) : len(missing)] = upgraded
    return Plan(
        host,
        sight.facts,
        desired,
        tuple(changes),
        _effects(changes, desired, sight.live),
        tuple(warnings),
        sight.digest,
        managed(desired),
        made={key: value for key, value in made(sight.manifest).items() if key in desired and value},
    )


def _effects(changes: Sequence[Change], desired: State, found: State) -> Mapping[str, Effect]:
    """The strongest effect on each service that is wanted; one that is down is started, whatever else it needs."""
    strongest: dict[str, Effect] = {}
    for change in changes:
        for name, effect in change.effects.items():
            strongest[name] = max(effect, strongest.get(name, Effect.NONE))
    wanted = {key.name for key, item in desired.items() if isinstance(item, services.Service) and item.active}
    for name in strongest.keys() & wanted:
        service = found.get(Key(services.KIND, name))
        if not (isinstance(service, services.Service) and service.active):
            strongest[name] = Effect.START
    return {name: effect for name, effect in strongest.items() if name == "systemd" or name in wanted}


def supplied(plan: Plan, desired: State) -> Plan:
    """The plan with a desired state that asks for just the same, and holds more: passwords that are known by now.

    Raises StalePlanError where it asks for anything else.
    """
    if prints(desired) != prints(plan.desired):
        what = "the declaration changed since the plan was made; nothing was touched"
        raise StalePlanError(what, where=plan.host, cure="plan again")
    was = plan.desired
    changes = (
        replace(change, after=desired[change.key]) if change.after is was.get(change.key, plan) else change
        for change in plan.changes
    )
    return replace(plan, changes=tuple(changes), desired=desired)


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
    owed = _still_owed(plan)
    made = [*services.debts(owed), *made, *services.activation(owed)]
    # What else is removed may be in a folder that is.
    return tuple(sorted(made, key=lambda step: (step.phase, step.do[0] == "drop_folder")))


def _still_owed(plan: Plan) -> Mapping[str, Effect]:
    """What each service needs once packages are installed: one that apt upgraded has been restarted right after it."""
    later: dict[str, Effect] = {}
    for change in plan.changes:
        if change.key.kind != packages.KIND or change.action is Action.CREATE:
            for name, effect in change.effects.items():
                later[name] = max(effect, later.get(name, Effect.NONE))
    return {
        name: later.get(name, Effect.NONE) if effect is Effect.RESTART else effect
        for name, effect in plan.effects.items()
    }
