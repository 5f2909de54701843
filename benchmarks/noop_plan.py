"""`mailprov plan` on a converged host, beside the bare connect and exec, whole processes, in one run.

    python benchmarks/noop_plan.py [--users 100] [--rounds 9] [--release bookworm]

Needs what the lab needs: Linux, root, systemd-nspawn. compare.py sets it beside other tools.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _measure import Sample, run
from _trial import MAILPROV, PACKAGES, access, declare, employ, environment, member, options

from mailprov.lab import Lab

FLOOR = Path(__file__).with_name("_floor.py")


def main() -> None:
    """Boot, apply, measure, print."""
    wanted = options(__doc__, rounds=9)
    with Lab() as lab, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = lab.boot("bench", wanted.release, packages=PACKAGES)
        how = access([host], folder)
        employ(folder, wanted.users)
        file = declare(folder, [member(host)], how)
        apply = (*MAILPROV, "apply", "-f", str(file), "--yes", "--allow-closing")
        subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
        commands = {
            "bare paramiko connect + exec": (
                *(sys.executable, str(FLOOR), str(how.identity_file), str(how.known_hosts), host.address),
            ),
            "mailprov plan, no change": (*MAILPROV, "plan", "-f", str(file), "--detailed-exitcode"),
        }
        found: dict[str, list[Sample]] = {name: [] for name in commands}
        for _ in range(wanted.rounds + 1):
            for what, command in commands.items():
                sample = run(command, folder=folder, environment=environment(folder / "cache"))
                if sample.status:
                    sys.exit(f"{what} ended with {sample.status}:\n{sample.complained}")
                found[what].append(sample)
    print(f"{wanted.users} users, {wanted.release}, medians of {wanted.rounds} whole processes")
    walls = []
    for what, samples in found.items():
        walls.append(statistics.median(each.wall for each in samples[1:]))
        cpu = statistics.median(each.cpu for each in samples[1:])
        print(f"  {what:<32} {walls[-1]:6.3f} s wall  {cpu:6.3f} s CPU")
    print(f"  ratio {walls[1] / walls[0]:.2f}")


if __name__ == "__main__":
    main()
