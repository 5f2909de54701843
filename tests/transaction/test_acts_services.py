"""What is done to services, with a systemctl that only says what it was told."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell_sandbox import Sandbox

SAYS = 'systemctl() { echo "$*"; }'


@pytest.mark.parametrize(
    ("former", "boot", "told"),
    [
        ("enabled", "", ["unmask -q dovecot.service", "enable -q dovecot.service"]),
        ("enabled", "boot", ["unmask -q dovecot.service", "enable -q dovecot.service"]),
        ("", "", []),
        ("disabled", "", ["disable -q dovecot.service"]),
        ("masked", "", ["disable -q dovecot.service", "mask -q dovecot.service"]),
        ("disabled", "boot", ["disable -q dovecot.service", "stop --no-block dovecot.service"]),
        (
            "masked",
            "boot",
            ["disable -q dovecot.service", "mask -q dovecot.service", "stop --no-block dovecot.service"],
        ),
    ],
)
def test_at_boot_what_is_disabled_again_is_not_started(tmp_path: Path, former: str, boot: str, told: list[str]) -> None:
    """systemd has queued it by then: it was enabled when the boot began."""
    sandbox = Sandbox(tmp_path)
    sandbox.transaction.joinpath("old/7").write_text(f"{former}\n")
    done = sandbox.call("former_enabling", "7", "dovecot", before=f"BOOT={boot}; {SAYS}")
    said = [line for line in done.stdout.splitlines() if not line.startswith(("reset-failed", "show"))]
    assert (done.returncode, said) == (0, told)


@pytest.mark.parametrize(("clock", "naps"), [("6", 0), ("4", 0), ("5", 22)], ids=["later", "set back", "stands still"])
def test_a_second_is_outlasted_whatever_the_clock_does(tmp_path: Path, clock: str, naps: int) -> None:
    before = f'date() {{ echo {clock}; }}; sleep() {{ echo "$1"; }}'
    done = Sandbox(tmp_path).call("outlast", "5", before=before)
    assert (done.returncode, done.stdout.split()) == (0, ["0.05"] * naps)
