"""One case: an apply or a rollback, faults at events of its journal, and the judgement."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from faults_bystanders import BYSTANDERS
from faults_case import Case, Fault, Known
from faults_host import Certificates, Patient, State, ended
from faults_scenarios import EQUIPPED, HOSTNAME, PACKAGES, Declared, Scenario
from faults_senders import Senders
from faults_watch import Watch

from mailprov.lab import Lab
from mailprov.lab.errors import LabError
from mailprov.lab.layers import Layer

_NUMBERS = itertools.count(1)
COMES = 100
"""seconds after which somebody must have come to a transaction that nobody is at work on"""

Strike = tuple[str, Fault]
"""A fault and where it strikes: an event of the journal; "EVENT +SECONDS": so long after apt has begun in that step;
"+SECONDS": so long after the controller was started."""


@dataclass(frozen=True)
class Ended:
    """How a case ended: "old", "new" or "mixed", the exit code, what was wrong, and how many messages were taken."""

    event: str
    state: str
    status: int
    problems: tuple[str, ...]
    sent: int = 0


@dataclass(frozen=True, eq=False)
class Ward:
    """Where patients come from."""

    lab: Lab
    folder: Path
    certificates: Certificates

    def admit(self, layer: Layer) -> Patient:
        """A host of its own for a case."""
        number = next(_NUMBERS)
        host = self.lab.boot(f"f{number}", layer=layer)
        # What daemons hold open in a lower layer of an overlay never looks replaced (fstat(2)): copy it up.
        host.run(("find", "/etc/postfix", "-type", "f", "-exec", "touch", "-r", "{}", "{}", ";"), check=False)
        return Patient(host, self.folder / f"f{number}", self.certificates)


@cache
def _led(ward: Ward, release: str, packages: tuple[str, ...], past: tuple[str, ...]) -> Layer:
    if past:
        patient = ward.admit(_led(ward, release, packages, past[:-1]))
        patient.lead(past[-1:])
        host = patient.host
    else:
        host = ward.lab.boot(f"{len(packages)}-packages-{release}", release, packages=packages)
        # Before anything of ours none of them runs, where they are there at all.
        stop = "for name in dovecot postfix rspamd; do systemctl disable --now --quiet $name.service; done"
        host.run(("sh", "-c", stop), check=False)
    host.stop()
    snapshot = host.snapshot()
    ward.lab.discard(host)
    return snapshot


def layer(ward: Ward, release: str, scenario: Scenario) -> Layer:
    """What a scenario's hosts are booted from: its old state."""
    packages = () if scenario.bare else EQUIPPED if scenario.equipped else PACKAGES
    return _led(ward, release, packages, scenario.past)


def learn(ward: Ward, layer: Layer, scenario: Scenario) -> Known:
    """Do it once without a fault."""
    patient = ward.admit(layer)
    try:
        return learned(patient, scenario)
    finally:
        ward.lab.discard(patient.host)


def learned(patient: Patient, scenario: Scenario) -> Known:
    """The same, on a host that is there."""
    both = [scenario.declared("old"), scenario.declared("new")]
    old, begun = patient.state(*both), time.monotonic()
    arguments = patient.arguments(scenario.verb, scenario.to)
    status, said = patient.mailprov(scenario.declared("new"), *arguments, **scenario.options)
    seconds = time.monotonic() - begun
    assert status == (6 if scenario.refused else 0), said
    assert not patient.rests()
    new = patient.state(*both)
    if scenario.refused:
        assert not new.unlike(old), new.unlike(old)
    if serving := scenario.stated("old" if scenario.refused else "new"):
        assert not (wrong := patient.serves(serving)), wrong
    name = patient.sh("ls /var/lib/mailprov/txn | sort | tail -n 1").strip()
    journal = patient.journal(name)
    assert len(set(journal)) == len(journal)
    steps = {number: _shown(words) for number, words in patient.steps(name).items()}
    return Known(old, new, journal, steps, seconds)


