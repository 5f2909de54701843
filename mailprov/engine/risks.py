"""What in a plan wants a consent of its own, because people would miss what it takes away (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from mailprov.engine.registry import Registry
from mailprov.errors import ConsentError
from mailprov.model import Action, Change, Effect, Plan, Query, Reason, Risk, State, Words, some
from mailprov.model.listeners import open_ports

FLAGS: Mapping[str, str] = {
    "takeover": "A Dovecot, Postfix or rspamd that others have set up may be taken over.",
    "removals": "Accounts may be closed (their mail is kept).",
    "renames": "Mailboxes may move to another address.",
    "many": "More than 30% of the accounts (and at least 5) may change.",
    "closing": "Ports, networks or protocols may be closed that are open now.",
    "opening": "A port on which SSH listens by now may be opened.",
    "shrinking": "Quotas may fall below what is used.",
    "expiry": "Old messages may be deleted that are kept now.",
    "restart": "Services that run may be restarted, which cuts live sessions.",
}


def queries(registry: Registry, plan: Plan, live: State) -> tuple[Query, ...]:
    """What to ask to know whether people would miss what the plan takes away."""
    return tuple(query for it in with_reloads(registry, plan, live) for query in registry.kind(it.key).risk_queries(it))


def risks(
    registry: Registry, ports: Set[int], plan: Plan, live: State, sections: Mapping[str, str]
) -> tuple[Risk, ...]:
    """Everything in the plan that wants a consent.

    `ports` are those that shall be open, `live` is what there is, `sections` the host's answer, that to `queries` too.
    """
    of_kinds = [risk for it in with_reloads(registry, plan, live) for risk in registry.kind(it.key).risks(it, sections)]
    told = open_ports(sections.get("listeners", ""))
    closing = sorted({port.port for port in told if port.public and port.of(registry.units)} - ports)
    found = [
        risk for risk in of_kinds if risk.flag != "closing" or risk.port not in {("tcp", port) for port in closing}
    ]
    if closing:
        ports_are = f"port{'' if len(closing) == 1 else 's'} {', '.join(map(str, closing))}"
        found.append(Risk("closing", f"closes {ports_are}"))
    return (*found, *_restarts(registry, plan.changes, live))


def with_reloads(registry: Registry, plan: Plan, live: State) -> tuple[Change, ...]:
    """The changes of the plan, and what a service loads anew because it is activated."""
    changed = {change.key for change in plan.changes}
    loaded = [daemon.loads for daemon in registry.daemons if daemon.loads and plan.effects.get(daemon.name)]
    again = [key for key in loaded if key not in changed and key in plan.desired]
    return (
        *plan.changes,
        *(Change(key, Action.UPDATE, Reason.PENDING, live.get(key), plan.desired[key], Words(""), {}) for key in again),
    )


def require_consent(plans: Sequence[Plan], consents: Set[str]) -> None:
    """Raises ConsentError where a plan has a risk that `consents` does not hold the flag of."""
    missing = [(plan.host, risk) for plan in plans for risk in plan.risks if risk.flag not in consents]
    if not missing:
        return
    told = [risk.text if len(plans) == 1 else f"{host}: {risk.text}" for host, risk in missing]
    flags = sorted({risk.flag for _, risk in missing})
    raise ConsentError(
        "the plan is unsafe without consent; nothing was touched",
        where=plans[0].host if len(plans) == 1 else f"{len(plans)} hosts",
        why="; ".join(told[:10]) + (f"; and {len(told) - 10} more" if len(told) > 10 else ""),
        fix=f"if it is meant, add {' '.join(f'--allow-{flag}' for flag in flags)}",
    )


def _restarts(registry: Registry, changes: Sequence[Change], live: State) -> list[Risk]:
    """Services that run, and do not live through these changes."""
    running = {key.name for key, item in live.items() if registry.runs(item)}
    causes: dict[str, list[str]] = {}
    for change in changes:
        for name, effect in change.effects.items():
            if effect is Effect.RESTART and name in running:
                causes.setdefault(name, []).append(_cause(registry, change))
    return [
        Risk("restart", f"restarts {name}: live sessions are cut ({some(list(dict.fromkeys(each)), 3)})")
        for name, each in causes.items()
    ]


def _cause(registry: Registry, change: Change) -> str:
    own = change.brought_along or change.key.kind == registry.services.KIND
    return change.summary.partition(" (")[0] if own else str(change.key)
