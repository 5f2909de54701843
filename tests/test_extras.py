"""What is said to install works for how mailprov was installed."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from mailprov import extras

DECLARED = [
    'openpyxl>=3.1; extra == "xlsx"',
    "click>=8.2",
    "typst>=0.15 ; extra == 'profiles'",
    "segno; extra=='profiles'",
]


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: DECLARED)


def test_pip_of_this_python_is_named() -> None:
    assert extras.requirements("profiles") == ("typst>=0.15", "segno")
    said = extras.install("profiles")
    assert said == f"{sys.executable} -m pip install 'typst>=0.15' segno (the extra `profiles`)"
    command = said.partition(" (the extra")[0].replace("install", "install --dry-run --no-deps --no-index", 1)
    done = subprocess.run(("sh", "-c", command), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # both are there already: it is a command, and understood


def test_pipx_has_a_way_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/anna/.local/share/pipx/venvs/mailprov")
    assert extras.install("xlsx") == "pipx inject mailprov 'openpyxl>=3.1' (the extra `xlsx`)"


def test_an_environment_without_pip_is_one_of_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    monkeypatch.setattr(sys, "executable", "/a folder/python")
    assert extras.install("xlsx") == "uv pip install --python '/a folder/python' 'openpyxl>=3.1' (the extra `xlsx`)"


def test_what_was_never_installed_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert extras.install("xlsx") == "install mailprov with its extra `xlsx`"


def test_every_extra_that_is_named_is_declared() -> None:
    import re
    import tomllib

    root = Path(__file__).parents[1]
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    used = {
        name
        for path in (root / "mailprov").rglob("*.py")
        for name in re.findall(r"extras\.install\(['\"](\w+)", path.read_text())
    }
    assert used == {"age", "dask", "profiles", "xlsx"}
    assert used <= declared.keys()