def _shown(command: str) -> str:
    """A step's command for the table: its verb and what it is about."""
    words = [word for word in command.split() if not (word.isdigit() or word == "@")]
    return " ".join(words[:3] if words[0] in ("activate", "owe", "load_firewall") else words[:2])


_OTHERS = {fault.name for fault in BYSTANDERS}
CHAIN = 4
"""so many cases are tried on one host, where each has led it back to where it was"""


def trials(
    ward: Ward, layer: Layer, scenario: Scenario, known: Known, cases: Sequence[Sequence[Strike]]
) -> Iterator[Ended]:
    """Try cases one after the other; a new host wherever the last one is not in the old state any more.

    What is wanted is reached at the next try: after each case that ended new, and after the last one on each host. Of
    the others, the next try is the next case, which comes to its own event first.
    """
    patient, used = None, 0
    try:
        for number, strikes in enumerate(cases):
            if patient is None:
                patient, used = ward.admit(layer), 0
            used += 1
            # Packages stay: what an undo leaves is not the host that they are missing on.
            alone = scenario.installs or not all(fault.chains and fault.name not in _OTHERS for _, fault in strikes)
            last = alone or used == CHAIN or number + 1 == len(cases)
            ended = tried(patient, scenario, known, strikes, last)
            if last or ended.state != "old" or ended.problems:
                ward.lab.discard(patient.host)
                patient = None
            yield ended
    finally:
        if patient is not None:
            ward.lab.discard(patient.host)


def tried(patient: Patient, scenario: Scenario, known: Known, strikes: Sequence[Strike], last: bool = True) -> Ended:
    """Try faults on a host that is in the scenario's old state; `last`: try again then, and be in the new one."""
    event, faults = strikes[0][0], [fault for _, fault in strikes]
    case = Case(scenario, patient, known, event)
    senders = Senders(patient.host.address, str(patient.folder / "ca.pem"))
    try:
        with ExitStack() as looking:
            if scenario.installs:
                watch = _watch(case)
                looking.enter_context(watch.looking())
            if scenario.equipped and all(fault.serves for fault in faults):
                looking.enter_context(senders.sending())
            status, said = _struck(case, strikes)
            ending = _judged(case, known, status, said, all(fault.well for fault in faults), last)
        if scenario.installs and (watch.seen or not watch.rounds):
            what = f"shown to the world: {sorted(watch.seen)}, in {watch.rounds} looks"
            ending = replace(ending, problems=(what, *ending.problems, patient.services_told()))
        if senders.failed:
            what = f"{len(senders.failed)} sessions failed: {'; '.join(senders.failed[:6])}"
            ending = replace(ending, problems=(what, *ending.problems, patient.services_told()))
    except Exception as error:
        with suppress(LabError):
            case.problems.append(patient.journals())
        return Ended(event, "mixed", -1, (repr(error), *case.problems))
    return replace(ending, sent=senders.sent)


def _watch(case: Case) -> Watch:
    both = [case.scenario.stated(known) for known in ("old", "new")]
    declared = {port for each in both if each for listener in each["services"].values() for port in listener.values()}
    certificates = case.patient.certificates
    shown = (certificates.a.fingerprint, certificates.b.fingerprint)
    return Watch(case.patient.host.place, HOSTNAME, declared, shown)


