"""What a plan for many users takes on this side, without a host: CPU seconds and memory of whole processes.

    python benchmarks/many_users.py [--users 100000] [--rounds 5]

The host of this trial is what is declared; then one user's quota changes. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Any

from staff_list import DECLARED, staff_list

from mailprov import declaration
from mailprov.credentials.passwords import initial_hash
from mailprov.engine.manifest import Manifest, head
from mailprov.engine.plan import Observation, detail_queries, differences, plan, prints, steps
from mailprov.model import Facts, Item, Plan, State
from mailprov.render import prepare
from mailprov.resources.accounts import Accounts
from mailprov.resources.certificates import Certificate, clock
from mailprov.resources.maps import Map
from mailprov.resources.rows import Table
from mailprov.roles import mailhost
from mailprov.standard import REGISTRY

CHANGED = "user0@example.com"
FACTS = Facts("0" * 32, "12", 1_900_000_000, (22,), "2.3.19.1", 9_000_000)


def trial(file: Path) -> dict[str, tuple[float, float]]:
    """CPU seconds of each part, and the peak of the process's memory (MiB) at its end."""
    found: dict[str, tuple[float, float]] = {}

    def measured(part: str, work: Callable[..., Any], *given: object) -> Any:
        begun = process_time()
        made = work(*given)
        found[part] = (process_time() - begun, peak())
        return made

    found["start Python"] = (process_time(), peak())
    declared = measured("load the declaration", lambda: declaration.load(file, environ={}, now=datetime.now(UTC)))
    host = next(iter(declared.hosts.values()))
    measured("compile the templates", prepare)
    desired = measured("make the desired state", mailhost.desired, declared, host, FACTS, initial_hash)
    made = {key: "1" * 64 for key, item in desired.items() if isinstance(item, Map)}
    sight = Observation(FACTS, seen(desired), Manifest("transaction", prints(desired), made), "")
    compared = measured("compare: all as declared", compare, sight, desired, "")
    expect(not compared.changes, f"the host is as declared ({', '.join(str(c.key) for c in compared.changes)})")
    there = replace(accounts(desired), digest="0" * 64, rows=None, initial=None)
    moved = Observation(FACTS, {**sight.live, there.key: there}, sight.manifest, "")
    shown = told(accounts(mailhost.desired(declared, host, FACTS, initial_hash)))
    made = measured("compare: one account differs", compare, moved, desired, shown)
    expect(
        [change.detail for change in made.changes] == [(f"~ {CHANGED}  quota 1 byte → 1 GiB",)], "one account differs"
    )
    measured("its steps", steps, REGISTRY, made)
    return found


def seen(desired: State) -> State:
    """The host, as it is read where it is as declared."""

    def live(item: Item) -> Item:
        if isinstance(item, Accounts):
            return replace(item, rows=None, initial=None)
        if isinstance(item, Certificate):
            until = clock(FACTS.clock) + timedelta(days=300)
            return replace(item, issued="self", matches=True, key_mode="600", not_after=until)
        return replace(item, rows=None, database="1" * 64) if isinstance(item, Map) else item

    return {key: live(item) for key, item in desired.items()}


def accounts(desired: State) -> Accounts:
    """The passwd-file."""
    return next(item for item in desired.values() if isinstance(item, Accounts))


def told(item: Accounts) -> str:
    """What the host tells of its passwd-file, where the first account of one part has another quota."""
    parts = item.rows.parts() if isinstance(item.rows, Table) else ()
    number = next(number for number, part in enumerate(parts) if part[0].startswith(f"{CHANGED}:"))
    lines = "".join(f"{at} {row}\n" for at, row in enumerate(parts[number], 1))
    return f"{number}\n" + lines.replace("bytes=1073741824", "bytes=1", 1)


def compare(sight: Observation, desired: State, shown: str) -> Plan:
    """The plan; `shown` is what the host shows of the passwd-file when that differs."""
    differing = differences(REGISTRY, desired, sight)
    detail_queries(REGISTRY, differing)
    found = plan(REGISTRY, "mail.example.com", sight, desired, differing, {"closer0": shown} if shown else {})
    head("transaction", prints(desired), {})
    prints(sight.live)
    return found


def expect(holds: bool, what: str) -> None:
    """End with a message where something else was measured than is said."""
    if not holds:
        raise SystemExit(f"not so: {what}")


def peak() -> float:
    """The most memory that this process has had, in MiB; not ru_maxrss, which begins with that of the parent."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Run the trial in a process of its own a few times; print the best of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trial", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.trial:
        print(json.dumps(trial(chosen.trial)))
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mail.yaml").write_text(DECLARED, encoding="utf-8")
        Path(folder, "staff.csv").write_text(staff_list(chosen.users), encoding="utf-8")
        command = (sys.executable, __file__, "--trial", f"{folder}/mail.yaml")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": f"{folder}/cache"}
        rounds: list[dict[str, tuple[float, float]]] = []
        for _ in range(chosen.rounds + 1):  # the first one compiles Python's byte-code
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            rounds.append(json.loads(done.stdout))
    print(f"{chosen.users:,} users, the best of {chosen.rounds} processes  CPU seconds  peak, MiB")
    for part in rounds[0]:
        cpu, memory = (min(each[part][n] for each in rounds[1:]) for n in (0, 1))
        print(f"  {part:<46} {cpu:11.3f} {memory:10.0f}")


if __name__ == "__main__":
    main()
