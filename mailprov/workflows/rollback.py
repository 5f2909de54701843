"""Roll-back: a state that the host has kept is planned for, agreed to and applied, as a declared one is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from mailprov import standard
from mailprov.connection import Host
from mailprov.credentials.folder import Folder
from mailprov.engine import kept_transactions, manifest, probe, rollback
from mailprov.engine.plan import detail_queries, made, plan, prints, queries, steps
from mailprov.engine.registry import PAST
from mailprov.engine.rollback import Target
from mailprov.engine.rollout import HostStatus, Result
from mailprov.engine.transaction import Work
from mailprov.errors import InterruptionError, StalePlanError
from mailprov.model import Command, HostSpec, Key, Query, some
from mailprov.model.listeners import listening
from mailprov.observer import Failed, Observer, PlannedBack, Remark, RolledBack
from mailprov.resources import certificates, files, services
from mailprov.roles import mailhost
from mailprov.roles.dovecot import CONFIGURATION
from mailprov.roles.firewall import PATH
from mailprov.roles.tls import PEM
from mailprov.workflows.apply import agree_to
from mailprov.workflows.at_work import AtWork
from mailprov.workflows.attempt import Attempt, interrupted
from mailprov.workflows.generated_passwords import GeneratedPasswords
from mailprov.workflows.hand_over import apply as carry_out
from mailprov.workflows.record import RECORD, whole
from mailprov.workflows.run_plan import answer_anew, progress, transaction_name, who
from mailprov.workflows.session import session
from mailprov.workflows.survey import PlanResult, ask, observe, refuse_unsettled, unsettled, with_risks


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """A plan that leads back, and what must hold of the host afterwards."""

    found: PlanResult
    target: Target
    validators: tuple[Command, ...]
    health: tuple[Command, ...]
    canary: bool
    daemons: tuple[str, ...]
    past: str = ""
    """"rollback to before …", where the oldest apply that is taken back was one itself"""


_ROLLBACK = "rollback to before "


def roll_back(
    chosen: Sequence[HostSpec], target: str | None, consents: frozenset[str], where: Folder, observer: Observer
) -> list[Result]:
    """What became of each host, one after another: as it was before the apply `target` (None: the last one).

    Consents are those of an apply; `where` are generated passwords. Whoever interrupts begins no other host.
    """
    results: list[Result] = []
    for declared in chosen:
        if any(isinstance(result.error, InterruptionError) for result in results):
            results.append(interrupted(declared.name))
            continue
        at_work = AtWork()
        attempt = Attempt(declared.name, at_work)
        with attempt, at_work.interruptible(), session(declared) as host:
            _one(declared, host, target, consents, GeneratedPasswords(where, observer), attempt, observer)
        if attempt.error is not None:
            observer.tell(Failed(attempt.error))
        results.append(attempt.result)
    return results


def _one(
    declared: HostSpec,
    host: Host,
    target: str | None,
    consents: frozenset[str],
    passwords: GeneratedPasswords,
    attempt: Attempt,
    observer: Observer,
) -> None:
    """One host. Raises as `look_back` and `hand_over.apply` do, and ConsentError."""
    with observer.during(f"looking at {declared.name}"):
        back = look_back(declared.name, host, target)
    found = back.found.plan
    attempt.changes = len(found.changes)
    observer.tell(PlannedBack(found, back.target.oldest.name, back.past))
    if found.empty:
        attempt.status = HostStatus.UNCHANGED
        return
    passwords.warn_of_losses(found)
    agree_to([found], consents, f"Roll {declared.name} back, {attempt.changes} changes?", observer, "rolled back")
    begun = time.monotonic()
    attempt.handed = True
    _carry_out(back, declared, host, observer, attempt.at_work or AtWork())
    passwords.take_back(found)
    observer.tell(RolledBack(found, time.monotonic() - begun))
    observer.tell(Remark("  the declaration is as it was: change it, too, or the next apply brings this back"))


# --- what it is now, and what it was


def look_back(name: str, host: Host, target: str | None) -> RollbackPlan:
    """Look at the host, read-only, and plan for what it was before the apply `target` (None: before the last).

    Raises MailprovError where there is nothing to go back to, HostError and ConnectError as survey does.
    """
    registry = standard.REGISTRY
    asked = tuple(Query(each, each) for each in (*RECORD, "kept"))
    sections = ask(host, probe.script(registry, asked)).sections
    past = whole(sections, name)
    back = kept_transactions.undone(past.entries, kept_transactions.read(sections["kept"]), target)
    questions = (*queries(registry, rollback.asked(registry, back)), Query(PAST, PAST))
    answer, seen = observe(questions, host)
    if answer[PAST].strip() != back[0].name:
        raise StalePlanError("something was applied to the host just now; nothing was touched", where=name)
    then = seen.manifest
    aim = rollback.target(registry, back, seen.live, mailhost.reads, then)
    copies = rollback.queries(registry, aim.things)
    more = ask(host, probe.script(registry, copies)).sections if copies else {}
    aim = replace(aim, things=rollback.told(registry, aim.things, more))
    differing = rollback.differences(registry, aim.things, seen)
    details = detail_queries(registry, differing)
    more = ask(host, probe.script(registry, details)).sections if details else {}
    desired = rollback.desired(registry, aim.things, seen)
    planned = plan(registry, name, seen, desired, differing, more, _warnings(aim, sections))
    if planned.empty:
        refuse_unsettled(name, sections)
    open_now = {port for _, port in listening(answer["listeners"], registry.units)}
    closing = aim.closing(open_now)
    if not (then and then.desired) and aim.oldest.former and aim.oldest.former.desired:
        planned = replace(planned, risks=tuple(mailhost.again(seen.live)))
    planned = with_risks(planned, host, open_now - closing, seen.live, answer)
    # Of what stays as it is only the effects matter.
    asked_for = {key: item for key, item in planned.desired.items() if key in aim.things}
    planned = replace(planned, desired=asked_for, managed=aim.oldest.managed)
    running = {item.name for item in desired.values() if isinstance(item, services.Service) and item.active}
    meta = next(entry.meta for entry in past.entries if entry.transaction == aim.oldest.name)
    was = _ROLLBACK + meta.partition(_ROLLBACK)[2] if _ROLLBACK in meta else ""
    serving, expected = registry.serving(desired), _expected(aim, running, closing)
    found = PlanResult(planned, probe.stable_script(registry, questions), prints(seen.live))
    return RollbackPlan(found, aim, *expected, serving, was)


def _warnings(aim: Target, sections: Mapping[str, str]) -> tuple[str, ...]:
    found = list(unsettled(sections))
    found += ["passwords that were reset, or that users have changed since, stay as they are"]
    found += ["mail that was deleted or has expired stays gone"]
    if aim.installed:
        found.append(f"packages stay installed: {', '.join(aim.installed)}")
    asked = aim.oldest.former.desired if aim.oldest.former else {}
    edited = [
        key.name
        for key, item in aim.things.items()
        if key.kind == files.KIND and item and asked.get(key, item.fingerprint) != item.fingerprint
    ]
    if edited:
        found.append(f"what somebody had changed by hand comes back, and is drift again: {some(sorted(edited))}")
    return tuple(found)


def _expected(
    aim: Target, running: set[str], closing: Set[int]
) -> tuple[tuple[Command, ...], tuple[Command, ...], bool]:
    """What must hold of the staged tree, and of what is served; whether a canary can tell the latter.

    A configuration that mailprov did not make may need what a canary has not: mail stores, sockets, other daemons.
    """
    asked = aim.oldest.former.desired if aim.oldest.former else {}
    ours = Key(files.KIND, CONFIGURATION) in asked
    serving = [daemon for daemon in standard.REGISTRY.daemons if daemon.serves]
    checked = [daemon.name for daemon in serving if daemon.name in running and (ours or daemon.checks_any)]
    validators: list[Command] = [(f"{name}_check",) for name in checked]
    tls = kept_certificate(asked)
    back_again = any(item is not None and key.name == tls for key, item in aim.things.items())
    validators += [("certificate_matches", tls, tls)] if back_again else []
    validators += [("nft", "-c", "-f", PATH)] if Key(files.KIND, PATH) in asked else []
    ports, served = aim.oldest.ports, aim.oldest.served
    health: list[Command] = [("serves_as", *listener) for listener in served]
    if aim.sure:
        closed = sorted(map(str, closing))
        health.append(("listens_as", *ports, "-", *closed) if ports else ("listens_nowhere",))
    wanted = {daemon.name for daemon in serving if Key(services.KIND, daemon.name) in asked}
    return tuple(validators), tuple(health), ours and running.issuperset(wanted)


# --- the way back


def _carry_out(back: RollbackPlan, declared: HostSpec, host: Host, observer: Observer, at_work: AtWork) -> None:
    """Have the host carry it out. Raises as `hand_over.apply`."""
    name, former, planned = transaction_name(), back.target.oldest.former, back.found.plan
    asked: Mapping[Key, str] = former.desired if former else {}
    work = Work(
        standard.REGISTRY,
        planned,
        steps(standard.REGISTRY, planned),
        back.found.ask,
        name,
        who(f"{_ROLLBACK}{back.target.oldest.name}"),
        manifest.head(name, asked, made(standard.REGISTRY, former)),
        back.validators,
        back.health,
        kept_certificate(asked),
        daemons=back.daemons,
        canary=back.canary,
    )

    def confirm(_leaf: str) -> None:
        answer_anew(name, declared, lambda: "", observer)

    carry_out(back.found.seen, work, host, on_event=at_work.follow(work, progress(work, observer)), confirm=confirm)


def kept_certificate(asked: Mapping[Key, str]) -> str:
    """Where the certificate is that the former configuration names; "" where that was not ours."""
    kept = [key.name for key in asked if key.kind == certificates.KIND]
    return (*kept, *([PEM] if Key(files.KIND, PEM) in asked else []), "")[0]
