"""Back to the state before a transaction that the host has kept: a state to plan for, as any other (pure).

Going back past several of them, each thing gets what the oldest of them replaced; passwords that users have changed
since stay theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeVar

from mailprov.engine.kept_transactions import Act, KeptTransaction
from mailprov.engine.manifest import Manifest
from mailprov.engine.plan import SYSTEMD, Difference, Observation, made, reason
from mailprov.engine.registry import Registry
from mailprov.errors import MailprovError
from mailprov.model import Backup, Command, Item, Key, Query, Reason, State

T = TypeVar("T")

FOLDER = "/var/lib/mailprov/txn"

Reads = Callable[[str], Item]
"""gives a bare thing of a path with what is known of its readers: their services, and settings that want a restart"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go back to: before `oldest`. Each thing that was touched, as it was; None where there was none."""

    oldest: KeptTransaction
    things: Mapping[Key, Item | None]
    installed: tuple[str, ...] = ()
    """packages that were installed, and stay"""
    sure: bool = True
    """whether all that ought to have listened did"""
    opened: frozenset[int] | None = None
    """the ports that have been opened since; None where that is not known"""

    def closing(self, open_now: Set[int]) -> frozenset[int]:
        """Which ports shall not be open any more; others that somebody has opened since are theirs."""
        if not self.sure:
            return frozenset()
        if self.opened is None or not self.oldest.ports:
            return frozenset(open_now) - self.oldest.open
        return self.opened


# --- where that leads


def target(
    registry: Registry,
    back: Sequence[KeptTransaction],
    live: State,
    reads: Reads,
    now: Manifest | None = None,
) -> Target:
    """The state before the oldest of these transactions, which come newest first, of all that they touched.

    `now` is the manifest that the newest one has left. What a later one only put back, since somebody had changed it
    meanwhile, is as it was before the oldest: it is left alone.

    Raises MailprovError for a thing of a kind that is not known here.
    """
    oldest, services = back[-1], registry.services
    things: dict[Key, Item | None] = {}
    stopped: dict[str, bool] = {}
    undos: dict[Key, tuple[Command, ...]] = {}
    installed: set[str] = set()
    for kept, after in zip(back, (now, *(newer.former for newer in back)), strict=False):
        formerly = made(registry, kept.former)
        for act in reversed(kept.acts):
            if act.key is not None:
                if not registry.knows(act.key):
                    fix = f"roll {kept.name} back with the version of mailprov that applied it"
                    raise MailprovError(f"{act.key} is of a kind that this version does not know", fix=fix)
                if kept is not oldest and _asked_the_same(act.key, kept.former, after):
                    continue
                kind = registry.kind(act.key)
                backup = _backup(act, act.key, kept, formerly.get(act.key, ""), reads)
                undos[act.key] = (*undos.get(act.key, ()), act.undo)
                backup = replace(backup, undos=undos[act.key])
                things[act.key] = kind.restored(backup, live.get(act.key))
            elif act.command[:1] == ("activate",) and act.command[2:] == ("start",):
                stopped[act.command[1]] = act.command[1] not in kept.up
            else:
                installed.update(name for kind in registry.kinds for name in kind.lasting(act.command))
    for name, off in stopped.items():
        key = Key(services.KIND, name)
        if off and key not in things and key in live:
            things[key] = services.as_running(name, live[key], False)
    for name in oldest.up - {daemon.name for daemon in registry.daemons if daemon.at_boot}:
        key = Key(services.KIND, name)
        if key not in things and key in live and not services.runs(live[key]):
            things[key] = services.as_running(name, live[key], True)
    # What was missing or down, and ought not to have been, is not made so again.
    meant = oldest.former.desired if oldest.former else {}
    for key in [key for key, item in things.items() if key in meant and (item is None or _down(registry, item))]:
        del things[key]
    around = {SYSTEMD, *(daemon.name for daemon in registry.daemons if not daemon.serves)}
    sure = all(key.name in oldest.up or key.name in around for key in meant if key.kind == services.KIND)
    return Target(oldest, things, tuple(sorted(installed)), sure, _opened(back))


