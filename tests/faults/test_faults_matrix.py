"""The fault matrix: at each event of each apply's journal, each fault; the host ends old or new, and goes on.

A short run (`pytest tests/faults`) tries each fault at a few events; MAILPROV_FAULTS=all tries all of them (`make
faults`; "every": each fault at each step), and MAILPROV_FAULTS_EVENTS="do 6,health" just these. A whole run that was
stopped goes on where it was: what each case found is kept in .faults/, for this very code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from faults_kinds import FAULTS
from faults_scenarios import SCENARIOS, Scenario
from faults_table import Row, keep, read
from faults_trial import Known, Ward, trial

from mailprov.lab.layers import Layer

pytestmark = [pytest.mark.host, pytest.mark.timeout(6 * 3600)]

WHOLE = os.environ.get("MAILPROV_FAULTS") in ("all", "every")
ONLY = os.environ.get("MAILPROV_FAULTS_EVENTS", "")

# By apply and fault: the events of a short run. "middle" and "last" are the middle and the last act,
# "enabled" the one after which services are enabled.
SHORT: dict[str, dict[str, tuple[str, ...]]] = {
    "change": {
        "controller": ("await",),
        "transaction": ("middle", "confirmed"),
        "unit": ("validate",),
        "power": ("middle",),
        "reboot": ("await",),
        "sshd": ("middle",),
        "link": ("health",),
        "full-state": ("middle",),
        "full-etc": ("middle",),
        "read-only": ("middle",),
        "refuses": ("middle",),
        "lies": ("middle",),
        "checker": ("begin",),
        "key": ("middle",),
        "port": ("middle",),
        "second": ("middle",),
        "clock": ("begin",),
    },
    "first": {"transaction": ("last",), "power": ("middle", "enabled", "await")},
    "removal": {"transaction": ("middle",), "power": ("last",), "lies": ("commit",)},
    "revert": {"transaction": ("revert",), "power": ("undone 9",)},
}


def _cases() -> Iterator[object]:
    for apply in SHORT:
        for fault in FAULTS if WHOLE or ONLY else SHORT[apply]:
            group = f"faults-{apply}-{fault}" if WHOLE or ONLY else f"faults-{apply}"
            yield pytest.param(apply, fault, marks=pytest.mark.xdist_group(group))


@pytest.mark.parametrize(("apply", "fault"), list(_cases()))
def test_old_or_new(
    apply: str,
    fault: str,
    ward: Ward,
    layers: Callable[[Scenario], Layer],
    knowledge: Callable[[str], Known],
) -> None:
    scenario, known = SCENARIOS[apply], knowledge(apply)
    bad = []
    kept = {(row["apply"], row["fault"], row["event"]): row for row in read()} if WHOLE else {}
    for event in _events(apply, fault, known):
        if row := kept.get((apply, fault, event)):
            bad += [] if row["sound"] else [event]
            continue
        ended = trial(ward, layers(scenario), scenario, known, FAULTS[fault], event)
        sound = not ended.problems and ended.state != "mixed"
        step = known.words(event)
        _tell(f"{apply} {fault} {event}: {ended.state}, exit {ended.status}{'' if sound else ', WRONG'}  {step}")
        for problem in ended.problems:
            _tell(f"    {problem}")
        row = Row(apply=apply, event=event, step=step, fault=fault, state=ended.state, sound=sound)
        if WHOLE:
            keep(row)
        if not sound:
            bad.append(f"{event}: {ended.problems[0]}")
    assert not bad, "\n".join(bad)


def _events(apply: str, fault: str, known: Known) -> Sequence[str]:
    possible = FAULTS[fault].events(SCENARIOS[apply], known.journal, known.words)
    if WHOLE:
        return possible
    if ONLY:
        return [event for event in possible if event in ONLY.split(",")]
    acts = [event for event in possible if event.startswith("do ")]
    places = {"middle": acts[len(acts) // 2], "last": acts[-1]} if acts else {}
    for event in acts:
        if known.words(event).startswith("activate "):
            places.setdefault("enabled", event)
    events = [places.get(event, event) for event in SHORT[apply][fault]]
    assert set(events) <= set(possible), f"{fault} is not tried at {events}"
    return events


def _tell(line: str) -> None:
    """To the test's output, and as it comes to a file that somebody may watch."""
    print(line)
    if log := os.environ.get("MAILPROV_FAULTS_LOG"):
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
