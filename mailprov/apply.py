"""One host, from its live state to the declared one. The pure middle is plan.py; what is here talks to the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mailprov import manifest, probe, transaction
from mailprov.dangers import dangers
from mailprov.errors import HostError, LockedError, MailprovError, RevertedError, StalePlanError
from mailprov.history import transactions
from mailprov.host import Host
from mailprov.model import Facts, HostSpec, Key, Plan, Question, Spec
from mailprov.passwords import initial_hash
from mailprov.plan import Sight, closer_questions, differences, live, obstacles, plan, questions
from mailprov.planfile import prints
from mailprov.resources.accounts import Accounts, read_usage, shrinking
from mailprov.resources.certificates import Certificate, clock, problems
from mailprov.roles import mailhost
from mailprov.transaction import Event, OnEvent, Outcome, Work

# Before a host has answered, only the names of what is asked about matter; nothing that depends on these is kept.
_ANY = Facts("", "12", "", 0, (22,), "2.3", 0)

QUIET_SECONDS = 900.0
"""how long a host may say nothing while it applies: apt waits for its lock and downloads in silence"""


@dataclass(frozen=True, slots=True)
class Survey:
    """A plan, the script that was asked for it, and the fingerprint of everything that was seen."""

    plan: Plan
    ask: bytes
    seen: Mapping[Key, str]


def survey(spec: Spec, declared: HostSpec, host: Host) -> Survey:
    """Look at the host, read-only, and plan. One exec when nothing differs, two or three when something does.

    Raises HostError when the host is not one that mailprov can manage, and ConnectError when it is lost.
    """
    asked = script(spec, declared)
    answer = ask(host, asked)
    kept = manifest.parse(answer.sections.get("manifest", ""))
    sight = Sight(probe.facts(answer.sections), live(answer.sections), kept, answer.digest)
    desired = mailhost.desired(spec, declared, sight.facts, initial_hash)
    _refuse_unusable(declared, sight)
    differing = differences(desired, sight)
    in_the_way = obstacles(differing)
    if in_the_way:
        cure = "mailprov replaces plain files only: move it away, then plan again"
        raise HostError(f"something is in the way: {'; '.join(in_the_way)}", where=declared.name, cure=cure)
    closer = closer_questions(differing)
    more = ask(host, probe.script(closer)).sections if closer else {}
    made = plan(declared.name, sight, desired, differing, more, _warnings(spec, declared, sight, answer.sections))
    wanted = dangers(declared, made.changes, answer.sections, _usage(host, made))
    return Survey(replace(made, dangers=wanted), asked, prints(sight.live))


def script(spec: Spec, declared: HostSpec) -> bytes:
    """The script that asks a host for everything that is declared of it."""
    names = mailhost.desired(replace(spec, users=(), aliases=()), declared, _ANY, initial_hash)
    return probe.script(questions(names))


def _usage(host: Host, made: Plan) -> Mapping[str, int]:
    """The bytes used by each account whose quota would shrink."""
    pairs = [(change.before, change.after) for change in made.changes]
    names = [
        name
        for before, after in pairs
        if isinstance(before, Accounts) and isinstance(after, Accounts)
        for name in shrinking(before, after)
    ]
    if not names:
        return {}
    return read_usage(ask(host, probe.script([Question("usage", "usage", tuple(names))])).sections["usage"])


def ask(host: Host, script: bytes) -> probe.Answer:
    """What the host answers to a probe's script. Raises HostError when that is no answer."""
    completed = host.run(("sh", "-s"), stdin=script)
    if completed.status != 0 and not completed.stdout:
        why = completed.stderr.decode("utf-8", "replace").strip()[:400]
        raise HostError("the host could not be read", where=host.name, why=why)
    return probe.parse(completed.stdout)


def _refuse_unusable(declared: HostSpec, sight: Sight) -> None:
    """A certificate that something else keeps on the host must be usable before anything refers to it."""
    tls = declared.tls
    if tls.source != "on_host":
        return
    item = sight.live.get(Certificate(tls.certificate_path, tls.key_path, "on_host").key)
    certificate = item if isinstance(item, Certificate) else None
    wrong = problems(certificate, declared.hostname, clock(sight.facts.clock))
    if wrong:
        cure = "renew or replace it on the host, or declare another source under `tls`"
        raise HostError(f"{tls.certificate_path} cannot be used: {'; '.join(wrong)}", where=declared.name, cure=cure)


