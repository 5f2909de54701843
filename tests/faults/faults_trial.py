"""One case of the matrix: an apply, a fault at an event of its journal, and the judgement."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from faults_host import Certificates, Patient, State, ended
from faults_kinds import Case, Fault
from faults_scenarios import Scenario

from mailprov.lab import Lab
from mailprov.lab.layers import Layer

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Known:
    """A scenario's two good states, the journal that leads from the one to the other, and what each step does."""

    old: State
    new: State
    journal: tuple[str, ...]
    steps: dict[str, str]

    def words(self, event: str) -> str:
        """The command of the step that an event is about."""
        kind, _, number = event.partition(" ")
        return self.steps.get(number, "") if kind in ("do", "done", "undone") else ""


@dataclass(frozen=True)
class Ended:
    """How a case ended: "old", "new" or "mixed", the exit code, and what was wrong."""

    event: str
    state: str
    status: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
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


def learn(ward: Ward, layer: Layer, scenario: Scenario) -> Known:
    """Apply once without a fault."""
    patient = ward.admit(layer)
    try:
        both = [scenario.declared("old"), scenario.declared("new")]
        old = patient.state(*both)
        status, said = patient.mailprov(
            scenario.declared("new"), "apply", "--yes", *scenario.consents, **scenario.options
        )
        expected = 6 if scenario.options.get("refuse") else 0
        assert status == expected, said
        assert not patient.rests()
        new = patient.state(*both)
        if scenario.options.get("refuse"):
            assert not new.unlike(old), new.unlike(old)
        assert not (wrong := patient.serves(scenario.declared("old" if expected else "new"))), wrong
        name = patient.sh("ls /var/lib/mailprov/txn | sort | tail -n 1").strip()
        folder = f"/var/lib/mailprov/txn/{name}"
        lines = patient.sh(f"cut -d ' ' -f 2- {folder}/journal").splitlines()
        journal = tuple(line.partition(" ")[0] if line.startswith("await") else line for line in lines)
        journal = tuple(line for line in journal if not line.startswith("says "))
        assert len(set(journal)) == len(journal)
        plan = patient.sh(f"sed -n 's/^do_\\([0-9]*\\)() {{ \\(.*\\); }}$/\\1 \\2/p' {folder}/plan.sh").splitlines()
        return Known(
            old, new, journal, {number: _shown(words) for number, _, words in (p.partition(" ") for p in plan)}
        )
    finally:
        ward.lab.discard(patient.host)


def _shown(command: str) -> str:
    """A step's command for the table: its verb and what it is about."""
    words = [word for word in command.split() if not word.isdigit()]
    return " ".join(words[:3] if words[0] in ("activate", "owe", "load_firewall") else words[:2])


def trial(ward: Ward, layer: Layer, scenario: Scenario, known: Known, fault: Fault, event: str) -> Ended:
    """Try one fault at one event."""
    patient = ward.admit(layer)
    case = Case(scenario, patient, event)
    try:
        fault.prepare(case)
        patient.stop_at(event)
        # The canary takes most of an apply's time, and leaves nothing: it runs where it has something to say.
        canary = {"canary": event in ("begin", "validate") or fault.name == "key"}
        # Where the confirmation has come, it is not to come too late.
        patience = 60 if event == "confirmed" or event.startswith("verdict") else fault.patience
        options = {"confirm": patience, **canary, **scenario.options, **fault.options}
        case.controller = patient.start(scenario.declared("new"), "apply", "--yes", *scenario.consents, **options)
        try:
            stopped = patient.stopped(case.controller)
            if stopped is None:
                return Ended(event, "mixed", -1, (f"the journal never came to {event}: {ended(case.controller)[1]}",))
            case.pid, case.transaction = stopped
            fault.strike(case)
            patient.sh("mkdir -p /run/fault; touch /run/fault/go")
            if fault.mend.__name__ in ("_restored", "_gone"):
                fault.mend(case)
            status, said = ended(case.controller)
        finally:
            case.controller.kill()
        fault.mend(case)
        return _judged(case, known, status, said)
    except Exception as error:
        return Ended(event, "mixed", -1, (*case.problems, repr(error)))
    finally:
        ward.lab.discard(patient.host)


def _judged(case: Case, known: Known, status: int, said: str) -> Ended:
    patient, scenario, problems = case.patient, case.scenario, case.problems
    stuck = patient.rests()
    if stuck:
        problems.append(f"stuck: {stuck}")
    state = _which(patient, scenario, known, problems)
    if state == "old" and status == 0:
        problems.append("exit 0 after a revert")
    if state == "new" and status == 6:
        problems.append("exit 6, and new")
    declared = scenario.declared("new")
    if state == "new" or scenario.before is not None:
        problems.extend(patient.serves(scenario.declared(state)))
    _honest(patient, scenario, state, problems)
    if not scenario.options.get("refuse"):
        again, what = patient.here(declared, "apply", "--yes", *scenario.consents, canary=False)
        if again != 0:
            problems.append(f"the next apply ends with {again}: {what}")
        left, what = patient.here(declared, "plan", "--detailed-exitcode")
        if left != 0:
            problems.append(f"the plan after it is not empty: {what}")
        if unlike := patient.state(scenario.declared("old"), declared).unlike(known.new):
            problems.append(f"the next apply does not lead to the new state: {unlike}")
        problems.extend(patient.serves(declared))
    if problems:
        problems.append(f"the controller ended with {status}: {said}")
        problems.append(patient.journals())
    return Ended(case.event, state, status, tuple(problems))


def _which(patient: Patient, scenario: Scenario, known: Known, problems: list[str]) -> str:
    found = patient.state(scenario.declared("old"), scenario.declared("new"))
    unlike = {name: found.unlike(state) for name, state in (("old", known.old), ("new", known.new))}
    for name, differences in unlike.items():
        if not differences:
            return name
    problems.append(f"neither old ({unlike['old']}) nor new ({unlike['new']})")
    return "mixed"


def _honest(patient: Patient, scenario: Scenario, state: str, problems: list[str]) -> None:
    """What `status` and `history` say is so."""
    declared = scenario.declared("new")
    status, said = patient.here(declared, "status")
    if status != 0 or "idle: " not in said:
        problems.append(f"status says {said}")
    last = next((line for line in said.splitlines() if "  last: " in line), "")
    good = {"new": (" applied ",), "old": (" reverted ", " failed ", "") if scenario.before is None else ("",)}
    if state in good and not any(word in last for word in good[state]):
        problems.append(f"status says {said}")
    status, said = patient.here(declared, "history")
    if status != 0:
        problems.append(f"history ends with {status}: {said}")
