"""The programs in benchmarks/ that need no host still measure what they say: they end with an error otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.parametrize("program", ["many_users.py", "staff_list.py"])
def test_it_runs(program: str) -> None:
    words = (sys.executable, BENCHMARKS / program, "--users", "2500", "--rounds", "1")
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2,500 users" in done.stdout
