"""A kept plan, as its file tells it: for a terminal, as JSON, for pull requests. It may say anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mailprov import encode
from mailprov.engine.saved_plan import Claim, SavedPlan, changes, effects
from mailprov.errors import brief
from mailprov.model import Change, Key, Words
from mailprov.report import json, markdown, meanings, opening
from mailprov.report.comment import Part, fitted
from mailprov.report.text import UNCHANGED, Line, grouped, planned, tally, width

_LONGEST = 500
"""characters that are shown of one text; what is longer is cut, and shows that"""
_PARTIAL = "some of the hosts that were declared are left out of this plan"
_CLAIM = "this is what the file says: `mailprov apply` makes the plan anew, and refuses it where it is not this one"


def text(kept: SavedPlan, *, details: bool = False) -> list[Line]:
    """What is kept of each host's plan; hosts with the same lines share them. `details` adds which machine it is."""
    parts = ((brief(each.host), "", _body(each, details)) for each in kept.hosts)
    partial = [Line(f"! {_PARTIAL}", "warn")] if kept.partial else []
    total = tally([changes(each) for each in kept.hosts])
    return [*partial, *grouped(parts), total, Line(_CLAIM, "dim")]


def _body(each: Claim, details: bool) -> Iterator[Line]:
    if details:
        machine = f"key {brief(each.identity) or '(none)'}, machine-id {brief(each.machine)}"
        yield Line(f"  {machine}, answer {brief(each.digest)}", "dim")
    made = _shown(each)
    if not made:
        yield Line(f"  {UNCHANGED}", "good")
        return
    wide = width(made)
    for change in made:
        yield from planned(change, wide, details=False)
    yield from (
        Line(f"  ! {brief(risk['text'], _LONGEST)}: needs --allow-{risk['flag']}", "bad") for risk in each.risks
    )
    if each.opens:
        yield Line(f"  {brief(opening(each.opens), _LONGEST)}")
    told = meanings({brief(name): effect for name, effect in effects(each.effects).items()})
    if told:
        yield Line(f"  effect on services: {', '.join(told)}", "dim")


def _shown(each: Claim) -> Sequence[Change]:
    """Its changes, each text of them as one of a length that can be shown."""
    return [
        replace(
            change,
            key=Key(*(brief(word, _LONGEST) for word in change.key)),
            delta=Words(brief(change.summary, _LONGEST)),
        )
        for change in changes(each)
    ]


def as_json(kept: SavedPlan) -> str:
    """The same keys as those of a plan, as far as they are kept; "identity" is the fingerprint of the host's key."""
    hosts = [_host(each) for each in kept.hosts]
    changed = any(each.changes for each in kept.hosts)
    return json.document("show", changed=changed, partial=kept.partial, hosts=hosts, failed=[])


def _host(each: Claim) -> Mapping[str, object]:
    return {
        "host": each.host,
        "identity": each.identity,
        "machine_id": each.machine,
        "digest": each.digest,
        "dangers": [dict(risk) for risk in each.risks],
        "effects": {name: effect.name.lower() for name, effect in effects(each.effects).items()},
        "opens": json.opens(each.opens),
        "changes": [{**json.change(change), "detail": None} for change in changes(each)],  # it is not kept
    }


def as_markdown(kept: SavedPlan) -> str:
    """What is kept of each host's plan."""
    plain, parts, several = encode.markdown, list[Part](), len(kept.hosts) > 1
    parts.append(Part(0, "remarks", [f"- ⚠ {_PARTIAL}"] if kept.partial else []))
    for each in kept.hosts:
        made, name = _shown(each), [each.host]
        told = meanings({brief(name): effect for name, effect in effects(each.effects).items()})
        where = f"{encode.markdown_code(each.host)}: " if several else ""
        risks = [f"- ⛔ {where}{plain(risk['text'])}: needs `--allow-{risk['flag']}`" for risk in each.risks]
        parts.append(Part(1, "risks", risks))
        parts.append(Part(1, "openings", [markdown.opened(each.opens, where)] if each.opens else []))
        parts.append(Part(2, "effects", [f"- {where}services: {plain(', '.join(told))}"] if told else []))
        title = f"{len(made):,} change{'' if len(made) == 1 else 's'}"
        parts.append(markdown.fold(4, "changes", name, title, list(map(markdown.change_row, made)), markdown.CHANGES))
    total = tally([changes(each) for each in kept.hosts]).text
    parts.append(Part(3, "remarks", [f"{_CLAIM[0].upper()}{_CLAIM[1:]}."]))
    return fitted(f"### mailprov: {total}", parts)
