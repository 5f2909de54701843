"""Plans made, agreed to and carried out: hosts are looked at, one question, then batch by batch, be it one host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailprov.engine.risks import require_consent
from mailprov.engine.rollout import HostStatus, Result, RolloutPolicy, failures, roll_out, size
from mailprov.engine.saved_plan import Claim
from mailprov.errors import LockedError, MailprovError, StalePlanError
from mailprov.model import HostSpec, Plan
from mailprov.observer import BatchBegun, Begun, Failed, Observer, Planned
from mailprov.workflows import saved_plan as files
from mailprov.workflows.fleet import HERE, THREADS, Fleet
from mailprov.workflows.generated_passwords import GeneratedPasswords, folder, noted, remind
from mailprov.workflows.host_run import HostPlan
from mailprov.workflows.open_hosts import OpenHosts
from mailprov.workflows.secrets import APPLY, PLAN, require
from mailprov.workflows.selection import hosts, load, share


@dataclass(frozen=True, slots=True)
class Order:
    """What to apply, and how.

    `consents` are the risks that were agreed to beforehand. `kept` is the file of a kept plan: a host whose plan is
    another one now is not touched. `executor` is "threads" or "dask://HOST:PORT". `handout` is the folder for generated
    passwords, where it is not the one beside the declaration.
    """

    file: Path
    limit: Sequence[str] = ()
    kept: Path | None = None
    consents: frozenset[str] = frozenset()
    policy: RolloutPolicy = field(default_factory=RolloutPolicy)
    shard: str = ""
    executor: str = THREADS
    handout: Path | None = None


def apply(order: Order, observer: Observer) -> list[Result]:
    """What became of each host, in name order. Raises SpecError, MailprovError, ConsentError, and InterruptionError."""
    size(order.policy.batch, 1)  # an error now, and not when passwords have been made
    plan = files.load(order.kept) if order.kept else None
    spec = load(order.file, APPLY, observer)
    where = folder(order.file, order.handout)
    passwords = GeneratedPasswords(where, observer)
    claims = files.claims(plan, str(order.kept), spec, order.limit) if plan else None
    wanted = hosts(spec, order.limit) if claims is None else [spec.hosts[name] for name in sorted(claims)]
    chosen = share(wanted, order.shard)
    require(spec, chosen, PLAN)
    remind(where, observer)
    observer.tell(Begun([declared.name for declared in chosen]))
    with closing(OpenHosts()) as opened:
        fleet = Fleet(
            order.file,
            HERE if len(chosen) == 1 and order.executor == THREADS else order.executor,
            where.path,
            spec=spec,
            observer=observer,
            opened=opened,
            to_the_letter=claims is not None,
            supply=passwords.supply_one,
        )
        with fleet.at_work.interruptible():
            results = _carry_out(fleet, chosen, claims, order, passwords)
    passwords.settle(results, spec)
    return results


def agree_to(
    plans: Sequence[Plan], consents: frozenset[str], question: str, observer: Observer, act: str = "applied"
) -> None:
    """Ask before plans are carried out. Raises ConsentError where a risk was not consented to, or nobody agreed."""
    require_consent(plans, consents)
    observer.agree(question, _hosts(plans), act=act, fix="look at what is shown, then add --yes")


def _hosts(each: Sequence[Plan] | Sequence[HostSpec]) -> str:
    """The one host of them by its name, or how many there are."""
    if len(each) != 1:
        return f"{len(each)} hosts"
    (one,) = each
    return one.host if isinstance(one, Plan) else one.name


def _carry_out(
    fleet: Fleet,
    chosen: Sequence[HostSpec],
    claims: Mapping[str, Claim] | None,
    order: Order,
    passwords: GeneratedPasswords,
) -> list[Result]:
    observer, declared_by_name = fleet.observer, {declared.name: declared for declared in chosen}
    with observer.during(f"looking at {_hosts(chosen)}"):
        found = dict(zip(declared_by_name, fleet.look(chosen), strict=True))
    seen = {name: each for name, each in found.items() if not isinstance(each, MailprovError)}
    plans = [each.plan for each in seen.values()]
    if plans:
        observer.tell(Planned(noted(fleet.spec, plans, passwords.where) if passwords.where else plans))
    errors = {name: each for name, each in found.items() if isinstance(each, MailprovError)}
    errors |= _stale(claims, seen) if claims is not None else {}
    decided = {name: Result(name, HostStatus.UNCHANGED) for name, each in seen.items() if each.plan.empty}
    for name, error in errors.items():
        observer.tell(Failed(error))
        decided[name] = Result(name, HostStatus.FAILED, error=error)
    changed = [plan for plan in plans if plan.host not in decided]
    if changed and failures(decided.values()) <= order.policy.max_failures:
        count = sum(len(plan.changes) for plan in changed)
        agree_to(changed, order.consents, f"Apply {count} changes to {_hosts(changed)}?", observer)
        fleet = replace(fleet, spec=passwords.supply(fleet.spec, changed))

    def change(batch: tuple[str, ...]) -> list[Result]:
        if not fleet.at_work.stopped:
            observer.tell(BatchBegun(batch))
        try:
            agreed = {name: seen[name].claim for name in batch}
            return fleet.change([declared_by_name[name] for name in batch], agreed)
        except MailprovError as error:  # nobody is there to do it
            observer.tell(Failed(error))
            return [Result(name, HostStatus.WAITING, error=error) for name in batch]

    results = roll_out([plan.host for plan in changed], order.policy, decided, change)
    return [results[declared.name] for declared in chosen]


def _stale(claims: Mapping[str, Claim], seen: Mapping[str, HostPlan]) -> Mapping[str, MailprovError]:
    """By host, why its plan is not the one that was kept."""
    found: dict[str, MailprovError] = {}
    for name, each in seen.items():
        try:
            each.require(claims[name])
        except (LockedError, StalePlanError) as error:
            found[name] = error
    return found
