"""One user added to a host with 100: `mailprov apply --yes` as a whole process, with a login as that user.

    python benchmarks/one_user.py [--users 100] [--rounds 9] [--release bookworm]

Needs what the lab needs: Linux, root, systemd-nspawn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from noop_plan import MAILPROV, PACKAGES, declaration

from mailprov.lab import Lab

NEW = "  - {address: new@example.com, password: {initial: {env: NEW_PASSWORD}}}\n"


def main() -> None:
    """Boot, apply, then add the user and take it away again, and print the adding's median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--release", default="bookworm")
    wanted = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with Lab() as lab, tempfile.TemporaryDirectory() as folder:
        environment |= {"PYTHONPYCACHEPREFIX": folder, "NEW_PASSWORD": "secret of the new user"}
        host = lab.boot("bench", wanted.release, packages=PACKAGES)
        without = declaration(host, wanted.users)
        file = Path(folder, "mail.yaml")

        def apply(text: str) -> float:
            file.write_text(text, encoding="utf-8")
            begun = time.perf_counter()
            command = (*MAILPROV, "apply", "-f", str(file), "--yes", "--allow-removals", "--allow-closing")
            subprocess.run(command, check=True, capture_output=True, env=environment)
            return time.perf_counter() - begun

        apply(without)
        added = []
        for _ in range(wanted.rounds + 1):
            added.append(apply(without.replace("\ntls:", f"\n{NEW}tls:")))
            apply(without)
    print(f"one user added to {wanted.users}, {wanted.release}, median of {wanted.rounds} whole processes")
    print(f"  mailprov apply, logged in and confirmed  {statistics.median(added[1:]):6.3f} s wall")


if __name__ == "__main__":
    main()
