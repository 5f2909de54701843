"""What is done with each host: a look, or a change. Any executor may run these, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from mailprov.connection import Host
from mailprov.credentials.passwords import initial_hash
from mailprov.engine.plan import supplied
from mailprov.engine.rollout import HostStatus, Result
from mailprov.engine.saved_plan import Claim, claim, require
from mailprov.errors import MailprovError, StalePlanError, locked
from mailprov.model import HostSpec, Plan, Spec
from mailprov.observer import Ended, Observer, SettledFirst
from mailprov.roles import mailhost
from mailprov.workflows.at_work import AtWork
from mailprov.workflows.attempt import Attempt
from mailprov.workflows.open_hosts import OpenHost, OpenHosts
from mailprov.workflows.session import begin
from mailprov.workflows.survey import PlanResult, survey

Supply = Callable[[Spec, Plan], Spec]
"""the declaration with the passwords that a plan needs: those that are generated are kept elsewhere"""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host's plan, and what it claims: by that it is known again when it is carried out."""

    plan: Plan
    claim: Claim
    holder: str = ""

    def require(self, kept: Claim) -> None:
        """Whether this is what was `kept`. Raises StalePlanError as `saved_plan.require` does; and LockedError where
        an apply is at work there: what it has changed so far may go again."""
        try:
            require(kept, self.claim)
        except StalePlanError:
            if self.holder:
                raise locked(self.plan.host, self.holder) from None
            raise


def plan_host(spec: Spec, declared: HostSpec, keep: OpenHosts | None = None) -> HostPlan | MailprovError:
    """The plan for one host, or why there is none; `keep` gets the session where there is something to do."""
    try:
        with ExitStack() as ends:
            host = begin(declared)
            ends.callback(host.close)
            found = survey(spec, declared, host)
            if keep and not found.plan.empty and keep.keep(declared.name, OpenHost(host, found, spec)):
                ends.pop_all()
            return host_plan(found, host)
    except MailprovError as error:
        error.at(declared.name)
        return error


def host_plan(found: PlanResult, host: Host) -> HostPlan:
    """What was found on `host`, as it is told."""
    return HostPlan(found.plan, claim(found.plan, host.identity, found.seen), found.holder)


def apply_host(
    spec: Spec,
    declared: HostSpec,
    kept: Claim,
    observer: Observer,
    supply: Supply | None = None,
    at_work: AtWork | None = None,
    to_the_letter: bool = False,
    opened: OpenHosts | None = None,
) -> Result:
    """Carry out the plan of one host if it is the one that was agreed to, and say what became of it.

    Where the session is still open in which it was made, the host itself knows whether that is so: it compares what it
    is with what the plan was made from. Else it is looked at again.

    `supply` gives passwords for accounts that it turns out to need. `at_work` gets to know what the host says
    meanwhile. A host that is as declared by now is unchanged: what was cut off elsewhere can be run again.
    `to_the_letter`: only what `kept` says is done, also where the host was settled first.
    """
    from mailprov.workflows.run_plan import run_plan

    at_work = at_work or AtWork()
    attempt = Attempt(declared.name, at_work, len(kept.changes))
    done: Plan | None = None
    with attempt, ExitStack() as ends, at_work.interruptible():
        host, found = _again(spec, declared, opened, ends)
        host_plan(found, host).require(kept)
        agreed, settled = frozenset(found.plan.risks), False
        while not found.plan.empty:
            if supply is not None and (more := supply(spec, found.plan)) is not spec:
                spec, found = more, with_passwords(found, more, declared)
            attempt.handed, done = True, found.plan
            try:
                run_plan(found, spec, declared, host, observer, at_work)
                break
            except StalePlanError as error:
                found = survey(spec, declared, host)
                # What was cut off there has been settled, once: nothing is done now that was not agreed to.
                again = error.settled and not settled and not to_the_letter and agreed.issuperset(found.plan.risks)
                if not (found.plan.empty or again):
                    raise
            settled = True
            if not found.plan.empty:
                observer.tell(SettledFirst(found.plan))
        if found.plan.empty:
            attempt.status, attempt.changes = HostStatus.UNCHANGED, 0
    observer.tell(Ended(attempt.result, len(kept.changes) > 0, done))
    return attempt.result


def _again(spec: Spec, declared: HostSpec, opened: OpenHosts | None, ends: ExitStack) -> tuple[Host, PlanResult]:
    """A session with the host, which `ends` with that, and what was found there."""
    before = opened.take(declared.name) if opened else None
    host = before.host if before else begin(declared)
    ends.callback(host.close)
    if before is None:
        return host, survey(spec, declared, host)
    # Passwords that were generated since are in the one declaration, and not in the other.
    return host, before.found if spec is before.spec else with_passwords(before.found, spec, declared)


def with_passwords(found: PlanResult, spec: Spec, declared: HostSpec) -> PlanResult:
    """What was found, with the passwords that `spec` holds by now. Raises StalePlanError where it asks for more."""
    desired = mailhost.desired(spec, declared, found.plan.facts, initial_hash)
    return replace(found, plan=supplied(found.plan, desired))
