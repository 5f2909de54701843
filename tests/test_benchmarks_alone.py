"""The programs in benchmarks/ that need no host still measure what they say: they end with an error otherwise."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_host import SimulatedHost, declare

from mailprov.connection.fake import Call
from mailprov.engine.probe import facts, parse
from mailprov.standard import REGISTRY
from mailprov.workflows.survey import script

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.parametrize("program", ["many_users.py", "staff_list.py"])
def test_it_runs(program: str) -> None:
    words = (sys.executable, BENCHMARKS / program, "--users", "2500", "--rounds", "1")
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2,500 users" in done.stdout


def test_one_host_answers_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `plan-simulated` has each of its thousand hosts say is the answer of today, of a machine of its own."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    fleet = importlib.import_module("_fleet")
    spec, host = declare(tmp_path), SimulatedHost()
    said = host.respond(Call(("sh", "-s"), script(spec, spec.hosts["mail1"]), 1.0)).decode()
    machines = {
        facts(REGISTRY, parse(fleet._as_another(said).encode(), frozenset()).sections).machine_id for _ in range(3)
    }
    assert len(machines | {host.machine}) == 4