def _asked_the_same(key: Key, before: Manifest | None, after: Manifest | None) -> bool:
    """Whether a transaction between these asked for just what was asked for already."""
    return bool(before and after and key in before.desired and before.desired[key] == after.desired.get(key))


def _down(registry: Registry, item: Item) -> bool:
    return item.key.kind == registry.services.KIND and not registry.runs(item)


def _opened(back: Sequence[KeptTransaction]) -> frozenset[int] | None:
    served = [kept.listeners for kept in back]
    known = [ports for ports in served if ports is not None]
    return frozenset().union(*known) - back[-1].open if len(known) == len(served) else None


def _backup(act: Act, key: Key, kept: KeptTransaction, formerly: str, reads: Reads) -> Backup:
    number = str(act.number)

    def beside(found: Mapping[str, T]) -> Mapping[str, T]:
        named = (name.partition(".") for name in found)
        suffixes = {f"{dot}{suffix}": f"{first}{dot}{suffix}" for first, dot, suffix in named if first == number}
        return {suffix: found[name] for suffix, name in suffixes.items()}

    return Backup(
        key,
        f"{FOLDER}/{act.transaction}/old/{number}",
        beside(kept.copies),
        beside(kept.notes),
        formerly,
        key.name in kept.up,
        reads(key.name),
        act.command,
        act.undo,
    )


def asked(registry: Registry, back: Sequence[KeptTransaction]) -> State:
    """Bare things of the names that must be looked at, to know what they are now."""
    touched = (act.key for kept in back for act in kept.acts if act.key is not None)
    keys = {key for key in touched if registry.knows(key)}
    keys |= {Key(registry.services.KIND, daemon.name) for daemon in registry.daemons}
    bare = (registry.kind(key).bare(key.name) for key in sorted(keys))
    return {item.key: item for item in bare}


# --- what was kept, at the price of one more answer


def queries(registry: Registry, things: Mapping[Key, Item | None]) -> tuple[Query, ...]:
    """What to ask of the copies, to show what comes back; each query's section is its place in `things`."""
    found: list[Query] = []
    for place, (key, item) in enumerate(things.items()):
        asking = registry.kind(key).kept_query(item) if item is not None else None
        if asking is not None:
            found.append(Query(f"kept{place}", asking.function, asking.words))
    return tuple(found)


def told(
    registry: Registry, things: Mapping[Key, Item | None], sections: Mapping[str, str]
) -> Mapping[Key, Item | None]:
    """The things with what the copies hold."""
    found = dict(things)
    for place, (key, item) in enumerate(things.items()):
        text = sections.get(f"kept{place}")
        if text is not None and item is not None:
            found[key] = registry.kind(key).with_kept(item, text)
    return found


def differences(
    registry: Registry, things: Mapping[Key, Item | None], observation: Observation
) -> tuple[Difference, ...]:
    """What is not as it was, in the order of application."""
    known, order = made(registry, observation.manifest), [kind.KIND for kind in registry.kinds]
    found: list[Difference] = []
    for key, after in sorted(things.items(), key=lambda pair: order.index(pair[0].kind)):
        before = observation.live.get(key)
        if _alike(registry, before, after):
            continue
        known_as = after or before
        if known_as is None:
            why = Reason.PENDING
        else:
            why = reason(registry, before, known_as, known.get(key, ""), observation.manifest)
        found.append(Difference(key, before, after, why))
    return tuple(found)


def _alike(registry: Registry, before: Item | None, after: Item | None) -> bool:
    if before is None and after is not None and _off(registry, after):
        return True
    return (before.fingerprint if before else "") == (after.fingerprint if after else "")


def desired(registry: Registry, things: Mapping[Key, Item | None], observation: Observation) -> State:
    """All that there shall be of what was touched, and the services that run now and go on: what they read changes,
    whether they ran then or not."""
    running = {key: item for key, item in observation.live.items() if registry.runs(item) and key not in things}
    return running | {key: item for key, item in things.items() if item is not None and not _off(registry, item)}


def _off(registry: Registry, item: Item) -> bool:
    return registry.kind(item.key).off(item)
