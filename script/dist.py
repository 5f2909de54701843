"""Make a release of the last commit, in dist/: bit-identical whenever and wherever it is made (docs/releasing.md).

What is not committed is not in it. Where a tag v1.2.3 is on the commit, it must be the version of the program.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheels import EXTRAS, LOCK, ROOT, TARGETS, ReleaseError, Target, wheels

_VERSION_TAG = re.compile(r"v?(\d+\.\d+\S*)")
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Release:
    """What is released: the `tree` of a commit, its `version`, and the commit's time (`epoch`, Unix seconds)."""

    tree: Path
    version: str
    tagged: bool
    epoch: int

    @property
    def environment(self) -> Mapping[str, str]:
        """That of every tool: the commit's time instead of today, and nothing of Python's from whoever calls."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PEX_"))}
        own = {"SOURCE_DATE_EPOCH": str(self.epoch), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return kept | own | {"PEX_ROOT": str(self.tree.parent / "pex")}


def described(root: Path, into: Path) -> Release:
    """The last commit of the checkout at `root`, its files laid out in `into`.

    Raises ReleaseError where there is none, where a tag on it is of another version, and where the changelog does not
    tell of a version that has a tag.
    """
    epoch = int(_git(root, "log", "-1", "--format=%ct"))
    into.mkdir()
    # A umask of somebody's own, which Git would take over, would be another archive.
    packed = subprocess.run(
        ("git", "-C", root, "-c", "tar.umask=0022", "archive", "HEAD"), check=True, capture_output=True
    )
    subprocess.run(("tar", "-xp", "-C", into), input=packed.stdout, check=True)
    version = _said(into / "mailprov/__init__.py", r'^__version__ = "(.+)"$')
    tags = [tag for tag in _git(root, "tag", "--points-at", "HEAD").split() if _VERSION_TAG.fullmatch(tag)]
    for tag in tags:
        if tag.removeprefix("v") != version:
            raise ReleaseError(
                f"the tag {tag} is on this commit, and mailprov/__init__.py says {version}\n"
                f"  to do: write {tag.removeprefix('v')} there, commit, and tag that commit; or remove the tag"
            )
    return Release(into, version, bool(tags), epoch)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(("git", "-C", root, *words), check=False, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{root} is no Git checkout with a commit: {done.stderr.strip()}\n  to do: clone mailprov")
    return done.stdout.strip()


def _said(file: Path, pattern: str) -> str:
    found = re.search(pattern, file.read_text(encoding="utf-8"), re.M)
    if found is None:
        raise ReleaseError(f"{file.name} does not say {pattern}")
    return found[1]


def notes(changelog: str, version: str, *, tagged: bool) -> str:
    """What the changelog has of this version, as a page of its own; without a tag, what is not released yet.

    Raises ReleaseError where a tagged version has no entry.
    """
    wanted = version if tagged else "Unreleased"
    found = re.search(rf"^## \[{re.escape(wanted)}\](?: - (\S+))?\n(.*?)(?=^## \[|\Z)", changelog, re.M | re.S)
    if found is None or (tagged and not found[1]):
        raise ReleaseError(f"CHANGELOG.md has no entry `## [{wanted}] - DATE`\n  to do: write one, and tag that commit")
    title = f"mailprov {version} ({found[1]})" if tagged else f"mailprov after {version} (not released)"
    return f"# {title}\n\n{found[2].strip()}\n"


def _run(release: Release, *words: str | Path) -> None:
    argv = tuple(map(str, words))
    done = subprocess.run(argv, cwd=release.tree, env=release.environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{' '.join(argv[:4])} … failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _python(release: Release, module: str, *words: str | Path) -> None:
    _run(release, sys.executable, "-m", module, *words)


def packages(release: Release, into: Path) -> Path:
    """Make the sdist, and the wheel from it; the wheel's path."""
    _python(release, "build", "--no-isolation", "--outdir", into, release.tree)
    (wheel,) = into.glob("*.whl")
    return wheel


def zipapp(release: Release, wheel: Path, needed: Sequence[Path], targets: Sequence[Target], into: Path) -> None:
    """Make mailprov.pyz: the wheels of every target in one file, of which a machine unpacks its own."""
    flags: list[str | Path] = []
    for target in targets:
        known = into.parent / f"{target}.json"
        known.write_text(json.dumps(target.complete), encoding="utf-8")
        flags += ["--complete-platform", known]
    for each in (wheel, *needed):
        flags += ["--pre-resolved-dists", each]
    # As a virtual environment it starts as fast as one. The wheels stay as they were published, to be looked up.
    form = (
        "--venv",
        "prepend",
        "--no-pre-install-wheels",
        "--python-shebang",
        "/usr/bin/env python3",
        "--no-emit-warnings",
    )
    wanted = f"mailprov[{','.join(EXTRAS)}]=={release.version}"
    _python(release, "pex", wanted, *flags, *form, "--script", "mailprov", "--output-file", into / "mailprov.pyz")


