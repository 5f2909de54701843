"""Each file in cases/ is a host, what became of it, what is declared now, and the plan that must come out.

    before      edits of a fresh Debian, before anything was applied
    applied     BASE's keys replaced, as last applied; absent: mailprov was never here
    host        edits since then
    declared    BASE's keys replaced, as declared now
    expect      changes, effects and steps; UPDATE_GOLDEN=1 writes this part, for you to read

See simulated_host.py for BASE.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from simulated_host import SimulatedHost, changes, declare

from mailprov.engine.plan import steps
from mailprov.errors import HostError
from mailprov.model import Plan, Step
from mailprov.standard import REGISTRY

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


def told(step: Step) -> str:
    """A step on one line: phase, what to stage, do and undo."""
    parts = [" ".join(step.do), " ".join(step.undo), *([" ".join(step.stage)] if step.stage else [])]
    return f"{step.phase.name}  {'  |  '.join(parts)}"


def outcome(made: Plan) -> dict[str, Any]:
    """What a case expects, of a plan."""
    effects = {name: effect.name for name, effect in sorted(made.effects.items())}
    risks = {"dangers": [f"{risk.flag}: {risk.text}" for risk in made.risks]} if made.risks else {}
    return {
        "changes": changes(made),
        **risks,
        "effects": effects,
        "steps": [told(step) for step in steps(REGISTRY, made)],
    }


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_plan(path: Path, tmp_path: Path) -> None:
    head, _, _ = path.read_text(encoding="utf-8").partition("\nexpect:\n")
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    host = SimulatedHost()
    for act, value in (pair for each in case.get("before", ()) for pair in each.items()):
        host.edit(act, value)
    if "applied" in case:
        host.become(declare(tmp_path, case["applied"]))
    for act, value in (pair for each in case.get("host", ()) for pair in each.items()):
        host.edit(act, value)
    try:
        found = outcome(host.plan(declare(tmp_path, case["declared"])))
    except HostError as error:
        found = {"refused": error.what, "fix": error.fix}
    if os.environ.get("UPDATE_GOLDEN"):
        expected = yaml.safe_dump({"expect": found}, sort_keys=False, allow_unicode=True, width=1000)
        path.write_text(f"{head.rstrip()}\n\n{expected}", encoding="utf-8")
    assert found == yaml.safe_load(path.read_text(encoding="utf-8"))["expect"]
