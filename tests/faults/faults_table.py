"""docs/fault-matrix.md: what the whole run found, without anything that another run would find otherwise."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

from faults_kinds import FAULTS
from faults_scenarios import SCENARIOS


class Row(TypedDict):
    """One case."""

    apply: str
    event: str
    step: str
    fault: str
    state: str
    sound: bool


_ROOT = Path(__file__).parents[2]


@cache
def _file() -> Path:
    """Where what was found is kept: another one for other code, and for another release."""
    digest = hashlib.sha256()
    for folder, pattern in (
        ("mailprov", "**/*.py"),
        ("mailprov", "**/*.sh"),
        ("templates", "**/*"),
        ("tests/faults", "*"),
    ):
        for path in sorted(_ROOT.joinpath(folder).glob(pattern)):
            digest.update(path.read_bytes() if path.is_file() else b"")
    release = os.environ.get("MAILPROV_FAULTS_RELEASE", "bookworm")
    return _ROOT / ".faults" / f"{release}-{digest.hexdigest()[:16]}.jsonl"


def keep(row: Row) -> None:
    """Put down what one case found."""
    _file().parent.mkdir(exist_ok=True)
    with _file().open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def read() -> list[Row]:
    """What has been found with this very code."""
    return [json.loads(line) for line in _file().read_text(encoding="utf-8").splitlines()] if _file().exists() else []


_HEAD = """\
# The fault matrix

Each case is one apply to a real booted host ({release}), with one fault at one event of the transaction's
journal. The journal of an undisturbed apply gives the events, so that a new step is covered by itself. After each case:

- every managed item, who listens, failed and enabled units, and what lies in `/etc` are compared with the two good
  states: the host is wholly `old` or wholly `new`;
- POP3 logs in and SMTP accepts a recipient, and each TLS listener shows the certificate of that state (but where the
  old state is a host without mail service);
- nothing is locked, open or at work; `mailprov status` and `mailprov history` say how it ended;
- the controller has not ended with 0 where the host is old;
- the next `mailprov apply` ends with 0, and leads to the new state; the plan after it is empty.

A killed transaction and a power cut are tried at each event; a killed controller and a killed unit at each step's
beginning and each station; every other fault at each station and at the first step of each kind, since it is the kind
of the step that decides what such a fault does to it. (`MAILPROV_FAULTS=every make faults` tries each at each step.)
The canary runs where a fault can meet it; elsewhere it is left out, since it touches nothing that stays.

`make faults` runs all of it and writes this page.

## Figures

| apply | events | cases | ended old | ended new | mixed | otherwise wrong |
|---|--:|--:|--:|--:|--:|--:|
"""


def page(rows: Sequence[Row], release: str) -> str:
    """The whole page."""
    text = _HEAD.format(release=f"Debian {release}")
    applies = [name for name in SCENARIOS if any(row["apply"] == name for row in rows)]
    for name in applies:
        text += _figures(SCENARIOS[name].title, [row for row in rows if row["apply"] == name])
    text += _figures("all", rows)
    missing = [scenario.title for name, scenario in SCENARIOS.items() if name not in applies and not scenario.bare]
    if missing:
        text += "\nNot in this table, since they were not run to the end:\n\n" + "".join(
            f"- {one}\n" for one in missing
        )
    text += "\n## The faults\n\n| | fault |\n|---|---|\n"
    used = [name for name in FAULTS if any(row["fault"] == name for row in rows)]
    text += "".join(f"| {name} | {FAULTS[name].title} |\n" for name in used)
    for name in applies:
        text += "\n" + _table(SCENARIOS[name].title, [row for row in rows if row["apply"] == name])
    return text


def _figures(title: str, rows: Sequence[Row]) -> str:
    events = len({(row["apply"], row["event"]) for row in rows})
    states = [row["state"] for row in rows]
    wrong = sum(not row["sound"] for row in rows)
    counts = [events, len(rows), states.count("old"), states.count("new"), states.count("mixed"), wrong]
    return f"| {title} | {' | '.join(f'{count:,}' for count in counts)} |\n"


def _table(title: str, rows: Sequence[Row]) -> str:
    faults = [name for name in FAULTS if any(row["fault"] == name for row in rows)]
    cells: dict[str, dict[str, str]] = {}
    steps: Mapping[str, str] = {row["event"]: row["step"] for row in rows}
    order: dict[str, int] = {}
    for name in sorted(faults, key=lambda name: -sum(row["fault"] == name for row in rows)):
        for place, row in enumerate(row for row in rows if row["fault"] == name):
            order.setdefault(row["event"], place)
            cells.setdefault(row["event"], {})[name] = row["state"] if row["sound"] else f"**{row['state']}!**"
    text = f"## {title[0].upper()}{title[1:]}\n\n| event | step | {' | '.join(faults)} |\n"
    text += f"|---|---|{'---|' * len(faults)}\n"
    for event in sorted(cells, key=lambda event: order[event]):
        shown = " | ".join(cells[event].get(name, "·") for name in faults)
        text += f"| {event} | {f'`{steps[event]}`' if steps[event] else ''} | {shown} |\n"
    return text
