"""What is done with one host of many: a look, or a change. Any executor may run these, here or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from mailprov import planfile
from mailprov.apply import stale
from mailprov.errors import ConnectError, MailprovError, RevertedError, StalePlanError, UndecidedError
from mailprov.host import Host
from mailprov.model import HostSpec, Spec
from mailprov.passwords import initial_hash
from mailprov.plan import prints
from mailprov.planfile import Kept
from mailprov.roles import mailhost
from mailprov.rollout import Result, Verdict
from mailprov.survey import Survey, script, survey
from mailprov.verbs import console
from mailprov.verbs.heard import Heard
from mailprov.verbs.session import session


def look(spec: Spec, declared: HostSpec) -> Kept | MailprovError:
    """The plan for one host, or why there is none."""
    try:
        with session(declared) as host:
            found = survey(spec, declared, host)
            return Kept(found.plan, host.identity, prints(found.plan.desired), found.seen)
    except MailprovError as error:
        error.where = error.where or declared.name
        return error


def change(spec: Spec, declared: HostSpec, part: Kept, heard: Heard | None = None) -> Result:
    """Carry out one host's plan, and say what became of it; `heard` gets to know what the host says meanwhile.

    A host for which the plan holds nothing, or that is as declared by now, must be seen to be so: what was cut off
    elsewhere can be run again.
    """
    from mailprov.verbs.transact import transact

    begun, changes, handed = time.monotonic(), len(part.plan.changes), False
    try:
        with session(declared) as host:
            found = bound(spec, declared, host.identity, part)
            if part.plan.empty:
                unmoved(spec, declared, host, part)
                return Result(declared.name, Verdict.UNCHANGED, 0, time.monotonic() - begun)
            handed = True
            try:
                transact(found, spec, declared, host, _quietly(declared.name), heard)
            except StalePlanError as moved:
                try:
                    unmoved(spec, declared, host, part)
                except StalePlanError:
                    raise moved from None
                console.say(f"  {declared.name}: unchanged, it is as declared already", "good")
                return Result(declared.name, Verdict.UNCHANGED, 0, time.monotonic() - begun)
    except MailprovError as error:
        error.where = error.where or declared.name
        made = verdict(error, handed=handed)
        console.say(f"  {declared.name}: {made}\nError: {error}", "bad")
        return Result(declared.name, made, changes, time.monotonic() - begun, error)
    seconds = time.monotonic() - begun
    console.say(f"  {declared.name}: applied in {seconds:.1f} s", "good")
    return Result(declared.name, Verdict.APPLIED, changes, seconds)


def bound(spec: Spec, declared: HostSpec, identity: str, part: Kept) -> Survey:
    """A kept plan as a survey, without a look: the host itself refuses it when it is stale.

    Raises StalePlanError where the declaration or the host's key is not the plan's.
    """
    if identity != part.identity:
        why = f"it shows the key {identity or '(none)'}, the plan is for {part.identity or '(none)'}"
        raise StalePlanError("this is not the host that the plan was made for", where=declared.name, why=why)
    desired = mailhost.desired(spec, declared, part.plan.facts, initial_hash)
    return Survey(planfile.bind(part, desired), script(spec, declared), part.seen)


def unmoved(spec: Spec, declared: HostSpec, host: Host, part: Kept) -> None:
    """Look at a host for which a kept plan holds nothing to do. Raises StalePlanError where there is something now."""
    now = survey(spec, declared, host)
    if not now.plan.empty or now.plan.facts.machine_id != part.plan.facts.machine_id:
        raise stale(part.seen, now.seen, declared.name)


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
