"""One host, from its live state to the declared one. The pure middle is plan.py; what is here talks to the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mailprov import manifest, probe, transaction
from mailprov.errors import HostError, LockedError, MailprovError, RevertedError, StalePlanError
from mailprov.host import Host
from mailprov.model import Facts, HostSpec, Plan, Spec, State
from mailprov.passwords import initial_hash
from mailprov.plan import closer_questions, differences, live, plan, questions
from mailprov.resources.certificates import Certificate, clock, problems
from mailprov.roles import mailhost
from mailprov.transaction import Event, Outcome, Work

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
    surveyed: Survey, work: Work, host: Host, *, on_event: Callable[[Event], None], confirm: Callable[[], None]
) -> Outcome:
    """Hand the work to the host and follow its journal. Returns how it ended, when it ended well.

    `confirm` is called when the host waits for its confirmation; it answers with `answer`, over a new connection.

    Raises StalePlanError, LockedError, RevertedError (put back), or HostError (nothing that is served was touched, or
    the host said no verdict).
    """
    events: list[Event] = []

    def follow(line: str) -> None:
        event = transaction.event(line)
        if event is None:
            return
        events.append(event)
        on_event(event)
        if event.name == "await":
            confirm()

    argv = ("sh", "-c", transaction.START, "mailprov", work.transaction, str(transaction.LIMIT_SECONDS))
    completed = host.run(argv, stdin=transaction.bundle(work), timeout=QUIET_SECONDS, on_line=follow)
    outcome = transaction.outcome(events, work.steps)
    if outcome.verdict == "stale":
        raise _stale(surveyed, completed.stdout, host.name)
    if outcome.verdict != "applied":
        raise _error(outcome, host.name, completed.stderr.decode("utf-8", "replace").strip()[:400])
    return outcome


def answer(host: Host, transaction_id: str, refusal: str = "") -> None:
    """Tell a waiting host that all is well, or why it is not, in which case it takes everything back at once.

    Raises HostError when the host does not take the answer.
    """
    word = "refused" if refusal else "confirmed"
    completed = host.run(("sh", "-c", transaction.ANSWER, "mailprov", transaction_id, word), stdin=refusal.encode())
    if completed.status != 0:
        raise HostError(
            "the host does not take the confirmation",
            where=host.name,
            why=completed.stderr.decode("utf-8", "replace")[:300],
        )


def _stale(surveyed: Survey, stdout: bytes, where: str) -> StalePlanError:
    """What moved: the host's answer now, against the one that the plan was made from."""
    lines = [line for line in stdout.decode("ascii", "replace").splitlines() if line.partition(" ")[0] in probe.STABLE]
    now, then = live(probe.decode(lines)), live(surveyed.answer.sections)
    return StalePlanError(
        "the host changed after it was looked at; nothing was touched",
        where=where,
        why=f"moved: {', '.join(moved(then, now)) or 'something that is not shown'}",
        cure="look at the plan again",
    )


def moved(then: State, now: State) -> tuple[str, ...]:
    """The names of the things whose fingerprints differ between two live states."""
    keys = sorted({*then, *now})
    return tuple(
        str(key)
        for key in keys
        if (then[key].fingerprint if key in then else "") != (now[key].fingerprint if key in now else "")
    )


def _error(outcome: Outcome, where: str, stderr: str) -> MailprovError:
    why = "; ".join(outcome.says[-3:]) or stderr
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
