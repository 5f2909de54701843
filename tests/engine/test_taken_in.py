"""The shell script that takes a bundle in and hands it to systemd."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from mailprov.engine.transaction import START


def bundle(*members: str) -> bytes:
    """A bundle of empty members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in members:
            archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


def taken_in(root: Path, packed: bytes, systemd_run: str) -> Path:
    """The folder of a bundle that has been taken in on a host where systemd-run does this."""
    programs = root / "bin"
    programs.mkdir()
    for name, script in (
        ("systemd-run", systemd_run),
        ("systemctl", "case $3 in MainPID) echo 0 ;; *) echo inactive ;; esac"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    script = START.replace("/var/lib/mailprov", str(root))
    environ = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(
        ["dash", "-c", script, "sh", "t1", "60"], env=environ, input=packed, capture_output=True, check=False
    )
    return root / "txn" / "t1"


WHOLE = bundle("run", "sums")


@pytest.mark.parametrize(
    ("packed", "systemd_run"),
    [(WHOLE[:700], "echo never >&2"), (bundle("run"), "echo never >&2"), (WHOLE, "exit 1")],
    ids=["cut off", "without its last member", "refused by systemd"],
)
def test_nothing_is_left_of_what_never_began(tmp_path: Path, packed: bytes, systemd_run: str) -> None:
    assert not taken_in(tmp_path, packed, systemd_run).exists()


@pytest.mark.parametrize("signal", ["HUP", "INT", "TERM", "PIPE"])
def test_what_systemd_has_stays_whatever_signal_comes(tmp_path: Path, signal: str) -> None:
    ends = f"echo '1 verdict applied' >{tmp_path}/txn/t1/journal"
    folder = taken_in(tmp_path, WHOLE, f"kill -{signal} $PPID; {ends}")
    assert folder.joinpath("run").exists()
