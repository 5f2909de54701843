"""What a plan says of policy: how much it closes, opens, restarts and changes (pure).

A kept plan may say anything. Its claims are counted as they are: what it says in truth is compared when it is applied,
to the last leaf, so that a plan which lies here is refused there (docs/decisions/0026).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from mailprov.engine.saved_plan import Claim, rows
from mailprov.errors import brief
from mailprov.expectations.model import Finding, PlanLimit, Witness
from mailprov.expectations.work import Work
from mailprov.model import Action, Effect, Reason, some
from mailprov.resources import accounts, firewall

_SHOWN: Final = 5
_ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "accounts_closed": ("removed", "unclear"),
    "accounts_created": ("added",),
    "accounts_changed": ("changed",),
    "accounts_renamed": ("renamed",),
}
"""which rows of the accounts' table count; a line that goes and may be an account counts as one"""
_PORTS: Final = 2 * 65_535
"""that open where a firewall goes: TCP's and UDP's"""
_CHARACTERS: Final = 200
"""of a thing's name, which are as much work as a change"""

Counted = tuple[str, int, Sequence[str]]
"""a host, how many of something its plan has, and what the first ones are called, where they have names"""


@dataclass(slots=True)
class Planned:
    """Plans of hosts. `unseen` are hosts of which there is none. What was counted once is kept."""

    claims: Sequence[Claim]
    by: Witness
    unseen: Sequence[str] = ()
    _counts: dict[tuple[str, ...], Sequence[Counted]] = field(default_factory=dict)
    _indices: dict[str, _Index] = field(default_factory=dict)
    _about: dict[str, Sequence[Claim]] = field(default_factory=dict)
    _work: Work = field(default_factory=Work)

    def finding(self, it: PlanLimit) -> Finding:
        """Whether the plans keep to a limit, together. Raises MailprovError where that would take too long."""
        counts = self._of(it)
        total = sum(count for _, count, _ in counts)
        told = [f"{brief(host)} {count:,}{_named(count, names)}" for host, count, names in islice(counts, _SHOWN)]
        more = f" and {len(counts) - _SHOWN:,} more" if len(counts) > _SHOWN else ""
        what = f"the plan {it.does(total)}" + (f": {', '.join(told)}{more}" if total else "")
        if total > it.at_most:
            return Finding(self.by, False, what)
        missing = [name for name in self.unseen if it.about(name)]
        if missing or not self._claims(it):
            return Finding(self.by, None, f"there is no plan of {some(missing, _SHOWN) or 'these hosts'}")
        return Finding(self.by, True, what)

    def _claims(self, it: PlanLimit) -> Sequence[Claim]:
        if it.on not in self._about:
            self._work.add(len(self.claims) // 10)
            self._about[it.on] = [claim for claim in self.claims if it.about(claim.host)]
        return self._about[it.on]

    def _of(self, it: PlanLimit) -> Sequence[Counted]:
        """The hosts whose plans have some of what is limited."""
        key = it.of, it.on, it.kind, it.name, it.action, it.flag
        self._work.add(1)
        if key not in self._counts:
            made = ((claim.host, *self._count(it, claim)) for claim in self._claims(it))
            self._counts[key] = [each for each in made if each[1]]
        return self._counts[key]

    def _count(self, it: PlanLimit, claim: Claim) -> tuple[int, Sequence[str]]:
        """How many of it there are in one host's plan, and the first ones, where they have names."""
        if claim.host not in self._indices:
            self._indices[claim.host] = _Index.of(claim)
        index = self._indices[claim.host]
        self._work.add(1)
        if it.of not in _OF_THINGS:
            return index.totals.get((it.of, it.flag), (0, ()))
        things = index.things.get((it.of, it.kind, it.action), ())
        if it.name:
            self._work.add(sum(1 + len(name) // _CHARACTERS for _, name, _ in things))
            things = [thing for thing in things if it.fits(*thing)]
        return len(things), [f"{kind} {name}" for kind, name, _ in things[:_SHOWN]]


def _named(count: int, names: Sequence[str]) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return f" ({', '.join(map(brief, names))}{more})" if names else ""


_OF_THINGS: Final = ("changes", "drift")
_Thing = tuple[str, str, str]
"""a change's kind of thing, its name, and what is done"""


@dataclass(frozen=True, slots=True)
class _Index:
    """One host's plan, gone through once: how many there are of what is limited (and of which consent: "" is any), and
    what the first are called; the changes, by what may be said of them ("" is any)."""

    totals: Mapping[tuple[str, str], tuple[int, Sequence[str]]]
    things: Mapping[tuple[str, str, str], Sequence[_Thing]]

    @classmethod
    def of(cls, claim: Claim) -> _Index:
        names: dict[tuple[str, str], list[str]] = {
            ("ports_opened", ""): list(claim.opens),
            ("restarts", ""): [name for name, effect in claim.effects.items() if Effect[effect] is Effect.RESTART],
            ("consents", ""): [risk["text"] for risk in claim.risks],
        }
        for risk in claim.risks:
            names.setdefault(("consents", risk["flag"]), []).append(risk["text"])
        totals: dict[tuple[str, str], tuple[int, Sequence[str]]] = {
            key: (len(found), found[:_SHOWN]) for key, found in names.items()
        }
        if firewall.ALL in claim.opens:
            totals["ports_opened", ""] = _PORTS, ()
        totals["hosts", ""] = (1 if claim.changes else 0), ()
        tables = [change for change in claim.changes if change["key"][0] == accounts.KIND]
        for of, kinds in _ROWS.items():
            totals[of, ""] = sum(rows(change, kind) for change in tables for kind in kinds), ()
        things: dict[tuple[str, str, str], list[_Thing]] = {}
        for change in claim.changes:
            thing = *change["key"], Action[change["action"]].value
            for key in _keys(thing, drift=Reason[change["reason"]] is not Reason.PENDING):
                things.setdefault(key, []).append(thing)
        return cls(totals, things)


def _keys(thing: _Thing, drift: bool) -> Iterator[tuple[str, str, str]]:
    """By what a change is found."""
    kind, _, action = thing
    for of in _OF_THINGS if drift else _OF_THINGS[:1]:
        yield from ((of, a_kind, an_action) for a_kind in ("", kind) for an_action in ("", action))