def materials(release: Release, wheel: Path, needed: Path, into: Path) -> None:
    """Write the SBOM: what mailprov.pyz and the image hold, by the wheels' own metadata."""
    held = into.parent / "held"
    _python(release, "venv", "--without-pip", held)
    (site,) = held.glob("lib/python*/site-packages")
    for each in (wheel, *sorted(needed.glob("*.whl"))):
        with zipfile.ZipFile(each) as packed:
            packed.extractall(site, [name for name in packed.namelist() if ".dist-info/" in name])
    made = into / f"mailprov-{release.version}.cdx.json"
    # It is held against the schema by tests/test_dist.py, as it is published: that takes longer than all the rest.
    form = ("--output-reproducible", "--no-validate", "--output-format", "JSON", "--spec-version", "1.6")
    project = release.tree / "pyproject.toml"
    _python(
        release,
        "cyclonedx_py",
        "environment",
        *form,
        "--pyproject",
        project,
        "--output-file",
        made,
        held / "bin/python",
    )
    document = json.loads(made.read_text(encoding="utf-8"))
    made.write_text(json.dumps(_with_version(document, release.version), indent=2) + "\n", encoding="utf-8")


def _with_version(document: dict[str, Any], version: str) -> dict[str, Any]:
    """The generator reads pyproject.toml, where hatch's version is not."""
    document["metadata"]["component"] |= {"version": version, "purl": f"pkg:pypi/mailprov@{version}"}
    return document


def make(root: Path, into: Path, kept: Path, targets: Sequence[Target] = TARGETS) -> Release:
    """Make the release of the last commit at `root` in the new folder `into`. Raises ReleaseError."""
    into.mkdir()
    release = described(root, into.parent / "tree")
    changelog = (release.tree / "CHANGELOG.md").read_text(encoding="utf-8")
    page = notes(changelog, release.version, tagged=release.tagged)
    with ThreadPoolExecutor() as pool:
        fetched = pool.submit(wheels, release.tree / LOCK, targets, kept)
        wheel = packages(release, into)
        needed = fetched.result()
        others = pool.submit(materials, release, wheel, needed[0], into)
        zipapp(release, wheel, needed, targets, into)
        others.result()
    (into / "release-notes.md").write_text(page, encoding="utf-8")
    for name in ("Containerfile", "docs/mailprov.1", str(LOCK)):
        shutil.copy(release.tree / name, into)
    for file in into.iterdir():
        file.chmod(0o755 if file.suffix == ".pyz" else 0o644)
    (into / SUMS).write_text(sums(into), encoding="utf-8")
    return release


def sums(folder: Path) -> str:
    """What `sha256sum --check` reads, for every file in the folder."""
    files = sorted(file for file in folder.iterdir() if file.name != SUMS)
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def _clear(place: Path) -> None:
    """Remove an earlier release. Raises ReleaseError where the folder is something else."""
    if place.is_dir() and any(place.iterdir()) and not (place / SUMS).is_file():
        raise ReleaseError(f"{place}/ holds something else than a release\n  to do: empty it, or name another: --into")
    shutil.rmtree(place, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a release in a folder, and say what it is."""
    options = argparse.ArgumentParser(prog="script/dist.py", description="Make a release of the last commit.")
    options.add_argument("--into", type=Path, default=ROOT / "dist", metavar="DIR", help="default: dist/")
    kept = "where wheels are kept that were fetched; default: build/wheels/"
    options.add_argument("--wheels", type=Path, default=ROOT / "build/wheels", metavar="DIR", help=kept)
    names = {str(target): target for target in TARGETS}
    words = "machines that mailprov.pyz is for; default: all"
    options.add_argument("--targets", nargs="+", choices=names, default=list(names), help=words)
    given = options.parse_args(arguments)
    try:
        _clear(given.into)
        given.into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="mailprov-dist-") as folder:
            made = Path(folder, "dist")
            release = make(ROOT, made, given.wheels.resolve(), [names[name] for name in given.targets])
            shutil.move(made, given.into)
    except ReleaseError as error:
        raise SystemExit(f"script/dist.py: {error}") from None
    if _git(ROOT, "status", "--porcelain"):
        print("what is not committed is not in it", file=sys.stderr)
    print(f"mailprov {release.version}{'' if release.tagged else ' (a trial: no tag is on this commit)'}: {given.into}")


if __name__ == "__main__":
    main()
