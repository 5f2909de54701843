"""mailprov apply."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mailprov import planfile
from mailprov.errors import (
    ConsentError,
    Exit,
    InterruptionError,
    KeptPlanError,
    MailprovError,
    StalePlanError,
)
from mailprov.host import Host
from mailprov.model import HostSpec, Plan, Spec
from mailprov.planfile import Claim
from mailprov.report import effects, text
from mailprov.report.text import Line
from mailprov.resources import rows
from mailprov.rollout import Pace, Result, Verdict, failures, roll_out, size
from mailprov.survey import Survey, survey
from mailprov.verbs import console
from mailprov.verbs import plan as looking
from mailprov.verbs.handing import Handing, folder, noted, remind
from mailprov.verbs.heard import Heard
from mailprov.verbs.runner import THREADS, Runner
from mailprov.verbs.session import chosen_names, hosts, load, session, share, worst
from mailprov.verbs.transact import transact
from mailprov.verbs.work import Look, looked, verdict, with_passwords


@dataclass(frozen=True, slots=True)
class Consent:
    """What was agreed to beforehand: `yes` to the question, `flags` to dangers; `details` is how it is shown."""

    yes: bool = False
    flags: frozenset[str] = frozenset()
    details: bool = False


@dataclass(frozen=True, slots=True)
class How:
    """How hosts are changed, and the form of the report ("text", "json" or "markdown")."""

    consent: Consent
    pace: Pace
    form: str = "text"
    shard: str = ""
    executor: str = THREADS
    handout: Path | None = None


def apply(file: Path, limit: Sequence[str], kept: Path | None, how: How) -> Exit:
    """Plan, ask, and change host by host, batch by batch; exit 7 when some failed.

    `kept` is the file of a kept plan: a host whose plan is another one now is not touched.
    """
    size(how.pace.batch, 1)  # an error now, and not when passwords have been made
    plan = _kept(kept) if kept else None
    spec = load(file)
    where = folder(file, how.handout)
    handing = Handing(where)
    claims = _claims(plan, str(kept), spec, limit) if plan else None
    wanted = hosts(spec, limit) if claims is None else [spec.hosts[name] for name in sorted(claims)]
    chosen = share(wanted, how.shard)
    remind(where)
    if not chosen:
        console.say("nothing to do: it is for no host", "warn")
    if len(chosen) == 1 and how.executor == THREADS:
        results = [_alone(spec, chosen[0], claims, how, handing)]
    else:
        runner = Runner(file, how.executor, where.path, spec=spec)
        with runner.heard.interruptible():
            results = _fleet(runner, chosen, claims, how, handing)
    handing.settle(results)
    looking.tell_results(results, how.form)
    return _exit(results)


def _kept(file: Path) -> planfile.PlanFile:
    """The plan in `file`, which is opened once. Raises KeptPlanError where there is none."""
    from mailprov.spec.desk import Wrong
    from mailprov.spec.files import contents

    try:
        data = contents(file, planfile.LIMIT)
    except Wrong as wrong:
        raise KeptPlanError(wrong.what, cure=wrong.cure) from None
    return planfile.load(data, str(file))


def _claims(plan: planfile.PlanFile, kept: str, spec: Spec, limit: Sequence[str]) -> Mapping[str, Claim]:
    """What a kept plan claims of its own hosts, and of no other. Raises StalePlanError where they are others now."""
    wanted = chosen_names(spec, limit)
    claims = {each.host: each for each in plan.hosts}
    if wanted - claims.keys():
        held = rows.some([planfile.plain(name) for name in sorted(claims)], 8) or "no host"
        raise MailprovError("the plan is not for all of these hosts", where=kept, why=f"it is for {held}")
    gone, new = claims.keys() - spec.hosts.keys(), spec.hosts.keys() - claims.keys()
    if gone or plan.partial != bool(new):
        why = f"declared since: {rows.some(sorted(new))}" if new else "it says that it left hosts out"
        if gone:
            why = f"not declared any more: {rows.some([planfile.plain(name) for name in sorted(gone)])}"
        what = "the declaration changed since the plan was made; nothing was touched"
        raise StalePlanError(what, where=kept, why=why, cure="plan again")
    return {name: each for name, each in claims.items() if not limit or name in wanted}


def _exit(results: Sequence[Result]) -> Exit:
    """The worst of what became of the hosts; where none was touched, and only because plans are stale, just that."""
    failed = [result.error for result in results if result.error]
    untouched = all(result.verdict in (Verdict.UNCHANGED, Verdict.FAILED, Verdict.WAITING) for result in results)
    own = [result.error for result in results if result.error and result.verdict is not Verdict.WAITING]
    if own and untouched and all(isinstance(error, StalePlanError) for error in own):
        return Exit.STALE
    return worst(failed, len(results))


# --- one host, on one connection


def _alone(spec: Spec, declared: HostSpec, claims: Mapping[str, Claim] | None, how: How, handing: Handing) -> Result:
    begun = time.monotonic()
    changes = 0
    heard = Heard()
    try:
        with heard.interruptible(), session(declared) as host:
            with console.doing(f"looking at {declared.name}"):
                found = survey(spec, declared, host)
            changes = len(found.plan.changes)
            kept, err = claims[declared.name] if claims else None, how.form != "text"
            try:
                one(found, spec, declared, host, how.consent, handing, kept=kept, err=err, heard=heard)
            except StalePlanError as error:
                if not error.settled:
                    raise
                console.say("  an apply that was cut off has been settled there; looking again", "warn")
                found = survey(spec, declared, host)
                changes = len(found.plan.changes)
                one(found, spec, declared, host, how.consent, handing, kept=kept, err=err, heard=heard)
    except InterruptionError as error:
        console.say(f"Error: {error}", "bad")
        return Result(declared.name, heard.verdict(declared.name), changes, time.monotonic() - begun, error)
    except MailprovError as error:
        error.where = error.where or declared.name
        console.say(f"Error: {error}", "bad")
        return Result(declared.name, verdict(error, handed=changes > 0), changes, time.monotonic() - begun, error)
    made = Verdict.APPLIED if changes else Verdict.UNCHANGED
    return Result(declared.name, made, changes, time.monotonic() - begun)


def one(
    found: Survey,
    spec: Spec,
    declared: HostSpec,
    host: Host,
    consent: Consent,
    handing: Handing,
    *,
    kept: Claim | None = None,
    err: bool = False,
    heard: Heard | None = None,
) -> None:
    """Show what was found on one host (on stderr, if wanted), ask, generate passwords, and apply it.

    Raises StalePlanError when that is not what was `kept`, ConsentError when nobody agreed, MailprovError when
    passwords cannot be kept, and the errors of mailprov.apply.apply.
    """
    shown = noted(spec, [found.plan], handing.where) if handing.where else [found.plan]
    console.show(text.plan(shown[0], details=consent.details), err=err)
    if kept is not None:
        planfile.require(kept, looked(found, host).claim)
    if found.plan.empty:
        return
    agree_to([found.plan], consent, f"Apply {len(found.plan.changes)} changes to {declared.name}?")
    begun = time.monotonic()
    supplied = handing.supply(spec, [found.plan])
    if supplied is not spec:
        found = with_passwords(found, supplied, declared)
    transact(found, supplied, declared, host, console.say, heard)
    console.show([Line(f"  applied in {time.monotonic() - begun:.1f} s; {effects(found.plan)}", "good")], err=err)


# --- a fleet: look at all, ask once, change batch by batch


def _fleet(
    runner: Runner, chosen: Sequence[HostSpec], claims: Mapping[str, Claim] | None, how: How, handing: Handing
) -> list[Result]:
    declared_by_name = {declared.name: declared for declared in chosen}
    with console.doing(f"looking at {len(chosen)} hosts"):
        found = dict(zip(declared_by_name, runner.look(chosen), strict=True))
    seen = {name: each for name, each in found.items() if not isinstance(each, MailprovError)}
    plans = [each.plan for each in seen.values()]
    shown = noted(runner.spec, plans, handing.where) if handing.where else plans
    console.show(text.plans(shown, details=how.consent.details), err=how.form != "text")
    errors = {name: each for name, each in found.items() if isinstance(each, MailprovError)}
    errors |= _stale(claims, seen) if claims is not None else {}
    decided = {name: Result(name, Verdict.UNCHANGED) for name, each in seen.items() if each.plan.empty}
    for name, error in errors.items():
        console.say(f"Error: {error}", "bad")
        decided[name] = Result(name, Verdict.FAILED, error=error)
    changed = [plan for plan in plans if plan.host not in decided]
    if changed and failures(decided.values()) <= how.pace.max_failures:
        agree_to(changed, how.consent, f"Apply {sum(len(p.changes) for p in changed)} changes to {len(changed)} hosts?")
        runner = replace(runner, spec=handing.supply(runner.spec, changed))

    def change(batch: tuple[str, ...]) -> list[Result]:
        if not runner.heard.stopped:
            console.say(f"now {rows.some(batch, 8)}", "head")
        try:
            agreed = {name: seen[name].claim for name in batch}
            return runner.change([declared_by_name[name] for name in batch], agreed)
        except MailprovError as error:  # nobody is there to do it
            console.say(f"Error: {error}", "bad")
            return [Result(name, Verdict.WAITING, error=error) for name in batch]

    results = roll_out([plan.host for plan in changed], how.pace, decided, change)
    return [results[declared.name] for declared in chosen]


def _stale(claims: Mapping[str, Claim], seen: Mapping[str, Look]) -> Mapping[str, MailprovError]:
    """By host, why its plan is not the one that was kept."""
    found: dict[str, MailprovError] = {}
    for name, each in seen.items():
        try:
            planfile.require(claims[name], each.claim)
        except StalePlanError as error:
            found[name] = error
    return found


def agree_to(plans: Sequence[Plan], consent: Consent, question: str, act: str = "applied") -> None:
    """Ask before plans are carried out, as far as that was not agreed to beforehand. Raises ConsentError."""
    missing = [(plan.host, danger) for plan in plans for danger in plan.dangers if danger.flag not in consent.flags]
    where = plans[0].host if len(plans) == 1 else f"{len(plans)} hosts"
    if missing:
        told = [danger.text if len(plans) == 1 else f"{host}: {danger.text}" for host, danger in missing]
        flags = sorted({danger.flag for _, danger in missing})
        raise ConsentError(
            "the plan is unsafe without consent; nothing was touched",
            where=where,
            why="; ".join(told[:10]) + (f"; and {len(told) - 10} more" if len(told) > 10 else ""),
            cure=f"if it is meant, add {' '.join(f'--allow-{flag}' for flag in flags)}",
        )
    if not consent.yes:
        console.agree(question, where, act=act, cure="look at what is shown, then add --yes")
