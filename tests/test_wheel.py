"""What is released works: an sdist makes a wheel, and the wheel alone runs from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailprov import __version__

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.xdist_group("wheel")


def run(*argv: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=clean | {"CI": "true"} | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the sdist, as a release is."""
    into = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--outdir", into, ROOT, cwd=into)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = into.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`mailprov` in a clean environment that holds nothing but the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("clean")
    assert run(sys.executable, "-m", "venv", folder / "venv", cwd=folder).returncode == 0
    done = run(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    yield folder / "venv/bin/mailprov"


def test_the_wheel_carries_all_that_is_read_at_run_time(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    shipped = (path for kind in ("*.sh", "*.yaml") for path in (ROOT / "mailprov").rglob(kind))
    data = {path.relative_to(ROOT).as_posix() for path in shipped} | {"mailprov/py.typed"}
    for folder in ("schemas", "templates"):
        data |= {f"mailprov/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert data <= held
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mailprov").rglob("*.py")}
    assert code <= held
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    release = f"mailprov-{__version__}"
    assert tops == {"mailprov", f"{release}.dist-info", f"{release}.data"}
    data = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{release}.data/")}
    assert data == {f"{release}.data/data/share/man/man1/mailprov.1"}


def test_version(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"mailprov, version {__version__}\n")


def test_init_validate_render_from_another_folder(installed: Path, tmp_path: Path) -> None:
    secret = {"ALICE_INITIAL": "correct horse battery staple"}
    for words in (("init",), ("validate",), ("render", "-o", "out", "--release", "12")):
        done = run(installed, *words, cwd=tmp_path, environment=secret)
        assert done.returncode == 0, done.stderr
        assert "correct horse" not in done.stdout + done.stderr
    assert "pop3" in (tmp_path / "out/mail1/etc/dovecot/dovecot.conf").read_text()
    assert "virtual_transport" in (tmp_path / "out/mail1/etc/postfix/main.cf").read_text()
    assert all("correct horse" not in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_the_schema_is_there(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "schema", cwd=tmp_path)
    assert done.stdout == (ROOT / "schemas/mailprov.schema.json").read_text(encoding="utf-8")


def test_the_provider_catalogue_is_there(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "providers", "exmail", cwd=tmp_path)
    assert (done.returncode, "pop.exmail.qq.com:995" in done.stdout) == (0, True), done.stderr


def test_what_runs_on_the_host_is_there(installed: Path, tmp_path: Path) -> None:
    words = "import mailprov.standard as s; s = s.REGISTRY.shell; print(len(s.steps), len(s.queries), len(s.daemons))"
    done = run(installed.parent / "python", "-I", "-c", words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "12 15 3\n"), done.stderr
