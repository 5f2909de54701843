"""What `include` finds, and that no pattern and no tree makes it look for ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_tools import NOW, SMALL, fuzz

from mailprov.declaration import Reading, load, patterns
from mailprov.errors import SpecError

Told = Callable[..., str]
BOTH = pytest.mark.parametrize("confined", [False, True])
FILES = ("a.yaml", "b.yml", "d/a.yaml", "d/.git/a.yaml", "d/e/a.yaml", "d/e/f/b.yml", "e/a.yaml")


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """What is said of a declaration that includes what fits `pattern`."""

    def said(*include: str, confined: bool) -> str:
        (tmp_path / "mail.yaml").write_text(SMALL + f"include: {list(include)}\n")
        try:
            load(tmp_path / "mail.yaml", environ={"PW": "x"}, now=NOW, reading=Reading(confined=confined))
        except SpecError as error:
            return str(error)
        return ""

    return said


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder: Path, pattern: str) -> set[str]:

    def enter(names: patterns.Names) -> int:
        return os.open(folder.joinpath(*names), os.O_RDONLY | os.O_DIRECTORY)

    return {"/".join(names) for names in patterns.matching(pattern, enter, links=True, seen=count())}


def fits(parts: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    """The meaning of a pattern, in as few words as may be."""
    if not steps:
        return not parts
    if steps[0] == "**":
        return fits(parts, steps[1:]) or (bool(parts) and fits(parts[1:], steps))
    return bool(parts) and fnmatchcase(parts[0], steps[0]) and fits(parts[1:], steps[1:])


@fuzz(200)
@given(st.lists(st.sampled_from(["**", "*", "d", "e", "?", "a.yaml", "*.y*", "[a-b].*"]), min_size=1, max_size=6))
def test_what_a_pattern_finds(tree: Path, steps: list[str]) -> None:
    meant = {name for name in FILES if ".git" not in name and fits(PurePosixPath(name).parts, tuple(steps))}
    assert found(tree, "/".join(steps)) == meant


@BOTH
def test_many_wildcards_take_no_time(confined: bool, tmp_path: Path, told: Told) -> None:
    tmp_path.joinpath(*["d"] * 30).mkdir(parents=True)
    for pattern in ("/".join(["**"] * 12 + ["x.yaml"]), "/".join(["**", "d"] * 12 + ["x.yaml"]), "*a" * 60 + ".yaml"):
        assert "no file matches" in told(pattern, confined=confined)
    assert "this pattern has more than 32 folders" in told("**/d/" * 20 + "x.yaml", confined=confined)
    assert "this is not a pattern" in told("*a" * 200, confined=confined)


@BOTH
def test_a_tree_that_goes_on_and_on(
    confined: bool, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath(*["d"] * 40).mkdir(parents=True)
    assert "folders lie more than 32 deep there" in told("**/x.yaml", confined=confined)
    monkeypatch.setattr(patterns, "MAX_SEEN", 1000)
    (tmp_path / "many").mkdir()
    for number in range(600):
        (tmp_path / f"many/{number}").touch()
    assert "no file matches" in told("many/*.yaml", confined=confined)
    assert "more than 1,000 files and folders" in told("many/*.yaml", "many/?.yml", confined=confined)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/a").symlink_to(".")
    (tmp_path / "loop/b").symlink_to(".")
    expected = "no file matches" if confined else "more than 1,000 files and folders"
    assert expected in told("loop/" + "*/" * 25 + "x.yaml", confined=confined)


@BOTH
def test_what_is_beside_a_named_folder_is_not_looked_at(
    confined: bool, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "MAX_SEEN", 10)
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams/a.yaml").write_text("users: []\n")
    for number in range(50):
        (tmp_path / f"{number}").touch()
    assert told("teams/*.yaml", confined=confined) == ""


@pytest.mark.parametrize("pattern", ["**.yaml", "a/**b", "a\\u0000", ".", "//"])
def test_what_is_no_pattern(pattern: str, told: Told) -> None:
    assert "pattern" in told(pattern.replace("\\u0000", "\\0"), confined=False)
