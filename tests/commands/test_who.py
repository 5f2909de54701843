"""The line that says who did it asks Git, and nothing that somebody has committed is run for that."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mailprov.workflows.run_plan import who


def git(folder: Path, *words: str) -> None:
    me = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(("git", *me, *words), cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repo/mail"
    folder.mkdir(parents=True)
    (folder / "mail.yaml").write_text("mailprov: 1\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", "--all")
    git(folder.parent, "commit", "--quiet", "--message", "Begin")
    monkeypatch.chdir(folder)
    return folder


def test_the_commit_is_told(repo: Path) -> None:
    head = subprocess.run(("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True).stdout.strip()
    assert f" commit={head} apply" in who("apply")
    (repo / "mail.yaml").write_text("mailprov: 2\n")
    assert f" commit={head}-dirty apply" in who("apply")


@pytest.mark.parametrize("bare", [True, False])
def test_a_folder_that_looks_like_a_repository_runs_nothing(bare: bool, repo: Path, tmp_path: Path) -> None:
    """Committed beside mail.yaml, with a configuration that names a program."""
    seen = tmp_path / "seen"
    (repo / "HEAD").write_text("ref: refs/heads/main\n")
    for name in ("objects", "refs"):
        (repo / name).mkdir()
    worktree = "" if bare else "\tworktree = .\n"
    program = f'"touch {seen}; false"'
    (repo / "config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tbare = {str(bare).lower()}\n{worktree}\tfsmonitor = {program}\n"
    )
    assert "apply" in who("apply")
    assert not seen.exists()
