"""The wheels of what mailprov needs, for every machine that mailprov.pyz runs on: resolved, locked, fetched.

As a program (`make lock`) it resolves anew what pyproject.toml asks for, and writes script/release.lock.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging import tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
LOCK = Path("script/release.lock")
EXTRAS = ("age", "xlsx")
"""what mailprov.pyz and the image hold beside what is always needed: the extras that are small"""
_GLIBC = 36
"""glibc 2.36, Debian 12's: wheels that want a newer one are left alone"""


class ReleaseError(Exception):
    """Why there is no release, and what to do; a message for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of machine: its processor and its Python."""

    machine: str
    python: str

    def __str__(self) -> str:
        return f"linux-{self.machine}-{self.python}"

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags of wheels that run there, the best first (PEP 600)."""
        return *(
            f"manylinux_2_{minor}_{self.machine}" for minor in range(_GLIBC, 16, -1)
        ), f"manylinux2014_{self.machine}"

    @property
    def complete(self) -> Mapping[str, Any]:
        """All that pex wants to know of it."""
        major, minor = map(int, self.python.split("."))
        interpreter = f"cp{major}{minor}"
        found = [
            *tags.cpython_tags((major, minor), [interpreter], self.platforms),
            *tags.compatible_tags((major, minor), interpreter, self.platforms),
        ]
        markers = {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }
        return {"marker_environment": markers, "compatible_tags": list(map(str, found))}


TARGETS = tuple(Target(machine, f"3.{minor}") for machine in ("x86_64", "aarch64") for minor in (11, 12, 13))


def wheels(lock: Path, targets: Sequence[Target], kept: Path) -> tuple[Path, ...]:
    """A folder for each target with the wheels of the `lock`, by their hashes; what is in `kept` is not fetched again.

    Wheels that run everywhere are in the first folder only. Raises ReleaseError where one cannot be had.
    """
    text = lock.read_text(encoding="utf-8")
    # What has one hash has one wheel, for every machine.
    special = "".join(entry for entry in _entries(text) if entry.count("--hash") > 1)
    wanted = [text, *([special] * (len(targets) - 1))]
    digests = [hashlib.sha256(each.encode()).hexdigest()[:16] for each in wanted]
    folders = tuple(kept / f"{target}-{digest}" for target, digest in zip(targets, digests, strict=True))
    with ThreadPoolExecutor() as pool:
        list(pool.map(_fetch, wanted, targets, folders))
    return folders


def _entries(lock: str) -> list[str]:
    return re.findall(r"^\S+==(?:.*\\\n)*.*\n", lock, re.M)


def _fetch(lock: str, target: Target, into: Path) -> None:
    if into.is_dir():
        return
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(lock, encoding="utf-8")
        done = Path(folder, "wheels")
        _download(target, done, "--no-deps", "--require-hashes", "--requirement", str(wanted))
        with suppress(OSError):  # somebody else was faster, with the same
            done.rename(into)


def _download(target: Target, into: Path, *what: str) -> None:
    flags = [word for platform in target.platforms for word in ("--platform", platform)]
    flags += ["--python-version", target.python, "--implementation", "cp", "--only-binary=:all:"]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input")
    done = subprocess.run((*pip, "--dest", into, *flags, *what), check=False, capture_output=True, text=True)
    if done.returncode:
        why = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), done.stderr)
        raise ReleaseError(f"no wheels for {target}: {why.strip()}\n  to do: `make lock` where a release was withdrawn")


def locked(targets: Sequence[Target]) -> str:
    """A lock of what pyproject.toml asks for today, in the words of pip's requirements."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = (*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra]))
    with tempfile.TemporaryDirectory() as folder:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda target: _download(target, Path(folder, str(target)), *wanted), targets))
        return "".join(_lines(sorted(Path(folder).glob("*/*.whl"))))


def _lines(found: Sequence[Path]) -> Iterator[str]:
    versions: defaultdict[str, set[str]] = defaultdict(set)
    hashes: defaultdict[str, set[str]] = defaultdict(set)
    for wheel in found:
        name, version, *_ = parse_wheel_filename(wheel.name)
        versions[name].add(str(version))
        hashes[name].add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    if differing := [f"{name} ({', '.join(sorted(each))})" for name, each in sorted(versions.items()) if len(each) > 1]:
        raise ReleaseError(
            f"machines need different releases of {', '.join(differing)}\n  to do: bound them in pyproject"
        )
    yield "# What mailprov.pyz and the image hold beside mailprov. Written by `make lock`.\n"
    for each in sorted(versions):
        (only,) = versions[each]
        yield " \\\n".join([f"{each}=={only}", *(f"    --hash=sha256:{one}" for one in sorted(hashes[each]))]) + "\n"


def main() -> None:
    """Write the lock anew."""
    try:
        text = locked(TARGETS)
    except ReleaseError as error:
        raise SystemExit(f"script/wheels.py: {error}") from None
    (ROOT / LOCK).write_text(text, encoding="utf-8")
    print(f"wrote {LOCK}")


if __name__ == "__main__":
    main()
