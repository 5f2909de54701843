"""Whoever interrupts an apply is told the truth about what the host does then; so is whoever asks for its status."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from faults_host import Patient, ended
from faults_scenarios import SCENARIOS, Declared, Scenario, base
from faults_scenarios import changed as everything_changed
from faults_trial import Ward

from mailprov.lab.layers import Layer

pytestmark = [pytest.mark.host, pytest.mark.timeout(1200), pytest.mark.xdist_group("faults-interrupted")]


def changed() -> Declared:
    """What every release can do of it."""
    declared = everything_changed()
    del declared["tls"]["min_version"]
    return declared


@pytest.fixture(scope="module")
def patient(ward: Ward, layers: Callable[[Scenario], Layer]) -> Iterator[Patient]:
    """A converged host that is left as it was found."""
    admitted = ward.admit(layers(SCENARIOS["change"]))
    yield admitted
    ward.lab.discard(admitted.host)


def status(patient: Patient) -> Any:
    """What `mailprov status --format json` says of the host."""
    process = patient.start(changed(), "status", "--format", "json")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    return json.loads(out)["hosts"][0]


CASES = {
    "in the middle": ("do 6", signal.SIGINT, r"it is at step 6 of \d+ \(.+\); then it waits 3 seconds"),
    "by SIGTERM": ("do 2", signal.SIGTERM, r"it is at step 2 of \d+ \(.+\); then it waits 3 seconds"),
    "while it waits": (
        "await",
        signal.SIGINT,
        r"it is waiting until \d\d:\d\d:\d\dZ for confirmation, then puts everything back, unless",
    ),
    "while it puts back": ("revert", signal.SIGINT, "it is putting everything back"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_is_what_happens(patient: Patient, case: str) -> None:
    event, sent, said = CASES[case]
    old = patient.state(base(), changed())
    patient.stop_at(event)
    options = {"refuse": True} if event == "revert" else {"silent": True}
    controller = patient.start(changed(), "apply", "--yes", canary=False, confirm=3, **options)
    assert patient.stopped(controller) is not None, controller.communicate()
    now = status(patient)
    assert now["at_work"].endswith("changes")
    assert now["state"] == ("waiting_for_confirmation" if event == "await" else "at_work")
    assert now["services_down"] == []
    controller.send_signal(sent)
    code, told = ended(controller)
    assert code == 1
    assert re.search(f"Error: mail1: interrupted: it goes on by itself: {said}", told), told
    assert "to do: look with `mailprov status`" in told
    if until := re.search(r"waiting until (\S+) for", told):
        when = datetime.strptime(now["transaction"]["until"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert until[1] == f"{when:%H:%M:%S}Z"
    patient.go_on()
    assert patient.rests() == ""
    assert patient.state(base(), changed()).unlike(old) == []
    assert patient.serves(base()) == []
    now = status(patient)
    assert (now["state"], now["last"]["verdict"], now["transaction"]) == ("idle", "reverted", None)


def test_a_confirmation_that_had_arrived_counts(patient: Patient) -> None:
    patient.stop_at("confirmed")
    controller = patient.start(changed(), "apply", "--yes", canary=False)
    assert patient.stopped(controller) is not None, controller.communicate()
    controller.send_signal(signal.SIGINT)
    code, told = ended(controller)
    assert code == 1
    assert "it is confirmed: the change stays" in told or "unless a confirmation has just reached it" in told
    patient.go_on()
    assert patient.rests() == ""
    assert patient.serves(changed()) == []
    assert patient.here(changed(), "plan", "--detailed-exitcode")[0] == 0
    back = ("--allow-removals", "--allow-closing", "--allow-shrinking", "--allow-expiry")
    code, told = patient.here(base(), "apply", "--yes", *back, canary=False)
    assert code == 0, told


@pytest.mark.parametrize("service", ["dovecot", "postfix"])
def test_a_service_that_is_down_is_told(patient: Patient, service: str) -> None:
    unit = "postfix@-" if service == "postfix" and patient.host.release != "trixie" else service
    patient.sh('systemctl stop "$1"', unit)
    code, said = patient.here(changed(), "status")
    assert code == 0
    assert f"  {service} is down (inactive)\n" in said
    assert "idle" not in said
    assert ("993 (imap)" in said or "995 (pop3)" in said) == (service == "dovecot")
    assert status(patient)["services_down"] == [{"service": service, "state": "inactive"}]
    patient.sh('systemctl start "$1"', unit)
    assert "idle: no apply running, no reload pending" in patient.here(base(), "status")[1]


def test_cut_off_is_told(patient: Patient) -> None:
    patient.stop_at("do 6")
    controller = patient.start(changed(), "apply", "--yes", canary=False)
    stopped = patient.stopped(controller)
    assert stopped is not None
    # Nobody may settle it meanwhile: what is stopped is not started again, but by the timer.
    patient.sh('systemctl stop "mailprov-watch-$1.timer" "mailprov-$1.service"', stopped[1])
    controller.wait(60)
    now = status(patient)
    assert (now["state"], now["at_work"], now["transaction"]["step"]) == ("cut_off", None, 6)
    assert patient.here(base(), "apply", "--yes", canary=False)[0] == 0
    assert patient.rests() == ""
    assert status(patient)["state"] == "idle"


def test_a_revert_that_is_incomplete_says_where_and_why(patient: Patient) -> None:
    old = patient.state(base(), changed())
    patient.stop_at("revert")
    controller = patient.start(changed(), "apply", "--yes", canary=False, refuse=True)
    assert patient.stopped(controller) is not None, controller.communicate()
    patient.sh("mount --bind /etc/dovecot/dovecot.conf /etc/dovecot/dovecot.conf")
    patient.go_on()
    code, told = ended(controller)
    assert code == 1, told
    now = status(patient)
    assert (now["state"], now["transaction"]["station"]) == ("revert_incomplete", "revert_incomplete")
    assert now["transaction"]["step"] and "busy" in now["transaction"]["reason"]
    shown = patient.here(changed(), "status")[1]
    assert "revert incomplete" in shown and "busy" in shown and "idle" not in shown
    patient.sh("umount /etc/dovecot/dovecot.conf")
    assert patient.rests() == ""
    assert patient.state(base(), changed()).unlike(old) == []
    assert "idle: " in patient.here(changed(), "status")[1]