def _struck(case: Case, strikes: Sequence[Strike]) -> tuple[int, str]:
    """Start the controller, and strike at each stop; what it says at its end."""
    patient, scenario = case.patient, case.scenario
    event, faults = strikes[0][0], [fault for _, fault in strikes]
    for fault in faults:
        fault.prepare(case)
    # The canary takes most of an apply's time, and leaves nothing: it runs where it has something to say.
    canary = {"canary": event in ("begin", "validate") or faults[0].name == "key"}
    # Where the confirmation has come, it is not to come too late.
    late = event == "confirmed" or event.startswith("verdict")
    options = {"confirm": 60 if late else min(fault.patience for fault in faults), **canary, **scenario.options}
    for fault in faults:
        options |= fault.options
    arguments = patient.arguments(scenario.verb, scenario.to)
    stops = [stop for at, fault in strikes for stop in ((at, fault), *((again, fault) for again in fault.again))]
    _arm(patient, stops[0][0])
    case.controller = patient.start(scenario.declared("new"), *arguments, **options)
    try:
        for number, (at, fault) in enumerate(stops):
            case.event = at
            if not _reached(case, at, first=number == 0):
                break
            if number + 1 < len(stops):
                _arm(patient, stops[number + 1][0])
            fault.strike(case)
            if number + 1 == len(stops) or patient.alive(case.pid):
                patient.go_on(keep=number + 1 < len(stops))
        patient.go_on()
        for fault in faults:
            if fault.mend.__name__ in ("_restored", "_gone"):
                fault.mend(case)
        status, said = ended(case.controller)
    finally:
        case.controller.kill()
    for fault in faults:
        fault.mend(case)
    for other in case.others:
        code, words = ended(other)
        if code not in (0, 1, 8, 9):
            case.problems.append(f"{other.args!r} ends with {code}: {words}")
    case.event = event
    return status, said


def _arm(patient: Patient, at: str) -> None:
    event = at.partition(" +")[0]
    if not event.startswith("+"):
        patient.stop_at(event)


def _reached(case: Case, at: str, first: bool) -> bool:
    """Wait until it is time to strike; whether it came to that."""
    patient = case.patient
    event, _, seconds = at.rpartition("+")
    if seconds and not event and at.startswith("+"):
        time.sleep(float(seconds))
        return True
    # Somebody must come to what was killed: at once, or when a timer looks.
    stopped = patient.stopped(case.controller) if first else patient.stopped(None, COMES)
    if stopped is None:
        if first:
            case.problems.append("the journal never came to the event")
        return False
    case.pid, case.transaction = stopped
    if event and "+" in at:
        patient.go_on()
        patient.sh('until pgrep -x apt-get >/dev/null; do sleep 0.02; done; sleep "$1"', seconds)
    return True


def _judged(case: Case, known: Known, status: int, said: str, well: bool, last: bool) -> Ended:
    patient, scenario, problems = case.patient, case.scenario, case.problems
    if stuck := patient.rests():
        problems.append(f"stuck: {stuck}")
    found = patient.state(scenario.declared("old"), scenario.declared("new"))
    state = _which(case, found, problems)
    _true(state, status, said, problems)
    if well and (status, state) != ((6, "old") if scenario.refused else (0, "new")):
        problems.append("it did not end well")
    declared = scenario.stated(state)
    if declared and not case.down:
        problems.extend(patient.serves(declared, "any" if case.renewed else None))
        if scenario.equipped:
            problems.extend(patient.signs())
    _honest(case, state, problems)
    if declared and state != "mixed" and not case.unsure:
        # What somebody else has changed is no change of ours: it is shown.
        same = _managed(found) == _managed(known.old if state == "old" else known.new)
        same &= state == "old" or not scenario.leaves
        left, what = patient.here(declared, "plan", "--detailed-exitcode")
        if left != (0 if same else 2):
            problems.append(f"a plan of what was declared ends with {left}: {what}")
    if (last or state != "old") and not scenario.refused:
        _again(case, state, problems)
    if problems:
        problems.append(f"the controller ended with {status}: {said}")
        problems.append(patient.journals())
    return Ended(case.event, state, status, tuple(problems))


