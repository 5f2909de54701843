"""The fault matrix: at events of each apply's and rollback's journal, faults; the host ends old or new, and goes on.

A short run (`pytest tests/faults`) tries each fault at a few events. MAILPROV_FAULTS=all (`make faults`) tries a killed
transaction and a power cut at each event of each scenario, and every other fault and bystander at events that chance
has drawn (MAILPROV_FAULTS_DRAWS=3: three times as many): MAILPROV_FAULTS_SEED is printed, and draws the same again.
MAILPROV_FAULTS=every: each at each step. MAILPROV_FAULTS_EVENTS="do 6,health": just these. A whole run that was stopped
goes on where it was: what each case found is kept in .faults/, for this very code.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from faults_kinds import FAULTS
from faults_scenarios import SCENARIOS, Scenario
from faults_table import Row, keep, read
from faults_trial import Known, Ward, trials

from mailprov.lab.layers import Layer

pytestmark = [pytest.mark.host, pytest.mark.timeout(6 * 3600)]

MODE = os.environ.get("MAILPROV_FAULTS", "")
WHOLE = MODE in ("all", "every")
SEED = os.environ.get("MAILPROV_FAULTS_SEED", "16")
DRAWS = int(os.environ.get("MAILPROV_FAULTS_DRAWS", "1"))
THOROUGH = ("transaction", "power")
"""faults that are tried at each event"""
ONLY = os.environ.get("MAILPROV_FAULTS_EVENTS", "")

# By apply and fault: the events of a short run. "middle" and "last" are the middle and the last act,
# "enabled" the one after which services are enabled. To learn a scenario takes a minute: some are tried by whole runs
# only, and what chance draws goes back over such states in each run.
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
        "clock": ("begin",),
        "twice": ("middle",),
        "thrice": ("last",),
        "power-twice": ("middle",),
        "second": ("middle",),
        "verify": ("validate",),
        "edit-other": ("middle",),
        "edit-same": ("await",),
        "immutable": ("begin",),
        "rule": ("await",),
        "database": ("await",),
        "dpkg": ("middle",),
        "restart": ("middle",),
        "stop": ("middle",),
        "failed": ("begin",),
    },
    "first": {"transaction": ("last",), "power": ("middle", "enabled", "await")},
    "removal": {"transaction": ("middle",), "power": ("last",), "lies": ("commit",)},
    "rename": {"transaction": ("middle",), "power": ("last",)},
    "revert": {"transaction": ("revert",), "power": ("undone 9",)},
    "acme": {"certbot": ("middle",)},
    "lived-in": {},
    "bare": {"transaction": ("apt",)},
    "protocol": {},
    "back-first": {"transaction": ("middle",), "power": ("last",)},
    "back-lived-in": {},
    "back-bare": {},
    "back-settings": {"transaction": ("middle",)},
    "back-accounts": {"transaction": ("middle",), "verify": ("middle",)},
    "back-rename": {"transaction": ("middle",)},
    "back-renewed": {"power": ("middle",)},
    "back-further": {},
    "back-again": {"twice": ("middle",)},
    "sign": {"transaction": ("middle", "last"), "power": ("middle",)},
    "unsign": {"transaction": ("health",)},
    "rotate": {},
    "back-sign": {},
    "sending": {},
}


def _cases() -> Iterator[object]:
    for apply in SHORT:
        for fault in FAULTS if WHOLE or ONLY else SHORT[apply]:
            group = f"faults-{apply}"
            # To learn what a scenario is takes a minute, in each process that tries it.
            if (WHOLE or ONLY) and not SCENARIOS[apply].alike:
                group += f"-{fault if fault in THOROUGH else 'others'}"
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
    kept = {(row["apply"], row["fault"], row["event"]): row for row in read()} if WHOLE else {}
    events, bad = [], []
    for event in _events(apply, fault, known):
        row = kept.get((apply, fault, event))
        if row is None:
            events.append(event)
        elif not row["sound"]:
            bad.append(event)
    begun = time.monotonic()
    for ended in trials(ward, layers(scenario), scenario, known, [((event, FAULTS[fault]),) for event in events]):
        took, begun = f"{time.monotonic() - begun:.1f} s", time.monotonic()
        sound = not ended.problems and ended.state != "mixed"
        event, step = ended.event, known.words(ended.event)
        _tell(
            f"{apply} {fault} {event}: {ended.state}, exit {ended.status}{'' if sound else ', WRONG'}  {step}  {took}"
            f"{f', {ended.sent} messages sent meanwhile' if ended.sent else ''}"
        )
        for problem in ended.problems:
            _tell(f"    {problem}")
        if WHOLE:
            keep(Row(apply=apply, event=event, step=step, fault=fault, state=ended.state, sound=sound))
        if not sound:
            bad.append(f"{event}: {ended.problems[0]}")
    assert not bad, "\n".join([f"MAILPROV_FAULTS_SEED={SEED}", *bad])


def _events(apply: str, fault: str, known: Known) -> Sequence[str]:
    scenario = SCENARIOS[apply]
    possible = FAULTS[fault].events(scenario, known.journal, known.words)
    chance = random.Random(f"{SEED} {apply} {fault}")  # noqa: S311
    apt = _in_apt(chance, fault, known) if scenario.installs and fault in IN_APT else []
    if ONLY:
        return [event for event in [*possible, *apt] if event.partition(" +")[0] in ONLY.split(",")]
    if MODE == "every":
        return possible + apt
    if WHOLE and fault in THOROUGH and not scenario.alike:
        return possible
    if WHOLE:
        # Where packages are installed, a case takes a minute and more.
        thorough = 3 if scenario.installs else 6
        draws = DRAWS * (thorough if fault in THOROUGH else 2 if apply == "change" else chance.random() < 0.35)
        drawn = chance.sample(range(len(possible)), min(draws, len(possible)))
        return [possible[index] for index in sorted(drawn)] + apt
    acts = [event for event in possible if event.startswith("do ")]
    places = {"middle": acts[len(acts) // 2], "last": acts[-1]} if acts else {}
    for event in acts:
        if known.words(event).startswith("activate "):
            places.setdefault("enabled", event)
    if "apt" in SHORT[apply][fault]:
        return apt[:1]
    events = [places.get(event, event) for event in SHORT[apply][fault]]
    assert set(events) <= set(possible), f"{fault} is not tried at {events}"
    return events


IN_APT = ("controller", "transaction", "unit", "power")
UNPACKED = (0.1, 1.5)
"""seconds after apt's start in which dpkg unpacks; what is killed then has to be installed again"""


def _in_apt(chance: random.Random, fault: str, known: Known) -> list[str]:
    """Moments after apt has begun, as chance has it: two while packages are unpacked, two at any time."""
    step = next(number for number, words in known.steps.items() if words.startswith("install_packages"))
    spans = (UNPACKED, (UNPACKED[1], max(2.0, known.seconds)))
    moments = sorted(chance.uniform(*span) for span in spans for _ in range(2))
    return [f"do {step} +{moment:.2f}" for moment in moments]


def _tell(line: str) -> None:
    """To the test's output, and as it comes to a file that somebody may watch."""
    print(line)
    if log := os.environ.get("MAILPROV_FAULTS_LOG"):
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
