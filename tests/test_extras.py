"""What is said to install works for how mailprov was installed."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from mailprov import extras
from mailprov.extras import Way

ROOT = Path(__file__).parents[1]
DECLARED = [
    'openpyxl>=3.1; extra == "xlsx"',
    "click>=8.2",
    "typst>=0.15 ; extra == 'profiles'",
    "segno; extra=='profiles'",
]


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: DECLARED)


class Installed:
    """What `importlib.metadata` knows of mailprov: who put it there."""

    def __init__(self, installer: str | None) -> None:
        self.installer = installer

    def read_text(self, name: str) -> str | None:
        assert name == "INSTALLER"
        return self.installer


Install = Callable[..., None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Make it so that mailprov was installed by `installer` into an environment that holds these files.

    `system`: into the Python of a distribution, which no pip should touch.
    """

    def install(installer: str | None, *files: str, system: bool = False, pip: bool = True) -> None:
        monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: Installed(installer))
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        monkeypatch.setattr(sys, "base_prefix", str(tmp_path) if system else "/usr")
        monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
        monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
        monkeypatch.setattr(extras, "find_spec", lambda _name: object() if pip else None)
        for name in (*files, *(["EXTERNALLY-MANAGED"] if system else [])):
            (tmp_path / name).touch()

    return install


def test_pip_of_this_python_is_named() -> None:
    assert extras.requirements("profiles") == ("typst>=0.15", "segno")
    said = extras.install("profiles")
    assert said == f"{sys.executable} -m pip install 'typst>=0.15' segno (the extra `profiles`)"
    command = said.partition(" (the extra")[0].replace("install", "install --dry-run --no-deps --no-index", 1)
    done = subprocess.run(("sh", "-c", command), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # both are there already: it is a command, and understood


def test_pipx_has_a_way_of_its_own(installed: Install) -> None:
    installed("pip", "pipx_metadata.json")
    assert extras.way() is Way.PIPX
    assert extras.install("xlsx") == "pipx inject mailprov 'openpyxl>=3.1' (the extra `xlsx`)"


def test_an_environment_without_pip_is_one_of_uv(installed: Install, tmp_path: Path) -> None:
    installed("uv", pip=False)
    wanted = f"uv pip install --python {tmp_path}/bin/python 'openpyxl>=3.1' (the extra `xlsx`)"
    assert (extras.way(), extras.install("xlsx")) == (Way.UV, wanted)


def test_pip_that_was_let_into_the_systems_python_is_let_in_again(installed: Install, tmp_path: Path) -> None:
    installed("pip", system=True)
    assert extras.way() is Way.SYSTEM_PIP
    assert extras.install("xlsx").startswith(f"{tmp_path}/bin/python -m pip install --break-system-packages 'openpyxl>")


@pytest.mark.parametrize("installer", [None, "", "rpm\n", "debian"])
def test_a_distribution_has_packages_of_its_own(installer: str | None, installed: Install) -> None:
    installed(installer, system=True)
    said = extras.install("profiles")
    assert extras.way() is Way.DISTRIBUTION
    assert said.startswith("install your distribution's packages of typst, segno (Debian's are called python3-…)")
    assert "pip install" not in said


def test_the_zipapp_gets_a_folder_beside_it(installed: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    installed("pex", pip=False)
    monkeypatch.setenv("PEX", "/opt/my tools/mailprov.pyz")
    python = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    beside = "'/opt/my tools/mailprov.pyz.extras'"
    assert extras.way() is Way.ZIPAPP
    assert extras.install("profiles") == (
        f"{python} -m pip install --target {beside} 'typst>=0.15' segno, "
        f"then PEX_EXTRA_SYS_PATH={beside} '/opt/my tools/mailprov.pyz' … (the extra `profiles`)"
    )


def test_the_image_is_built_with_it(installed: Install) -> None:
    installed("pip", extras.IMAGE)
    assert extras.way() is Way.IMAGE
    said = "build the image with it: --build-arg EXTRAS=age,xlsx,profiles (see its Containerfile)"
    assert extras.install("profiles") == said
    assert "EXTRAS=age,xlsx (" in extras.install("xlsx")
    described = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert f"touch /opt/mailprov/{extras.IMAGE}\n" in described
    assert f"ARG EXTRAS={','.join(extras.BUILT_IN)}\n" in described


def test_what_was_never_installed_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    assert extras.way() is Way.SOURCE
    assert extras.install("xlsx") == "install mailprov with its extra `xlsx`"


def test_every_extra_that_is_named_is_declared() -> None:
    import re
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    texts = {path: path.read_text() for path in (ROOT / "mailprov").rglob("*.py")}
    used = {name for text in texts.values() for name in re.findall(r"extras\.install\(['\"](\w+)", text)}
    assert used == {"age", "dask", "profiles", "xlsx"}
    assert used <= declared.keys()
    assert set(extras.BUILT_IN) <= used
    # One place says how to install: nobody else names pip in a message.
    assert [path.name for path, text in texts.items() if re.search(r"pip install|pipx inject", text)] == ["extras.py"]