def _again(case: Case, state: str, problems: list[str]) -> None:
    """What was wanted is reached at the next try, and nothing is left to do then."""
    patient, scenario = case.patient, case.scenario
    declared, left_alone = scenario.declared("new"), [*case.lasting]
    if scenario.verb == "rollback" and state == "new" and scenario.after is None:
        left_alone += case.theirs  # nothing is declared that an apply could put right
    elif scenario.verb == "rollback" and state == "new" and not (case.unsure or case.theirs):
        pass
    elif scenario.verb == "rollback" and state != "new":
        again, what = patient.here(declared, *patient.arguments("rollback", scenario.to), canary=False)
        if again != 0:
            problems.append(f"the next rollback ends with {again}: {what}")
        if case.theirs and scenario.after is not None:  # what others did is no business of a rollback
            _applied(case, declared, problems)
    else:
        _applied(case, declared, problems)
    if scenario.after is not None:
        left, what = patient.here(declared, "plan", "--detailed-exitcode")
        if scenario.leaves and left == 2 and scenario.leaves in what:
            left = 0
        elif scenario.leaves:  # an apply has taken that along
            left_alone += [re.escape(scenario.leaves), "key .*"]
        if left != 0:
            problems.append(f"the plan after it is not empty: {what}")
        problems.extend(patient.serves(declared, case.renewed))
        if scenario.equipped and not case.down:
            problems.extend(patient.signs())
    found = patient.state(scenario.declared("old"), declared).without(*left_alone)
    if unlike := found.unlike(case.known.new.without(*left_alone)):
        problems.append(f"the next try does not lead to the new state: {unlike}")


def _applied(case: Case, declared: Declared, problems: list[str]) -> None:
    again, what = case.patient.here(declared, *case.patient.arguments("apply"), canary=False)
    if again != 0:
        problems.append(f"the next apply ends with {again}: {what}")


def _managed(state: State) -> tuple[Mapping[str, str], frozenset[str]]:
    """What a plan looks at."""
    return state.items, frozenset(line for line in state.more if line.startswith(("map ", "listens ", "store ")))


def _which(case: Case, found: State, problems: list[str]) -> str:
    unlike = {}
    both = (("new", case.known.new), ("old", case.known.old))
    # Where the controller refuses, the one is the other.
    for name, state in reversed(both) if case.scenario.refused else both:
        unlike[name] = found.without(*case.theirs).unlike(state.without(*case.theirs))
        if name == "old" and case.scenario.installs and case.scenario.before is None:
            unlike[name] = [each for each in unlike[name] if not _packaged(each, found, case.known.new)]
        if not unlike[name]:
            return name
    problems.append(f"neither old ({unlike['old']}) nor new ({unlike['new']})")
    return "mixed"


def _packaged(name: str, found: State, ours: State) -> bool:
    """Whether what differs from a bare host is what its packages brought, and not ours."""
    if "mailprov" in name or name.startswith(("+ listens", "+ active", "+ table")):
        return False
    if name.startswith("+ "):
        return bool(re.match(r"\+ (unit|folder) ", name))
    return found.items.get(name) != ours.items.get(name)


def _true(state: str, status: int, said: str, problems: list[str]) -> None:
    """What the controller says at its end is so."""
    if state == "old" and status == 0:
        problems.append("exit 0 after a revert")
    if state == "new" and status == 6:
        problems.append("exit 6, and new")
    for words, means in (
        ("applied in", "new"),
        ("rolled back ", "new"),
        ("put back as it was", "old"),
        ("nothing that is served was touched", "old"),
        ("nothing was touched", "old"),
    ):
        if words in said and state not in (means, "mixed"):
            problems.append(f"it says {words!r}, and is {state}")


def _honest(case: Case, state: str, problems: list[str]) -> None:
    """What `status` and `history` say is so."""
    declared = case.scenario.declared("new")
    status, said = case.patient.here(declared, "status")
    # Where somebody else has stopped a service, that is what there is to say.
    if (
        status != 0
        or not ("idle: " in said or (case.down and " is down" in said))
        or re.search("at work|cut off", said)
    ):
        problems.append(f"status says {said}")
    last = next((line for line in said.splitlines() if "  last: " in line), "")
    words = {"new": ("applied",), "old": ("reverted", "failed")}.get(state, ())
    if case.transaction in last and case.transaction and words and not any(f" {word} " in last for word in words):
        problems.append(f"it is {state}, and status says {said}")
    status, said = case.patient.here(declared, "history")
    if status != 0:
        problems.append(f"history ends with {status}: {said}")


__all__ = ["COMES", "Declared", "Ended", "Known", "Strike", "Ward", "layer", "learn", "learned", "trials", "tried"]
