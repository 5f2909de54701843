"""Trials drawn by chance: declarations, verb, fault, moment, bystander; the host ends old or new, and goes on.

MAILPROV_FAULTS_TRIALS=N (`make faults-random N=300`) runs so many, and a hundred or more are written down in
docs/faults-random.md. MAILPROV_FAULTS_SEED=SEED draws the same again, =SEED/GROUP/NUMBER just one of them.

Two hosts go the same way. On the one nothing goes wrong: it tells what the other one must be like, in every digest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults_host import Patient
from faults_random import RELEASES, Trial, drawn
from faults_table import keep_trial
from faults_trial import Ended, Ward, layer, learned, tried

TRIALS = int(os.environ.get("MAILPROV_FAULTS_TRIALS", "5"))
SEED, _, ONE = os.environ.get("MAILPROV_FAULTS_SEED", "16").partition("/")
SIZE = 5
"""trials of a group, which share their hosts"""
# A short run is for one release: each of the others wants its packages fetched first.
DRAWN = RELEASES if TRIALS >= 100 else (os.environ.get("MAILPROV_FAULTS_RELEASE", "bookworm"),)
pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]


def _groups() -> Iterator[object]:
    for group in [int(ONE.partition("/")[0])] if ONE else range((TRIALS + SIZE - 1) // SIZE):
        yield pytest.param(group, marks=pytest.mark.xdist_group(f"faults-random-{group}"))


@contextmanager
def _pair(ward: Ward, trial: Trial) -> Iterator[tuple[Patient, Patient]]:
    """Two hosts in the trial's old state."""
    begins = layer(ward, trial.release, trial.scenario())
    pair = (ward.admit(begins), ward.admit(begins))

    def lead(patient: Patient) -> None:
        for declared in trial.past[1:]:
            patient.converge(declared)

    try:
        with ThreadPoolExecutor(len(pair)) as both:
            list(both.map(lead, pair))
        yield pair
    finally:
        for patient in pair:
            ward.lab.discard(patient.host)


@pytest.mark.parametrize("group", list(_groups()))
def test_old_or_new_whatever_chance_brings(group: int, ward: Ward) -> None:
    trials = drawn(SEED, group, SIZE, DRAWN)
    if ONE.partition("/")[2]:
        trials = [trials[int(ONE.partition("/")[2])]]
    bad: list[str] = []
    while trials:
        with _pair(ward, trials[0]) as (model, patient):
            while trials:
                trial = trials.pop(0)
                ended = _run(model, patient, trial)
                if ended.problems:
                    bad.append(f"{trial.seed}: {ended.problems[0]}")
                # What went wrong may go on being wrong: the next one is for others.
                if ended.problems or trial.leaves or (trials and not _fits(trials[0], model, patient)):
                    break
    assert not bad, "\n".join([f"MAILPROV_FAULTS_SEED={SEED}", *bad])


def _fits(trial: Trial, model: Patient, patient: Patient) -> bool:
    """Whether the hosts can go on with it: a rollback takes back the last apply, the same one on both."""
    alike = trial.verb == "apply" or len(model.transactions()) == len(patient.transactions())
    return alike and not trial.fresh


def _run(model: Patient, patient: Patient, trial: Trial) -> Ended:
    scenario = trial.scenario()
    known = learned(model, scenario)
    strikes = trial.struck(known, scenario)
    ended = tried(patient, scenario, known, strikes)
    struck = ", ".join(f"{fault.name} at {at}" for at, fault in strikes)
    sound = not ended.problems and ended.state != "mixed"
    line = f"{trial.seed} {trial.release} {trial.verb}: {struck}: {ended.state}, exit {ended.status}"
    line += "" if sound else ", WRONG"
    _tell(line)
    for problem in ended.problems:
        _tell(f"    {problem}")
    if not ONE:
        keep_trial({"seed": SEED, "line": line, "sound": sound})
    return ended


def _tell(line: str) -> None:
    print(line)
    if log := os.environ.get("MAILPROV_FAULTS_LOG"):
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
