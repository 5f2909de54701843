"""For programs: one JSON document in ASCII, whose keys only ever grow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mailprov.engine.drift import Drift
from mailprov.engine.rollout import FAILURES, Result
from mailprov.errors import MailprovError
from mailprov.model import Change, Ignore, Plan

if TYPE_CHECKING:
    from mailprov.checks import Check  # a plan's report needs no mail protocols
    from mailprov.doctor import Diagnosis, Finding

FORMAT = 1


def plans(made: Sequence[Plan], failures: Sequence[MailprovError] = ()) -> str:
    """Every host's plan, and why others have none; "changed" says whether any has changes."""
    changed = any(not plan.empty for plan in made)
    return document(changed=changed, hosts=[_plan(plan) for plan in made], failures=failures)


def document(*, failures: Sequence[MailprovError], **parts: object) -> str:
    """A document of these parts, and of what went wrong where."""
    failed = [{"where": error.where, **_error(error)} for error in failures]
    return written({"format": FORMAT, **parts, "failed": failed})


def written(document: Mapping[str, object]) -> str:
    """As text, in ASCII without control characters."""
    return json.dumps(document, indent=2).replace("\x7f", "\\u007f")


def rollout(results: Sequence[Result]) -> str:
    """What became of each host; "failed" says whether any has failed."""
    failed = any(result.status in FAILURES for result in results)
    return written({"format": FORMAT, "failed": failed, "hosts": [_result(each) for each in results]})


def _result(made: Result) -> dict[str, object]:
    error = made.error
    return {
        "host": made.host,
        "verdict": made.status.value,
        "changes": made.changes,
        "seconds": round(made.seconds, 3),
        "error": _error(error) if error else None,
    }


def _error(error: MailprovError) -> dict[str, str]:
    return {"what": error.what, "why": error.why, "cure": error.fix}


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
        "changes": [change(each) for each in made.changes],
    }


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
    return document(
        drifted=any(each.counted for each in found), hosts=[_drift(each) for each in found], failures=failures
    )


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


def checks(found: Sequence[tuple[str, Sequence[Check]]]) -> str:
    """Every host's verification; "verified" says whether all of it holds."""
    hosts = [{"host": name, "checks": [_check(check) for check in made]} for name, made in found]
    verified = not any(check.failed for _, made in found for check in made)
    return written({"format": FORMAT, "verified": verified, "hosts": hosts})


def diagnoses(found: Sequence[tuple[str, Sequence[Check], Diagnosis]]) -> str:
    """What is wrong with each host; "healthy" says whether no cause was found."""
    hosts = [
        {
            "host": name,
            "checks": [_check(check) for check in made],
            "causes": [_finding(each) for each in diagnosis.causes],
            "notices": [_finding(each) for each in diagnosis.findings if each.cause.notice],
            "untold": list(diagnosis.undetermined),
        }
        for name, made, diagnosis in found
    ]
    healthy = not any(diagnosis.causes for _, _, diagnosis in found)
    return written({"format": FORMAT, "healthy": healthy, "hosts": hosts})


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


def _check(made: Check) -> dict[str, object]:
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
    }
