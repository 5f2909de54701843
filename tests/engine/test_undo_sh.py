"""How an undo goes on trying, with nothing to undo."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell_sandbox import Sandbox

NOTHING = "journal() { :; }; happened() { :; }; shutting_down() { false; }; sleep() { :; }"


@pytest.mark.parametrize(("watch", "status"), [("echo watched", 0), ("false", 1)], ids=["watched", "by nobody"])
def test_a_boot_leaves_what_it_cannot_undo_to_the_watch(tmp_path: Path, watch: str, status: int) -> None:
    """Its unit has failed only where nobody comes back: a failed one is what the next plan would start again."""
    sandbox = Sandbox(tmp_path)
    (sandbox.state / "holder").write_text("somebody\n")
    done = sandbox.call("patiently", "mixed", "false", before=f"BOOT=boot; {NOTHING}; watch() {{ {watch}; }}")
    assert done.returncode == status
    assert done.stdout == ("watched\n" if status == 0 else "")
    assert (sandbox.state / "holder").read_text() == ("" if status == 0 else "somebody\n")
