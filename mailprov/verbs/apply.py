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
    MailprovError,
    StalePlanError,
)
from mailprov.host import Host
from mailprov.model import HostSpec, Plan, Spec
from mailprov.plan import prints
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
from mailprov.verbs.work import bound, unmoved, verdict


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


def apply(file: Path | None, limit: Sequence[str], kept: Path | None, how: How) -> Exit:
    """Plan (or take the plan that was kept), ask, and change host by host, batch by batch; exit 7 when some failed.

    `file` is the declaration; None: the one that the kept plan was made from.
    """
    size(how.pace.batch, 1)  # an error now, and not when passwords have been made
    plan = planfile.load(kept.read_bytes(), str(kept)) if kept else None
    file = file or Path(plan.declaration if plan else "mail.yaml")
    spec = load(file)
    where = folder(file, how.handout)
    handing = Handing(where)
    parts = _parts(plan, str(kept), spec, limit) if plan else {}
    chosen = share([spec.hosts[name] for name in sorted(parts)] if plan else hosts(spec, limit), how.shard)
    remind(where)
    if not chosen:
        console.say("nothing to do: it is for no host", "warn")
    if len(chosen) == 1 and how.executor == THREADS:
        results = [_alone(spec, chosen[0], parts.get(chosen[0].name), how, handing)]
    else:
        runner = Runner(file, how.executor, where.path, spec=spec)
        with runner.heard.interruptible():
            results = _fleet(runner, chosen, parts, how, handing)
    handing.settle(results)
    looking.tell_results(results, how.form)
    return worst([result.error for result in results if result.error], len(chosen))


def _parts(plan: planfile.PlanFile, kept: str, spec: Spec, limit: Sequence[str]) -> Mapping[str, planfile.Kept]:
    """What a kept plan holds for its own hosts, and for no other. Raises StalePlanError where one is gone."""
    wanted = chosen_names(spec, limit)
    parts = {part.plan.host: part for part in plan.hosts if not limit or part.plan.host in wanted}
    if wanted - parts.keys():
        held = ", ".join(part.plan.host for part in plan.hosts) or "no host"
        raise MailprovError("the plan is not for all of these hosts", where=kept, why=f"it is for {held}")
    if gone := parts.keys() - spec.hosts.keys():
        raise StalePlanError(
            "the declaration changed since the plan was made; nothing was touched",
            where=kept,
            why=f"not declared any more: {rows.some(sorted(gone))}",
            cure="plan again",
        )
    return parts


# --- one host, on one connection


def _alone(spec: Spec, declared: HostSpec, part: planfile.Kept | None, how: How, handing: Handing) -> Result:
    begun = time.monotonic()
    changes = 0
    heard = Heard()
    try:
        with heard.interruptible(), session(declared) as host:
            if part is not None:
                found = bound(spec, declared, host.identity, part)
                if part.plan.empty:
                    unmoved(spec, declared, host, part)
            else:
                with console.doing(f"looking at {declared.name}"):
                    found = survey(spec, declared, host)
            changes = len(found.plan.changes)
            one(found, spec, declared, host, how.consent, handing, err=how.form != "text", heard=heard)
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
    err: bool = False,
    heard: Heard | None = None,
) -> None:
    """Show what was found on one host (on stderr, if wanted), ask, generate passwords, and apply it.

    Raises ConsentError when nobody agreed, MailprovError when passwords cannot be kept, and the errors of
    mailprov.apply.apply.
    """
    shown = noted(spec, [found.plan], handing.where) if handing.where else [found.plan]
    console.show(text.plan(shown[0], details=consent.details), err=err)
    if found.plan.empty:
        return
    agree_to([found.plan], consent, f"Apply {len(found.plan.changes)} changes to {declared.name}?")
    begun = time.monotonic()
    supplied = handing.supply(spec, [found.plan])
    if supplied is not spec:
        part = planfile.Kept(found.plan, host.identity, prints(found.plan.desired), found.seen)
        found = bound(supplied, declared, host.identity, part)
    transact(found, supplied, declared, host, console.say, heard)
    console.show([Line(f"  applied in {time.monotonic() - begun:.1f} s; {effects(found.plan)}", "good")], err=err)


# --- a fleet: look at all, ask once, change batch by batch


def _fleet(
    runner: Runner, chosen: Sequence[HostSpec], parts: Mapping[str, planfile.Kept], how: How, handing: Handing
) -> list[Result]:
    decided: dict[str, Result] = {}
    declared_by_name = {declared.name: declared for declared in chosen}
    if parts:
        # That there is nothing to do for them was true when the plan was made.
        still = [declared for declared in chosen if parts[declared.name].plan.empty]
        decided = {result.host: result for result in runner.change(still, parts)} if still else {}
    else:
        with console.doing(f"looking at {len(chosen)} hosts"):
            found = runner.look(chosen)
        seen = {declared.name: each for declared, each in zip(chosen, found, strict=True)}
        parts = {name: each for name, each in seen.items() if not isinstance(each, MailprovError)}
        for name, error in seen.items():
            if isinstance(error, MailprovError):
                console.say(f"Error: {error}", "bad")
                decided[name] = Result(name, Verdict.FAILED, error=error)
    plans = [parts[declared.name].plan for declared in chosen if declared.name in parts]
    shown = noted(runner.spec, plans, handing.where) if handing.where else plans
    console.show(text.plans(shown, details=how.consent.details), err=how.form != "text")
    changed = [plan for plan in plans if not plan.empty]
    unchanged = {plan.host: Result(plan.host, Verdict.UNCHANGED) for plan in plans if plan.empty}
    decided = unchanged | decided
    if changed and failures(decided.values()) <= how.pace.max_failures:
        agree_to(changed, how.consent, f"Apply {sum(len(p.changes) for p in changed)} changes to {len(changed)} hosts?")
        runner = replace(runner, spec=handing.supply(runner.spec, changed))

    def change(batch: tuple[str, ...]) -> list[Result]:
        if not runner.heard.stopped:
            console.say(f"now {rows.some(batch, 8)}", "head")
        try:
            return runner.change([declared_by_name[name] for name in batch], parts)
        except MailprovError as error:  # nobody is there to do it
            console.say(f"Error: {error}", "bad")
            return [Result(name, Verdict.WAITING, error=error) for name in batch]

    results = roll_out([plan.host for plan in changed], how.pace, decided, change)
    return [results[declared.name] for declared in chosen]


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
