"""What is done with one host of many: a look, or a change. Any executor may run these, here or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from mailprov.errors import ConnectError, MailprovError, RevertedError, StalePlanError, UndecidedError
from mailprov.host import Host
from mailprov.model import HostSpec, Plan, Spec
from mailprov.passwords import initial_hash
from mailprov.plan import supplied
from mailprov.planfile import Claim, claim, require
from mailprov.roles import mailhost
from mailprov.rollout import Result, Verdict
from mailprov.survey import Survey, survey
from mailprov.verbs import console
from mailprov.verbs.heard import Heard
from mailprov.verbs.session import session

Supply = Callable[[Spec, Plan], Spec]
"""the declaration with the passwords that a plan needs: those that are generated are kept elsewhere"""


@dataclass(frozen=True, slots=True)
class Look:
    """One host's plan, and what it claims: by that it is known again when it is carried out."""

    plan: Plan
    claim: Claim


def look(spec: Spec, declared: HostSpec) -> Look | MailprovError:
    """The plan for one host, or why there is none."""
    try:
        with session(declared) as host:
            return looked(survey(spec, declared, host), host)
    except MailprovError as error:
        error.where = error.where or declared.name
        return error


def looked(found: Survey, host: Host) -> Look:
    """What was found on `host`, as it is told."""
    return Look(found.plan, claim(found.plan, host.identity, found.seen))


def change(
    spec: Spec, declared: HostSpec, kept: Claim, supply: Supply | None = None, heard: Heard | None = None
) -> Result:
    """Look at one host again, carry out its plan if that is the one that was agreed to, and say what became of it.

    `heard` gets to know what the host says meanwhile. A host that is as declared by now is unchanged: what was cut off
    elsewhere can be run again.
    """
    from mailprov.verbs.transact import transact

    begun, changes, handed = time.monotonic(), len(kept.changes), False
    try:
        with session(declared) as host:
            found = survey(spec, declared, host)
            require(kept, looked(found, host).claim)
            if found.plan.empty:
                return _unchanged(declared.name, begun, told=changes > 0)
            if supply is not None:
                spec = supply(spec, found.plan)
                found = with_passwords(found, spec, declared)
            handed, tell = True, _quietly(declared.name)
            try:
                transact(found, spec, declared, host, tell, heard)
            except StalePlanError as error:
                again = survey(spec, declared, host)
                if again.plan.empty:
                    return _unchanged(declared.name, begun, told=True)
                # What was cut off there has been settled: nothing is done now that was not agreed to.
                if not error.settled or not {*again.plan.dangers} <= {*found.plan.dangers}:
                    raise
                transact(again, spec, declared, host, tell, heard)
    except MailprovError as error:
        error.where = error.where or declared.name
        made = verdict(error, handed=handed)
        console.say(f"  {declared.name}: {made}\nError: {error}", "bad")
        return Result(declared.name, made, changes, time.monotonic() - begun, error)
    seconds = time.monotonic() - begun
    console.say(f"  {declared.name}: applied in {seconds:.1f} s", "good")
    return Result(declared.name, Verdict.APPLIED, changes, seconds)


def _unchanged(name: str, begun: float, *, told: bool) -> Result:
    if told:
        console.say(f"  {name}: unchanged, it is as declared already", "good")
    return Result(name, Verdict.UNCHANGED, 0, time.monotonic() - begun)


def with_passwords(found: Survey, spec: Spec, declared: HostSpec) -> Survey:
    """What was found, with the passwords that `spec` holds by now. Raises StalePlanError where it asks for more."""
    desired = mailhost.desired(spec, declared, found.plan.facts, initial_hash)
    return replace(found, plan=supplied(found.plan, desired))


def verdict(error: MailprovError, *, handed: bool) -> Verdict:
    """What an error says of a host; `handed`: whether the work had been handed over."""
    if isinstance(error, RevertedError):
        return Verdict.REVERTED
    # From then on, a lost connection says nothing about how it ended.
    undecided = isinstance(error, UndecidedError) or (handed and isinstance(error, ConnectError))
    return Verdict.UNKNOWN if undecided else Verdict.FAILED


def _quietly(name: str) -> Callable[[str, str], None]:
    """Among many hosts only what is not well is told, with the host's name."""

    def tell(line: str, style: str) -> None:
        if style in ("warn", "bad"):
            console.say(f"  {name}: {line.strip()}", style)

    return tell
