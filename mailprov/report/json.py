"""For programs: one JSON document in ASCII, whose keys only ever grow; schemas/report.schema.json says which."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mailprov.engine.drift import Drift
from mailprov.engine.rollout import FAILURES, Result
from mailprov.errors import MailprovError, Origin
from mailprov.model import Change, Ignore, Plan, Wait
from mailprov.report import opened
from mailprov.report.complaints import Complaint, complaints, in_one
from mailprov.report.next_steps import to_do

if TYPE_CHECKING:
    from mailprov.checks import Check  # a plan's report needs no mail protocols
    from mailprov.doctor import Diagnosis, Finding

FORMAT = 1
"""raised when a key goes, or means something else"""


def document(report: str, **parts: object) -> str:
    """The report of this name, which stands in the schema with these parts."""
    return written({"format": FORMAT, "report": report, **parts})


def written(whole: Mapping[str, object]) -> str:
    """The text of a document: the one place where reports become JSON."""
    return json.dumps(whole, indent=2).replace("\x7f", "\\u007f")


# --- what went wrong


def failure(command: str, error: MailprovError) -> str:
    """Why `command` has nothing to report."""
    return document("error", command=command, exit=int(error.exit), errors=errors([error]))


def errors(found: Iterable[MailprovError]) -> list[dict[str, object]]:
    """All that is wrong: an entry for each error, and for each complaint about a declaration."""
    return [entry(complaint) for complaint in complaints(found)]


def entry(found: Complaint) -> dict[str, object]:
    """One thing that is wrong, or doubtful."""
    place = found.place._asdict() if found.place else dict.fromkeys(Origin._fields)
    shown = {"where": found.where, "what": found.what, "why": found.why, "cure": found.fix, "host": found.host or None}
    return {**shown, **place, "exit": found.exit}


# --- plans, and what became of them


def plans(made: Sequence[Plan], failures: Sequence[MailprovError] = ()) -> str:
    """Every host's plan, and why others have none; "changed" says whether any has changes."""
    changed = any(not plan.empty for plan in made)
    return document("plan", changed=changed, hosts=[_plan(plan) for plan in made], failed=errors(failures))


def rollout(results: Sequence[Result], made: Sequence[Plan] = (), report: str = "apply") -> str:
    """What became of each host, and of which plan; "failed" says whether any has failed."""
    failed, planned = any(result.status in FAILURES for result in results), {plan.host: plan for plan in made}
    hosts = [_result(each, planned.get(each.host)) for each in results]
    return document(report, failed=failed, hosts=hosts)


def _result(made: Result, planned: Plan | None) -> dict[str, object]:
    return {
        "host": made.host,
        "verdict": made.status.value,
        "changes": made.changes,
        "seconds": round(made.seconds, 3),
        "error": entry(in_one(made.error)) | {"host": made.host} if made.error else None,
        "plan": _plan(planned) if planned else None,
    }


def _plan(made: Plan) -> dict[str, object]:
    return {
        "host": made.host,
        "release": made.facts.release,
        "dovecot": made.facts.dovecot,
        "machine_id": made.facts.machine_id,
        "digest": made.digest,
        "certificate_days": made.certificate_days,
        "warnings": list(made.warnings),
        "dangers": [{"flag": risk.flag, "text": risk.text} for risk in made.risks],
        "effects": {name: effect.name.lower() for name, effect in made.effects.items()},
        "opens": opens(made.opens),
        "waits": waits(made.waits),
        "changes": [change(each) for each in made.changes],
    }


def waits(found: Sequence[Wait]) -> list[dict[str, object]]:
    """What is left to a later apply; "since" is in seconds since the epoch, null where it begins now."""
    return [{"what": it.what, "until": it.until, "seen": it.seen, "since": it.since or None} for it in found]


def opens(found: Sequence[str]) -> list[dict[str, object]]:
    """The ports that come to be reached, and from where."""
    return [{"port": port, "from": whom or None} for port, whom in map(opened, found)]


def change(made: Change) -> dict[str, object]:
    """One change."""
    return {
        "kind": made.key.kind,
        "name": made.key.name,
        "action": made.action.value,
        "reason": made.reason.value,
        "summary": made.summary,
        "detail": list(made.detail),
    }


def drifts(found: Sequence[Drift], failures: Sequence[MailprovError] = ()) -> str:
    """What each host changed, and of which this cannot be told; "drifted" says whether any has, of what counts."""
    drifted = any(each.counted for each in found)
    return document("drift", drifted=drifted, hosts=[_drift(each) for each in found], failed=errors(failures))


def _drift(made: Drift) -> dict[str, object]:
    return {
        "host": made.host,
        "machine_id": made.machine,
        "since": made.since,
        "warnings": list(made.warnings),
        "drift": [{**change(each.change), "gone": each.gone, "ignored": _ignored(each.ignored)} for each in made.found],
        "settled": [{"kind": key.kind, "name": key.name} for key in made.settled],
        "pending": made.pending,
    }


def _ignored(rule: Ignore | None) -> dict[str, object] | None:
    if rule is None:
        return None
    place = rule.origin._asdict() if rule.origin else None
    return {"kind": rule.kind, "name": rule.name, "only": list(rule.only), "reason": rule.reason, "place": place}


# --- what a client sees


def checks(found: Sequence[tuple[str, Sequence[Check]]], failures: Sequence[MailprovError] = (), user: str = "") -> str:
    """Every host's verification, and why others have none; "verified" says whether all of it holds. `user` is whose
    account was used, where it is somebody's."""
    hosts = [{"host": name, "checks": [check(each, name, user) for each in made]} for name, made in found]
    verified = not failures and not any(each.failed for _, made in found for each in made)
    return document("verify", verified=verified, hosts=hosts, failed=errors(failures))


def diagnoses(found: Sequence[tuple[str, Sequence[Check], Diagnosis]], failures: Sequence[MailprovError] = ()) -> str:
    """What is wrong with each host, and which could not be asked; "healthy" says whether no cause was found."""
    hosts = [
        {
            "host": name,
            "checks": list(map(check, made)),
            "causes": [_finding(each) for each in diagnosis.causes],
            "notices": [_finding(each) for each in diagnosis.findings if each.cause.notice],
            "untold": list(diagnosis.undetermined),
        }
        for name, made, diagnosis in found
    ]
    healthy = not failures and not any(diagnosis.causes for _, _, diagnosis in found)
    return document("doctor", healthy=healthy, hosts=hosts, failed=errors(failures))


def _finding(found: Finding) -> dict[str, object]:
    cause = found.cause
    return {
        "cause": cause.name,
        "phase": cause.phase,
        "title": cause.title,
        "listeners": list(found.listeners),
        "evidence": list(found.evidence),
        "cure": cause.fix,
        "user": {"en": cause.user, "zh-CN": cause.user_zh},
    }


def check(made: Check, host: str = "", user: str = "") -> dict[str, object]:
    """One step at one listener; what to do about it is told of a declared `host`, as report.next_steps says."""
    return {
        "protocol": made.endpoint.protocol,
        "mode": made.endpoint.mode,
        "port": made.endpoint.port,
        "step": made.step,
        "result": "ok" if made.ok else "warning" if made.warns else "failed",
        "cause": made.cause.value,
        "seconds": round(made.seconds, 4),
        "detail": made.detail,
        "until": made.until.isoformat() if made.until else None,
        "cure": to_do(host, made, user),
    }
