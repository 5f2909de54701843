"""The fault matrix: at each event of each apply's journal, each fault; the host ends old or new, and goes on."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from faults_kinds import FAULTS
from faults_scenarios import SCENARIOS, Scenario
from faults_trial import Known, Ward, trial

from mailprov.lab.layers import Layer

pytestmark = [pytest.mark.host, pytest.mark.timeout(4 * 3600)]

WHOLE = os.environ.get("MAILPROV_FAULTS") == "all"
ONLY = os.environ.get("MAILPROV_FAULTS_EVENT", "")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("apply", ["first", "change", "removal", "revert"])
def test_old_or_new(
    apply: str,
    fault: str,
    ward: Ward,
    layers: Callable[[Scenario], Layer],
    knowledge: Callable[[str], Known],
    record_property: Callable[[str, object], None],
) -> None:
    scenario, known = SCENARIOS[apply], knowledge(apply)
    events = FAULTS[fault].events(scenario, known.journal, known.words)
    if ONLY:
        events = [event for event in events if event in ONLY.split(",")]
    found = []
    for event in events:
        found.append(trial(ward, layers(scenario), scenario, known, FAULTS[fault], event))
        print(found[-1].event, found[-1].state, found[-1].status, known.words(event))
        for problem in found[-1].problems:
            print("   ", problem)
    bad = [ended for ended in found if ended.problems or ended.state == "mixed"]
    assert not bad, f"{len(bad)} of {len(found)}: {[ended.event for ended in bad]}"
