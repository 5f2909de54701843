"""`mailprov plan` on a converged host, beside the bare connect and exec, whole processes, in one run.

    python benchmarks/noop_plan.py [--users 100] [--rounds 9] [--release bookworm]

Needs what the lab needs: Linux, root, systemd-nspawn.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mailprov.lab import Lab, LabHost

FLOOR = Path(__file__).with_name("_floor.py")
MAILPROV = (sys.executable, "-c", "from mailprov.cli import main; main()")
PACKAGES = ("dovecot-core", "dovecot-lmtpd", "dovecot-pop3d", "dovecot-imapd", "postfix", "openssl", "nftables")
HASH = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "a" * 86


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of one command: wall and CPU seconds of the whole process, Python's start included."""

    name: str
    wall: float
    cpu: float


def declaration(host: LabHost, users: int) -> str:
    """A mail server with `users` accounts, all listeners and a firewall."""
    ssh = f"{{user: root, identity_file: {host.identity_file}, known_hosts: {host.known_hosts}}}"
    people = "\n".join(f'  - {{address: user{n}@example.com, password: {{hash: "{HASH}"}}}}' for n in range(users))
    return f"""mailprov: 1
hosts: {{mail1: {{address: {host.address}, hostname: mail.example.com, ssh: {ssh}}}}}
domains: [{{name: example.com, catch_all: user0@example.com}}]
users:
{people}
tls: {{self_signed: {{}}}}
services: {{pop3: true, imap: true, submission: true, smtp: true}}
firewall: {{manage: true}}
"""


def measure(name: str, command: tuple[str, ...], rounds: int, cache: str) -> Measured:
    """Run a command `rounds` times, after one that is not counted. Raises CalledProcessError when it fails.

    Python's byte-code is kept in `cache`, as an installation has it.
    """
    walls, cpus = [], []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache
    for number in range(rounds + 1):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if number:
            walls.append(wall)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Measured(name, statistics.median(walls), statistics.median(cpus))


def main() -> None:
    """Boot, apply, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--release", default="bookworm")
    wanted = parser.parse_args()
    with Lab() as lab, tempfile.TemporaryDirectory() as folder:
        host = lab.boot("bench", wanted.release, packages=PACKAGES)
        file = Path(folder, "mail.yaml")
        file.write_text(declaration(host, wanted.users), encoding="utf-8")
        subprocess.run((*MAILPROV, "apply", "-f", str(file), "--yes"), check=True, stdout=subprocess.DEVNULL)
        floor = (sys.executable, str(FLOOR), host.address, str(host.identity_file), str(host.known_hosts))
        plan = (*MAILPROV, "plan", "-f", str(file), "--detailed-exitcode")
        commands = {"bare paramiko connect + exec": floor, "mailprov plan, no change": plan}
        found = [measure(name, command, wanted.rounds, folder) for name, command in commands.items()]
    print(f"{wanted.users} users, {wanted.release}, medians of {wanted.rounds} whole processes")
    for result in found:
        print(f"  {result.name:<32} {result.wall:6.3f} s wall  {result.cpu:6.3f} s CPU")
    print(f"  ratio {found[1].wall / found[0].wall:.2f}")


if __name__ == "__main__":
    main()
