"""A plan carried out by one host: the work handed to it, its journal followed, its question answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mailprov.connection import Host
from mailprov.engine import manifest, probe, transaction
from mailprov.engine.plan import Observation, differences, prints
from mailprov.engine.registry import Registry
from mailprov.engine.saved_plan import stale
from mailprov.engine.transaction import Event, OnEvent, Outcome, Work
from mailprov.errors import (
    HostError,
    MailprovError,
    MovedError,
    RevertedError,
    StalePlanError,
    UndecidedError,
    locked,
)
from mailprov.model import Key

QUIET_SECONDS = 900.0
"""how long a host may say nothing while it applies: apt waits for its lock and downloads in silence"""


def apply(
    seen: Mapping[Key, str], work: Work, host: Host, *, on_event: OnEvent, confirm: Callable[[str], None]
) -> Outcome:
    """Hand the work to the host and follow its journal. Returns how it ended, when it ended well.

    `seen` holds the fingerprints of what the plan was made from: where the host moved since, they tell what did.
    `confirm` is called when the host waits for its confirmation, with the fingerprint of the certificate that it keeps;
    it answers with `answer`, over a new connection.

    Raises StalePlanError, LockedError, RevertedError (put back), HostError (nothing that is served was touched, or the
    host said no verdict), or MovedError (all is done, and somebody else has changed something of it meanwhile).
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
        raise _stale(
            work.registry, seen, completed.stdout, host.name, settled=any(event.name == "settling" for event in events)
        )
    if outcome.verdict != "applied":
        raise _error(outcome, host.name, completed.stderr.decode("utf-8", "replace").strip()[:400])
    _refuse_moved(work, completed.stdout, host.name)
    return outcome


def _refuse_moved(work: Work, stdout: bytes, where: str) -> None:
    """Raises MovedError where the host is not what was meant, although every step was done and confirmed."""
    sections = probe.decode(stdout.decode("utf-8", "replace").split("\n"))
    registry = work.registry
    stable = {name: text for name, text in sections.items() if name in registry.stable}
    seen = Observation(work.plan.facts, registry.live(stable), manifest.parse(sections.get("manifest", "")), "")
    moved = [str(found.key) for found in differences(registry, work.plan.desired, seen) if found.after is not None]
    if seen.manifest is not None and moved:
        raise MovedError(
            "applied and confirmed, but somebody else was at work, too",
            where=where,
            why=f"not as it was put there: {', '.join(moved)}",
            fix="look at `mailprov plan`: it shows this as drift",
        )


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


def _stale(registry: Registry, seen: Mapping[Key, str], stdout: bytes, where: str, *, settled: bool) -> StalePlanError:
    """What moved: the host's answer now, against the one that the plan was made from."""
    lines = probe.only(registry.stable, stdout.decode("utf-8", "replace").split("\n"))
    error = stale(seen, prints(registry.live(probe.decode(lines))), where)
    error.settled = settled
    return error


def _error(outcome: Outcome, where: str, stderr: str) -> MailprovError:
    why = "; ".join(outcome.says[-3:]) or stderr
    if outcome.verdict == "stranger":
        what = "this is not the machine that the plan was made for; nothing was touched"
        return StalePlanError(what, where=where, fix="plan again")
    if outcome.verdict == "unknown" and not outcome.events:
        return HostError("starting the transaction failed; nothing was changed", where=where, why=why)
    if outcome.verdict == "locked":
        return locked(where, why)
    begun = f"could not {outcome.failed}" if outcome.failed else "the apply was cut off on the host"
    if outcome.verdict == "failed":
        what = f"{begun}; nothing that is served was touched"
        return HostError(what, where=where, why=why, fix="fix the error above, then run this again")
    if outcome.verdict == "reverted":
        return RevertedError(
            f"{begun}; the host was put back as it was",
            where=where,
            why=why,
            fix="fix the error above, then run this again",
        )
    what, fix = _UNDECIDED.get(outcome.verdict, _UNDECIDED["unknown"])
    return (HostError if outcome.verdict == "blocked" else UndecidedError)(what, where=where, why=why, fix=fix)


_UNDECIDED: Mapping[str, tuple[str, str]] = {
    "blocked": (
        "an earlier apply was cut off and cannot be settled; nothing was touched",
        "fix the error above; or remove /var/lib/mailprov/open there, to go on from what the host is now",
    ),
    "mixed": (
        "the host could not put everything back; it goes on trying",
        "fix the error above, then see `mailprov status`",
    ),
    "unsealed": (
        "the change is in place, but the host could not write that down; it goes on trying",
        "fix the error above, then see `mailprov status`",
    ),
    "unknown": ("the host gave no verdict", "run `mailprov status`"),
}
