"""What a plan says of policy: how much it closes, opens, restarts and changes (pure).

A kept plan may say anything. Its claims are counted as they are: what it says in truth is compared when it is applied,
to the last leaf, so that a plan which lies here is refused there (docs/decisions/0026).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mailprov.engine.saved_plan import Claim, rows
from mailprov.errors import brief
from mailprov.expectations.model import Finding, PlanLimit, Witness
from mailprov.model import Action, Effect, Reason, some
from mailprov.resources import accounts

_SHOWN: Final = 5
_ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "accounts_closed": ("removed", "unclear"),
    "accounts_created": ("added",),
    "accounts_changed": ("changed",),
    "accounts_renamed": ("renamed",),
}
"""which rows of the accounts' table count; a line that goes and may be an account counts as one"""


def finding(it: PlanLimit, claims: Sequence[Claim], by: Witness, unseen: Sequence[str] = ()) -> Finding:
    """Whether these plans of hosts keep to a limit, together. `unseen` are hosts of which there is no plan."""
    counts = [(claim.host, *_count(it, claim)) for claim in claims if it.about(claim.host)]
    total = sum(count for _, count, _ in counts)
    told = [f"{brief(host)} {count:,}{_named(names)}" for host, count, names in counts if count]
    what = f"the plan {it.does(total)}" + (f": {some(told, _SHOWN)}" if total else "")
    if total > it.at_most:
        return Finding(by, False, what)
    missing = [name for name in unseen if it.about(name)]
    if missing or not counts:
        return Finding(by, None, f"there is no plan of {some(missing, _SHOWN) or 'these hosts'}")
    return Finding(by, True, what)


def _named(names: Sequence[str]) -> str:
    return f" ({some([brief(name) for name in names], _SHOWN)})" if names else ""


def _count(it: PlanLimit, claim: Claim) -> tuple[int, Sequence[str]]:
    """How many of it there are in one host's plan, and which, where they have names."""
    if it.of in _ROWS:
        tables = (change for change in claim.changes if change["key"][0] == accounts.KIND)
        return sum(rows(change, kind) for change in tables for kind in _ROWS[it.of]), ()
    names = _LISTED[it.of](it, claim)
    return len(names), () if it.of == "hosts" else names


def _changes(it: PlanLimit, claim: Claim, *, drift: bool) -> list[str]:
    found = (each for each in claim.changes if not drift or Reason[each["reason"]] is not Reason.PENDING)
    keys = ((*each["key"], Action[each["action"]].value) for each in found)
    return [f"{kind} {name}" for kind, name, action in keys if it.fits(kind, name, action)]


_LISTED: Final[Mapping[str, Callable[[PlanLimit, Claim], Sequence[str]]]] = {
    "ports_opened": lambda _, claim: claim.opens,
    "restarts": lambda _, claim: [name for name, effect in claim.effects.items() if Effect[effect] is Effect.RESTART],
    "consents": lambda it, claim: [risk["text"] for risk in claim.risks if it.flag in ("", risk["flag"])],
    "changes": lambda it, claim: _changes(it, claim, drift=False),
    "drift": lambda it, claim: _changes(it, claim, drift=True),
    "hosts": lambda _, claim: [claim.host] if claim.changes else [],
}
