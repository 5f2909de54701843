"""What the tests of fleets share."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_in_memory import Fleet

# Imported before anything is replaced: one that is imported meanwhile would take the replacement for the real thing.
from mailprov.workflows import run_plan


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    made = Fleet(tmp_path)
    made.declare(5)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOB_INITIAL", "correct horse")
    monkeypatch.setattr("mailprov.connection.connect.open_host", made.open)
    monkeypatch.setattr(run_plan, "run_plan", made.run_plan)
    return made
