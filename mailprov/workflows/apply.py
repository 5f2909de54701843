"""Plans made, agreed to and carried out: on one host over one connection, or through a fleet batch by batch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailprov.connection import Host
from mailprov.engine import saved_plan
from mailprov.engine.risks import require_consent
from mailprov.engine.rollout import HostStatus, Result, RolloutPolicy, failures, roll_out, size
from mailprov.engine.saved_plan import Claim
from mailprov.errors import MailprovError, StalePlanError
from mailprov.model import HostSpec, Plan, Spec
from mailprov.observer import (
    Applied,
    BatchBegun,
    Begun,
    Failed,
    Observer,
    Planned,
    SettledFirst,
)
from mailprov.workflows import saved_plan as files
from mailprov.workflows.at_work import AtWork
from mailprov.workflows.attempt import Attempt
from mailprov.workflows.fleet import THREADS, Fleet
from mailprov.workflows.generated_passwords import GeneratedPasswords, folder, noted, remind
from mailprov.workflows.host_run import HostPlan, host_plan, with_passwords
from mailprov.workflows.open_hosts import OpenHosts
from mailprov.workflows.run_plan import run_plan
from mailprov.workflows.secrets import APPLY, PLAN, require
from mailprov.workflows.selection import hosts, load, share
from mailprov.workflows.session import session
from mailprov.workflows.survey import PlanResult, survey


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
    if len(chosen) == 1 and order.executor == THREADS:
        results = [_alone(spec, chosen[0], claims, order, passwords, observer)]
    else:
        with closing(OpenHosts()) as opened:
            fleet = Fleet(
                order.file,
                order.executor,
                where.path,
                spec=spec,
                observer=observer,
                opened=opened,
                to_the_letter=claims is not None,
            )
            with fleet.at_work.interruptible():
                results = _fleet(fleet, chosen, claims, order, passwords)
    passwords.settle(results, spec)
    return results


# --- one host, on one connection


def _alone(
    spec: Spec,
    declared: HostSpec,
    claims: Mapping[str, Claim] | None,
    order: Order,
    passwords: GeneratedPasswords,
    observer: Observer,
) -> Result:
    at_work = AtWork()
    attempt, kept = Attempt(declared.name, at_work), claims[declared.name] if claims else None
    with attempt, at_work.interruptible(), session(declared) as host:
        for again in (False, True):
            with observer.during(f"looking at {declared.name}"):
                found = survey(spec, declared, host)
            attempt.changes = len(found.plan.changes)
            attempt.handed = attempt.changes > 0
            try:
                one(found, spec, declared, host, order.consents, passwords, observer, kept=kept, at_work=at_work)
                break
            except StalePlanError as error:
                if again or not error.settled:
                    raise
                observer.tell(SettledFirst(declared.name))
    if attempt.error is not None:
        observer.tell(Failed(attempt.error))
    elif not attempt.changes:
        attempt.status = HostStatus.UNCHANGED
    return attempt.result


def one(
    found: PlanResult,
    spec: Spec,
    declared: HostSpec,
    host: Host,
    consents: frozenset[str],
    passwords: GeneratedPasswords,
    observer: Observer,
    *,
    kept: Claim | None = None,
    at_work: AtWork | None = None,
) -> None:
    """Tell what was found on one host, ask, generate passwords, and apply it.

    Raises StalePlanError when that is not what was `kept`, ConsentError when nobody agreed, MailprovError when
    passwords cannot be kept, and the errors of hand_over.apply.
    """
    shown = noted(spec, [found.plan], passwords.where) if passwords.where else [found.plan]
    observer.tell(Planned(shown))
    if kept is not None:
        saved_plan.require(kept, host_plan(found, host).claim)
    if found.plan.empty:
        return
    agree_to([found.plan], consents, f"Apply {len(found.plan.changes)} changes to {declared.name}?", observer)
    begun = time.monotonic()
    supplied = passwords.supply(spec, [found.plan])
    if supplied is not spec:
        found = with_passwords(found, supplied, declared)
    run_plan(found, supplied, declared, host, observer, at_work)
    observer.tell(Applied(found.plan, time.monotonic() - begun))


def agree_to(
    plans: Sequence[Plan], consents: frozenset[str], question: str, observer: Observer, act: str = "applied"
) -> None:
    """Ask before plans are carried out. Raises ConsentError where a risk was not consented to, or nobody agreed."""
    require_consent(plans, consents)
    where = plans[0].host if len(plans) == 1 else f"{len(plans)} hosts"
    observer.agree(question, where, act=act, fix="look at what is shown, then add --yes")


# --- a fleet: look at all, ask once, change batch by batch


def _fleet(
    fleet: Fleet,
    chosen: Sequence[HostSpec],
    claims: Mapping[str, Claim] | None,
    order: Order,
    passwords: GeneratedPasswords,
) -> list[Result]:
    observer, declared_by_name = fleet.observer, {declared.name: declared for declared in chosen}
    with observer.during(f"looking at {len(chosen)} hosts"):
        found = dict(zip(declared_by_name, fleet.look(chosen), strict=True))
    seen = {name: each for name, each in found.items() if not isinstance(each, MailprovError)}
    plans = [each.plan for each in seen.values()]
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
        agree_to(changed, order.consents, f"Apply {count} changes to {len(changed)} hosts?", observer)
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
            saved_plan.require(claims[name], each.claim)
        except StalePlanError as error:
            found[name] = error
    return found
