"""What it takes to load a declaration with a long staff list: CPU seconds and memory of whole processes.

    python benchmarks/staff_list.py [--users 100000] [--rounds 5]

Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "a" * 80
DECLARED = """\
mailprov: 1
hosts: {mail.example.com: {address: 192.0.2.10}}
domains: [{name: example.com, catch_all: user0@example.com}]
users: [{from_csv: staff.csv}]
tls: {self_signed: {}}
services: {imap: true}
"""
LOAD = """\
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
def peak():  # not ru_maxrss, which begins with that of the parent
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
bare = peak()
from mailprov import declaration
begun = process_time()
found = declaration.load(Path(sys.argv[1]), environ={}, now=datetime.now(UTC))
loaded = process_time() - begun
print(len(found.users), begun, loaded, (peak() - bare) / 1024)
"""


def staff_list(users: int) -> str:
    """A table with so many users, each with a hash of her own."""
    rows = (f"user{n}@example.com,用户{n},{HASH}{n:06},{1 + n % 3}GiB,部门{n % 20}\n" for n in range(users))
    return "address,name,password_hash,quota,department\n" + "".join(rows)


def main() -> None:
    """Print a line for each round, and the best of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mail.yaml").write_text(DECLARED, encoding="utf-8")
        Path(folder, "staff.csv").write_text(staff_list(chosen.users), encoding="utf-8")
        for _ in range(chosen.rounds):
            command = (sys.executable, "-c", LOAD, f"{folder}/mail.yaml")
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            count, started, loaded, memory = map(float, done.stdout.split())
            best = min(best, loaded)
            print(
                f"{count:,.0f} users: {loaded:.3f} s CPU to load (start {started:.3f} s), {memory:.0f} MiB at the peak"
            )
    print(f"best: {best:.3f} s, {best / chosen.users * 1e6:.1f} µs a user")


if __name__ == "__main__":
    main()
