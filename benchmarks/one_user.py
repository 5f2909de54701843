"""One user added to a host with 100: `mailprov apply --yes` as a whole process, with a login as that user.

    python benchmarks/one_user.py [--users 100] [--rounds 9] [--release bookworm]

Needs what the lab needs: Linux, root, systemd-nspawn. compare.py sets it beside other tools.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from _measure import run
from _trial import MAILPROV, PACKAGES, access, declare, employ, environment, member, options

from mailprov.lab import Lab

NEW = "  - {address: new@example.com, password: {initial: {env: NEW_PASSWORD}}}\n"


def main() -> None:
    """Boot, apply, then add the user and take it away again, and print the adding's median."""
    wanted = options(__doc__, rounds=9)
    with Lab() as lab, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = lab.boot("bench", wanted.release, packages=PACKAGES)
        how = access([host], folder)
        employ(folder, wanted.users)

        def apply(more: str) -> float:
            file = declare(folder, [member(host)], how, more=more)
            command = (*MAILPROV, "apply", "-f", str(file), "--yes", "--allow-removals", "--allow-closing")
            given = environment(folder / "cache") | {"NEW_PASSWORD": "secret of the new user"}
            sample = run(command, folder=folder, environment=given)
            if sample.status:
                sys.exit(f"mailprov ended with {sample.status}:\n{sample.complained}")
            return sample.wall

        apply("")
        added = []
        for _ in range(wanted.rounds + 1):
            added.append(apply(NEW))
            apply("")
    print(f"one user added to {wanted.users}, {wanted.release}, median of {wanted.rounds} whole processes")
    print(f"  mailprov apply, logged in and confirmed  {statistics.median(added[1:]):6.3f} s wall")


if __name__ == "__main__":
    main()
