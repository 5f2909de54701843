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


@pytest.fixture
def changing(fleet: Fleet) -> Fleet:
    """Two hosts that a kept plan changes: it closes an account, which wants a consent, and reloads services."""
    fleet.hosts = {}
    fleet.declare(2)
    assert fleet.run("apply", "--yes") == 0
    fleet.document["users"] = fleet.document["users"][:1]
    fleet.document["services"]["pop3"] = {"tls": 995}
    assert fleet.run("plan", "--out", "kept.json") == 0
    return fleet
