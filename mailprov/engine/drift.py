"""What a host changed since the last apply, apart from what the declaration changed (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from mailprov.engine.history import transactions
from mailprov.engine.manifest import Manifest, parse
from mailprov.engine.plan import Difference, Observation, closer, made, told_change
from mailprov.engine.registry import Registry
from mailprov.errors import HostError
from mailprov.model import GONE, Action, Change, Ignore, Item, Key, Reason, State, Words


@dataclass(frozen=True, slots=True)
class Drifted:
    """One thing that the host changed: what an apply would do about it, and by which rule it is ignored."""

    change: Change
    ignored: Ignore | None = None

    @property
    def gone(self) -> bool:
        """Whether it is not there any more."""
        return self.change.action is Action.CREATE


@dataclass(frozen=True, slots=True)
class Drift:
    """What one host changed since the transaction `since`.

    `settled` are things that were changed there to just what is declared by now: nothing is left to do about them.
    `pending` counts what only the declaration changed.
    """

    host: str
    machine: str
    since: str
    found: tuple[Drifted, ...]
    settled: tuple[Key, ...]
    pending: int
    warnings: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[Drifted, ...]:
        """What is not ignored."""
        return tuple(each for each in self.found if each.ignored is None)


def record(sections: Mapping[str, str], host: str, *, changed: bool) -> Manifest:
    """What the last apply left on the host. `changed`: mailprov has been at work there, whatever the record says.

    Raises HostError where drift cannot be told, since there is no such record or it cannot be relied on.
    """
    text, past = sections.get("manifest", ""), transactions(sections)
    kept = parse(text)
    what = "what drifted cannot be told"
    last = past.last.transaction if past.last and past.last.verdict == "applied" else ""
    if text and kept is None:
        raise HostError(what, where=host, why=_UNREADABLE, fix=_ANEW)
    if kept is None and (last or changed):
        raise HostError(what, where=host, why="the record of the last apply is gone", fix=_ANEW)
    if kept is None or not kept.desired:
        why = "nothing is applied to this host, so that nothing of it can have drifted"
        raise HostError(what, where=host, why=why, fix="apply first; `mailprov plan` shows what that does")
    if last and kept.transaction not in (last, past.open):
        why = f"the record is of the apply {kept.transaction}, and {last} came after it"
        raise HostError(what, where=host, why=why, fix=_ANEW)
    return kept


_UNREADABLE = "the record of the last apply cannot be read: it is damaged, or of another version of mailprov"
_ANEW = "look at `mailprov history` and `mailprov plan`; the next apply that changes something writes the record anew"


def within_reach(desired: State, unknown: Set[Key], live: State) -> State:
    """The desired state, in which what is `unknown` is as it is on the host: no difference is seen in it."""
    return {key: live.get(key, item) if key in unknown else item for key, item in desired.items()}


def moved(found: Sequence[Difference], unknown: Set[Key]) -> tuple[Difference, ...]:
    """What the host moved, of all that differs from `within_reach`.

    What is unknown differs there only where it is gone; whether the declaration moved, too, is then not known.
    """
    of_host = (each for each in found if each.reason is not Reason.PENDING)
    return tuple(replace(each, reason=Reason.DRIFT) if each.key in unknown else each for each in of_host)


def drift(
    registry: Registry,
    host: str,
    observation: Observation,
    desired: State,
    found: Sequence[Difference],
    unknown: Set[Key],
    details: Mapping[str, str],
    rules: Sequence[Ignore] = (),
    warnings: Sequence[str] = (),
) -> Drift:
    """What `host` changed.

    `found` is all that differs from `within_reach`, `details` the replies to the closer queries about what `moved`.
    Raises HostError where one of these is garbled.
    """
    since = _Since(registry, observation)
    changes = [*closer(registry, moved(found, unknown), details), *since.of_unknown(unknown)]
    order = [kind.KIND for kind in registry.kinds]
    differing = {each.key for each in found}
    return Drift(
        host,
        observation.facts.machine_id,
        since.transaction,
        tuple(
            Drifted(told_change(each), ignored(each, rules))
            for each in sorted(changes, key=lambda each: order.index(each.key.kind))
        ),
        tuple(key for key in desired if key not in unknown | differing and since.settled(desired[key])),
        sum(each.reason is Reason.PENDING for each in found),
        tuple(warnings),
    )


class _Since:
    """What the last apply asked for and made, beside what is there now."""

    def __init__(self, registry: Registry, observation: Observation) -> None:
        self._registry, self._live = registry, observation.live
        self._asked = observation.manifest.desired if observation.manifest else {}
        self._made = made(registry, observation.manifest)
        self.transaction = observation.manifest.transaction if observation.manifest else ""

    def of_unknown(self, unknown: Set[Key]) -> Iterator[Change]:
        """What moved of that and is there: how is not known."""
        for key in sorted(unknown):
            if self._moved(key):
                live = self._live[key]
                yield Change(key, Action.UPDATE, Reason.DRIFT, live, live, Words(_UNTOLD))

    def settled(self, item: Item) -> bool:
        """Whether the host and the declaration both changed it, to the same where nothing differs."""
        return item.fingerprint != self._asked.get(item.key, item.fingerprint) and self._moved(item.key)

    def _moved(self, key: Key) -> bool:
        live, asked = self._live.get(key), self._asked.get(key)
        return (
            live is not None
            and asked is not None
            and self._registry.kind(key).moved(live, asked, self._made.get(key, ""))
        )


_UNTOLD = "changed; how is not told, for that takes a secret that is not here"


def ignored(change: Change, rules: Sequence[Ignore]) -> Ignore | None:
    """The first rule by which a change is ignored; None where it counts."""
    aspects = change.delta.aspects if change.before is not None else frozenset((GONE,))
    for rule in rules:
        fits = rule.kind == change.key.kind and fnmatchcase(change.key.name, rule.name)
        if fits and (not rule.only or (aspects and aspects <= frozenset(rule.only))):
            return rule
    return None