def _warnings(spec: Spec, declared: HostSpec, sight: Sight, sections: Mapping[str, str]) -> tuple[str, ...]:
    found = list(spec.warnings)
    past = transactions(sections)
    if past.holder:
        found.append(f"an apply is at work there: {past.holder}")
    elif past.open:
        found.append(f"the apply {past.open} was cut off and is not settled yet; the next apply settles it first")
    if sections.get("manifest") and sight.manifest is None:
        found.append("the host's manifest cannot be read: what drifted cannot be told from what is pending")
    if declared.tls.source == "self_signed":
        found.append("the certificate is self-signed: mail clients will warn")
    missing = [u.address for u in spec.users_of(declared.name) if not (u.password.hash or u.password.plaintext)]
    if missing:
        found.append(
            f"initial passwords are not here for {', '.join(missing[:5])}: creating these accounts will need them"
        )
    if sight.facts.free_kib and sight.facts.free_kib < 100_000:
        found.append(f"/var/lib on the host has only {sight.facts.free_kib // 1024} MiB left")
    return tuple(found)


def apply(
    seen: Mapping[Key, str], work: Work, host: Host, *, on_event: OnEvent, confirm: Callable[[str], None]
) -> Outcome:
    """Hand the work to the host and follow its journal. Returns how it ended, when it ended well.

    `seen` holds the fingerprints of what the plan was made from: where the host moved since, they tell what did.
    `confirm` is called when the host waits for its confirmation, with the fingerprint of the certificate that it keeps;
    it answers with `answer`, over a new connection.

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
            confirm(event.text.partition(" ")[2])

    argv = ("sh", "-c", transaction.START, "mailprov", work.transaction, str(transaction.LIMIT_SECONDS))
    completed = host.run(argv, stdin=transaction.bundle(work), timeout=QUIET_SECONDS, on_line=follow)
    outcome = transaction.outcome(events, work.steps)
    if outcome.verdict == "stale":
        raise _stale(seen, completed.stdout, host.name)
    if outcome.verdict != "applied":
        raise _error(outcome, host.name, completed.stderr.decode("utf-8", "replace").strip()[:400])
    return outcome


def answer(host: Host, transaction_id: str, refusal: str = "") -> None:
    """Tell a waiting host that all is well, or why it is not, in which case it takes everything back at once.

    Raises HostError when the host does not take the answer.
    """
    word = "refused" if refusal else "confirmed"
    argv = ("sh", "-c", transaction.ANSWER, "mailprov", transaction_id, word, ascii(refusal)[1:-1][:300])
    completed = host.run(argv)
    if completed.status != 0:
        raise HostError(
            "the host does not take the confirmation",
            where=host.name,
            why=completed.stderr.decode("utf-8", "replace")[:300],
        )


def _stale(seen: Mapping[Key, str], stdout: bytes, where: str) -> StalePlanError:
    """What moved: the host's answer now, against the one that the plan was made from."""
    lines = [line for line in stdout.decode("ascii", "replace").splitlines() if line.partition(" ")[0] in probe.STABLE]
    now = prints(live(probe.decode(lines)))
    moved = [str(key) for key in sorted({*seen, *now}) if seen.get(key) != now.get(key)]
    return StalePlanError(
        "the host changed after it was looked at; nothing was touched",
        where=where,
        why=f"moved: {', '.join(moved) or 'something that is not shown'}",
        cure="look at the plan again",
    )


def _error(outcome: Outcome, where: str, stderr: str) -> MailprovError:
    why = "; ".join(outcome.says[-3:]) or stderr
    if outcome.verdict == "stranger":
        what = "this is not the machine that the plan was made for; nothing was touched"
        return StalePlanError(what, where=where, cure="plan again")
    if outcome.verdict == "unknown" and not outcome.events:
        return HostError("the host could not take up the work; nothing was touched", where=where, why=why)
    if outcome.verdict == "locked":
        cure = "wait for it to end, then run this again"
        return LockedError("another apply is at work on this host", where=where, why=why, cure=cure)
    begun = f"could not {outcome.failed}" if outcome.failed else "the apply was cut off on the host"
    if outcome.verdict == "failed":
        what = f"{begun}; nothing that is served was touched"
        return HostError(what, where=where, why=why, cure="mend the cause, then run this again")
    if outcome.verdict == "reverted":
        return RevertedError(f"{begun}; the host was put back as it was", where=where, why=why, cure="mend the cause")
    what, cure = _UNDECIDED.get(outcome.verdict, _UNDECIDED["unknown"])
    return HostError(what, where=where, why=why, cure=cure)


_UNDECIDED: Mapping[str, tuple[str, str]] = {
    "blocked": (
        "an earlier apply was cut off and cannot be settled; nothing was touched",
        "mend the cause; or remove /var/lib/mailprov/open there, to go on from what the host is now",
    ),
    "mixed": (
        "the host could not put everything back; it goes on trying",
        "mend the cause, then see `mailprov status`",
    ),
    "unsealed": (
        "the change is in place, but the host could not write that down; it goes on trying",
        "mend the cause, then see `mailprov status`",
    ),
    "unknown": ("the host gave no verdict", "run `mailprov status`"),
}
