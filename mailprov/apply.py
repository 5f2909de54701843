"""One host, from its live state to the declared one. The pure middle is plan.py; what is here talks to the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailprov import manifest, probe, transaction
from mailprov.errors import HostError, LockedError, MailprovError, RevertedError, StalePlanError
from mailprov.host import Host
from mailprov.model import Facts, HostSpec, Plan, Spec, State, Step
from mailprov.passwords import initial_hash
from mailprov.plan import closer_questions, differences, live, plan, questions
from mailprov.resources.certificates import Certificate, clock, problems
from mailprov.roles import mailhost
from mailprov.transaction import Event, Outcome

# Before a host has answered, only the names of what is asked about matter; nothing that depends on these is kept.
_ANY = Facts("", "12", "", 0, (22,), "2.3", 0)

QUIET_SECONDS = 900.0
"""how long a host may say nothing while it applies: apt waits for its lock and downloads in silence"""


@dataclass(frozen=True, slots=True)
class Survey:
    """A plan, and what it was made from: the script that was asked, and its answer."""

    plan: Plan
    ask: bytes
    answer: probe.Answer


def survey(spec: Spec, declared: HostSpec, host: Host) -> Survey:
    """Look at the host, read-only, and plan. One exec when nothing differs, two when something does.

    Raises HostError when the host is not one that mailprov can manage, and ConnectError when it is lost.
    """
    ask = probe.script(questions(_names(spec, declared)))
    answer = _ask(host, ask)
    facts = probe.facts(answer.sections)
    desired = mailhost.desired(spec, declared, facts, initial_hash)
    found = live(answer.sections)
    _refuse_unusable(declared, facts, found)
    kept = manifest.parse(answer.sections.get("manifest", ""))
    differing = differences(desired, found, kept)
    closer = closer_questions(differing)
    more = _ask(host, probe.script(closer)).sections if closer else {}
    made = plan(declared.name, facts, desired, answer, differing, more, _warnings(spec, declared, facts))
    return Survey(made, ask, answer)


def _names(spec: Spec, declared: HostSpec) -> State:
    return mailhost.desired(replace(spec, users=(), aliases=()), declared, _ANY, initial_hash)


def _ask(host: Host, script: bytes) -> probe.Answer:
    completed = host.run(("sh", "-s"), stdin=script)
    if completed.status != 0 and not completed.stdout:
        why = completed.stderr.decode("utf-8", "replace").strip()[:400]
        raise HostError("the host could not be read", where=host.name, why=why)
    return probe.parse(completed.stdout)


def _refuse_unusable(declared: HostSpec, facts: Facts, found: State) -> None:
    """A certificate that something else keeps on the host must be usable before anything refers to it."""
    tls = declared.tls
    if tls.source != "on_host":
        return
    item = found.get(Certificate(tls.certificate_path, tls.key_path, "on_host").key)
    certificate = item if isinstance(item, Certificate) else None
    wrong = problems(certificate, declared.hostname, clock(facts.clock))
    if wrong:
        cure = "renew or replace it on the host, or declare another source under `tls`"
        raise HostError(f"{tls.certificate_path} cannot be used: {'; '.join(wrong)}", where=declared.name, cure=cure)


def _warnings(spec: Spec, declared: HostSpec, facts: Facts) -> tuple[str, ...]:
    found = list(spec.warnings)
    if declared.tls.source == "self_signed":
        found.append("the certificate is self-signed: mail clients will warn")
    missing = [u.address for u in spec.users_of(declared.name) if not (u.password.hash or u.password.plaintext)]
    if missing:
        found.append(
            f"initial passwords are not here for {', '.join(missing[:5])}: creating these accounts will need them"
        )
    if facts.free_kib and facts.free_kib < 100_000:
        found.append(f"/var/lib on the host has only {facts.free_kib // 1024} MiB left")
    return tuple(found)


def apply(
    surveyed: Survey,
    declared: HostSpec,
    host: Host,
    acts: Sequence[Step],
    *,
    transaction_id: str,
    holder: str,
    on_event: Callable[[Event], None],
) -> Outcome:
    """Hand the plan's steps (`acts`) to the host and follow its journal. Returns how it ended, when it ended well.

    Raises StalePlanError, LockedError, RevertedError (put back), or HostError (nothing that is served was touched, or
    the host said no verdict).
    """
    made = surveyed.plan
    data = transaction.bundle(
        made,
        acts,
        surveyed.ask,
        transaction_id,
        holder,
        mailhost.validators(declared),
        mailhost.health(declared),
    )
    events: list[Event] = []

    def follow(line: str) -> None:
        event = transaction.event(line)
        if event is not None:
            events.append(event)
            on_event(event)

    argv = ("sh", "-c", transaction.START, "mailprov", transaction_id)
    completed = host.run(argv, stdin=data, timeout=QUIET_SECONDS, on_line=follow)
    outcome = transaction.outcome(events, acts)
    if outcome.verdict != "applied":
        raise _error(outcome, declared.name, completed.stderr.decode("utf-8", "replace").strip()[:400])
    return outcome


def _error(outcome: Outcome, where: str, stderr: str) -> MailprovError:
    why = "; ".join(outcome.says[-3:]) or stderr
    if outcome.verdict == "stale":
        return StalePlanError(
            "the host changed after it was looked at; nothing was touched", where=where, cure="run the apply again"
        )
    if outcome.verdict == "locked":
        cure = "wait for it to end, then run this again"
        return LockedError("another apply is at work on this host", where=where, why=why, cure=cure)
    if outcome.verdict == "failed":
        what = f"could not {outcome.failed}; nothing that is served was touched"
        return HostError(what, where=where, why=why, cure="mend the cause, then run this again")
    if outcome.verdict == "reverted":
        return RevertedError(
            f"could not {outcome.failed}; the host was put back as it was", where=where, why=why, cure="mend the cause"
        )
    what = "the host could not put everything back" if outcome.verdict == "mixed" else "the host gave no verdict"
    return HostError(what, where=where, why=why, cure="run `mailprov plan` to see what the host is now")
