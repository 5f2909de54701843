"""Kills at any moment, not at the journal's events only: the host ends old or new, and the next apply converges."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest
from faults_host import Patient, State, ended
from faults_kinds import SHORT
from faults_scenarios import SCENARIOS, Scenario, base, changed
from faults_trial import Known, Ward

from mailprov.lab.layers import Layer

WHOLE = os.environ.get("MAILPROV_FAULTS") == "all"
TIMES = {"controller": 50, "transaction": 25, "power": 15} if WHOLE else {"controller": 5, "transaction": 2, "power": 2}
pytestmark = [pytest.mark.host, pytest.mark.timeout(2 * 3600)]

_UNIT = "systemctl list-units --plain --no-legend 'mailprov-2*' | cut -d ' ' -f 1"
# What the killed controller had said just before may still be on its way into the host.
_HUNG_UP = r"while pgrep -af '^sshd(-[a-z]+)?: ' | grep -qv '\[listener\]'; do sleep 0.05; done"
_KILL = f"for unit in $({_UNIT}); do systemctl kill --kill-who=all --signal=KILL $unit; done"


def _cases() -> Iterator[object]:
    for victim in TIMES:
        group = f"faults-random-{victim}" if WHOLE else "faults-random"
        yield pytest.param(victim, marks=pytest.mark.xdist_group(group))


@pytest.mark.parametrize("victim", list(_cases()))
def test_a_kill_at_any_moment_leaves_old_or_new(
    victim: str, ward: Ward, layers: Callable[[Scenario], Layer], knowledge: Callable[[str], Known]
) -> None:
    """One host, over and over: from the one declaration to the other, and back."""
    chance = random.Random(20)  # noqa: S311
    known = knowledge("change")
    patient = ward.admit(layers(SCENARIOS["change"]))
    states = (known.old, known.new)
    try:
        begun = time.monotonic()
        for here in (1, 0):
            assert patient.here(_DECLARED[here](), "apply", "--yes", *_CONSENTS)[0] == 0
        whole = (time.monotonic() - begun) / 2
        for turn in range(TIMES[victim]):
            to = 1 - turn % 2
            _killed(patient, victim, chance.uniform(0, 1.2 * whole), to)
            assert not (stuck := patient.rests()), f"turn {turn}: {stuck}: {patient.journals()}"
            found = patient.state(base(), changed())
            at = next((place for place, state in enumerate(states) if not found.unlike(state)), None)
            assert at is not None, f"turn {turn}: {_between(found, states)}: {patient.journals()}"
            assert not (wrong := patient.serves(_DECLARED[at]())), f"turn {turn}: {wrong}"
            status, said = patient.here(_DECLARED[to](), "apply", "--yes", *_CONSENTS)
            assert status == 0, f"turn {turn}: {said}"
            found = patient.state(base(), changed())
            assert not found.unlike(states[to]), f"turn {turn}: {found.unlike(states[to])}"
            assert patient.here(_DECLARED[to](), "plan", "--detailed-exitcode")[0] == 0
        assert patient.here(base(), "history")[0] == 0
    finally:
        ward.lab.discard(patient.host)


_DECLARED = (base, changed)
_CONSENTS = ("--allow-removals", "--allow-closing")


def _killed(patient: Patient, victim: str, after: float, to: int) -> None:
    controller = patient.start(
        _DECLARED[to](), "apply", "--yes", *_CONSENTS, confirm=60 if victim != "controller" else SHORT
    )
    try:
        time.sleep(after)
        if victim == "controller":
            controller.kill()
            patient.sh('timeout 60 sh -c "$1"', _HUNG_UP)
        elif victim == "transaction":
            patient.sh(_KILL)
        else:
            patient.host.kill()
            patient.host.start()
            controller.kill()
        status, said = ended(controller)
        assert status != 0 or victim != "controller" or "applied in" in said
    finally:
        controller.kill()


def _between(found: State, states: tuple[State, State]) -> str:
    return f"neither old {found.unlike(states[0])} nor new {found.unlike(states[1])}"
