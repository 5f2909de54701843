"""mailprov beside Ansible, pyinfra and the bare connection, on the same lab hosts, in turns, in one run.

    python benchmarks/compare.py [--cases plan-1 add-1 ...] [--rounds 5] [--hosts 20] [--out FILE] [--again]

All tools declare the same mail servers; that they do is not assumed but asserted in every round. Each case is kept in
the file as soon as it is done. Run it again to go on: what was measured today, here and with the same versions, is not
measured a second time, unless `--again` says so. `python benchmarks/page.py` then writes docs/benchmarks.md. Needs what
the lab needs (Linux, root, systemd-nspawn), and PyPI the first time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _fleet import boot, links, multiply, prepared, state
from _measure import Sample, require_psutil, run
from _peers import ANSIBLE, BARE, FACTS, MAILPROV_, PYINFRA, Tool, enrol, instruct, tools
from _trial import DOMAIN, MAILPROV, Access, Member, access, declare, employ, environment, member

from mailprov import declaration
from mailprov.lab import Lab, LabHost

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from slow_line import SlowLine

RESULTS = Path(__file__).parent / "results/latest.json"
ALL = (BARE, MAILPROV_, ANSIBLE, PYINFRA)
CHANGING = (MAILPROV_, ANSIBLE, PYINFRA)
DELAY_SECONDS = 0.05
"""how late each byte comes, each way, where round trips are counted"""
REST = 0.5
"""the load of the last minute from which on a case begins: hosts that have just booted make one"""
PATIENCE_SECONDS = 300
"""how long a case waits for that"""


@dataclass(frozen=True, slots=True)
class Case:
    """Something to measure: with how many hosts (0: as many as the fleet has) and users, and with which tools."""

    name: str
    kind: str
    hosts: int = 1
    users: int = 100
    tools: tuple[str, ...] = ALL


CASES = (
    Case("start", "start", tools=()),
    Case("plan-1", "look"),
    Case("trips-1", "trips"),
    Case("add-1", "add", tools=CHANGING),
    Case("install", "install", tools=CHANGING),
    Case("plan-fleet", "look", hosts=0),
    Case("add-fleet", "add", hosts=0, tools=CHANGING),
    Case("plan-10k-users", "look", users=10_000),
    Case("plan-100k-users", "look", users=100_000),
    Case("plan-simulated", "simulated", tools=(BARE, MAILPROV_)),
)
ALONE = ("start", "install", "simulated")
"""kinds of cases that boot hosts of their own, or none"""

Found = dict[str, Any]
"""what a case gave: for each tool, lists with a value for each round"""


@dataclass(frozen=True, slots=True)
class Bench:
    """Hosts, all tools for them, and a folder with everything that they are told."""

    folder: Path
    hosts: Sequence[LabHost]
    tools: Mapping[str, Tool]
    paths: tuple[str, ...]

    def run(self, tool: Tool, command: tuple[str, ...], *, watched: bool = False) -> Sample:
        """One run from a cold start: no connection is left over from the last one."""
        shutil.rmtree(self.folder / "ansible", ignore_errors=True)
        given = environment(self.folder / "cache") | dict(tool.environment)
        return run(command, folder=self.folder, environment=given, links=links(self.hosts), watched=watched)

    def change(self, tool: Tool, *, watched: bool = False) -> Sample:
        """Let a tool change the hosts. SystemExit where it says that there was nothing to do."""
        sample = self.run(tool, tool.change, watched=watched)
        expect(bool(tool.changes(sample)), f"{tool.name} changes the hosts", sample)
        return sample

    def states(self) -> list[str]:
        """What the first and the last host are."""
        return [state(host, self.paths) for host in dict.fromkeys((self.hosts[0], self.hosts[-1]))]


def bench(folder: Path, hosts: Sequence[LabHost], users: int, members: Sequence[Member] | None = None) -> Bench:
    """Everything declared for all tools, for hosts with so many users; `members`: how they are reached."""
    how = access(hosts, folder)
    chosen = members or [member(host) for host in hosts]
    return declared_bench(folder, hosts, users, chosen, how)


def declared_bench(folder: Path, hosts: Sequence[LabHost], users: int, members: Sequence[Member], how: Access) -> Bench:
    """The same, where it is known how the hosts are reached."""
    employ(folder, users)
    declare(folder, members, how)
    return Bench(folder, hosts, tools(folder, members, how), instruct(folder, members, how))


@contextmanager
def converged(count: int, users: int) -> Iterator[Bench]:
    """So many hosts, which mailprov has made what is declared."""
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        layer = prepared(lab, installed=True)
        if count > 1:
            # The first one's installation is everybody's; what is left to do is each one's own name.
            (pattern,) = boot(lab, layer, 1)
            ready = bench(folder, [pattern], users)
            ready.change(ready.tools[MAILPROV_])
            pattern.stop()
            layer = pattern.snapshot()
            lab.discard(pattern)
        ready = bench(folder, boot(lab, layer, count), users)
        ready.change(ready.tools[MAILPROV_])
        yield ready


# --- each kind of case


def looks(ready: Bench, case: Case, rounds: int) -> Found:
    """Every tool looks at hosts that are as declared, in turns; the first round is for memory, and is not timed."""
    found = _empty(case.tools)
    for number in range(rounds + 1):
        for name in case.tools:
            tool = ready.tools[name]
            sample = ready.run(tool, tool.look, watched=number == 0)
            nothing(tool, sample)
            _note(found[name], sample, timed=number > 0)
    return found


def additions(ready: Bench, case: Case, rounds: int) -> Found:
    """Every tool adds one user; each begins with the same hosts, as mailprov made them, and leaves the same behind."""
    found = _empty(case.tools)
    before, after = ready.states(), list[str]()
    for number in range(rounds + 1):
        for name in case.tools:
            _staff(ready, case.users + 1)
            sample = ready.change(ready.tools[name], watched=number == 0)
            _note(found[name], sample, timed=number > 0)
            after = after or ready.states()
            same(ready.states(), after, name)
            expect(after != before, "the user is there", sample)
            _staff(ready, case.users)
            ready.change(ready.tools[MAILPROV_])
            same(ready.states(), before, "mailprov, taking the user away")
    return found


def _staff(ready: Bench, users: int) -> None:
    employ(ready.folder, users)
    enrol(ready.folder)


def installations(case: Case, rounds: int) -> Found:
    """Every tool makes a mail server of a Debian that is none, a new one each time; memory is looked at meanwhile."""
    found = _empty(case.tools)
    reference: list[str] = []
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="bench") as name:
        layer = prepared(lab, installed=False)
        for _ in range(rounds):
            for tool in case.tools:
                (host,) = boot(lab, layer, 1)
                ready = bench(Path(name), [host], case.users)
                if tool == MAILPROV_:
                    # What Python compiles once is no part of it; the others were compiled when they were installed.
                    ready.run(ready.tools[tool], ready.tools[tool].look)
                _note(found[tool], ready.change(ready.tools[tool], watched=True), timed=True)
                reference = reference or ready.states()
                same(ready.states(), reference, tool)
                lab.discard(host)
    return found


def trips(ready: Bench, case: Case, _rounds: int) -> Found:
    """Every tool looks at the host over a slow line, on which connections and round trips are counted."""
    (host,) = ready.hosts
    found: Found = {}
    for name in case.tools:
        for _ in range(2):  # the first one is for what Python compiles once
            with SlowLine((host.address, host.port), DELAY_SECONDS) as line:
                how = access([host], ready.folder)
                key = how.known_hosts.read_text().split(None, 1)[1]
                how.known_hosts.write_text(f"[127.0.0.1]:{line.port} {key}")
                there = replace(member(host), address="127.0.0.1", port=line.port)
                slow = declared_bench(ready.folder, ready.hosts, case.users, [there], how)
                sample = slow.run(slow.tools[name], slow.tools[name].look)
                nothing(slow.tools[name], sample)
                seen = {
                    "connections": [line.connections],
                    "round_trips": [line.round_trips],
                    "wall": [round(sample.wall, 2)],
                }
                found[name] = seen
    bench(ready.folder, ready.hosts, case.users)
    return found


def simulated(case: Case, rounds: int, count: int) -> Found:
    """mailprov looks at one host under many addresses, as so many machines; see _fleet.multiply."""
    with converged(1, case.users) as one, tempfile.TemporaryDirectory(prefix="bench") as name:
        for file in ("key.pem", "certificate.pem"):
            shutil.copy(one.folder / file, name)
        folder, (host,) = Path(name), one.hosts
        how = access([host], folder)
        declared = declaration.load(one.folder / "mail.yaml", environ={}, now=datetime.now(UTC))
        members = multiply(host, declared, declared.hosts[host.name], how, count)
        return looks(declared_bench(folder, [host], case.users, members, how), case, rounds)


def starts(rounds: int) -> Found:
    """What every command costs before it does anything."""
    commands = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "mailprov --version": (*MAILPROV, "--version"),
        "mailprov --help": (*MAILPROV, "--help"),
    }
    found = _empty(tuple(commands))
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        for number in range(rounds + 1):
            for what, command in commands.items():
                given = environment(Path(name) / "cache")
                sample = run(command, folder=Path(name), environment=given, watched=number == 0)
                expect(sample.status == 0, f"{what} works", sample)
                _note(found[what], sample, timed=number > 0)
    return found


def _empty(names: Sequence[str]) -> Found:
    return {name: {"wall": [], "cpu": [], "sent": [], "received": [], "memory": []} for name in names}


def _note(found: dict[str, list[float]], sample: Sample, *, timed: bool) -> None:
    if sample.memory:
        found["memory"].append(sample.memory)
    if timed:
        for name in ("wall", "cpu", "sent", "received"):
            found[name].append(round(getattr(sample, name), 4))


def nothing(tool: Tool, sample: Sample) -> None:
    """End with what a tool would change where it should change nothing."""
    if changes := tool.changes(sample):
        sys.exit(f"not so: {tool.name} finds nothing to change\n" + "\n".join(changes))


def expect(holds: bool, what: str, sample: Sample) -> None:
    """End with what was said where something else was measured than is claimed."""
    if not holds:
        sys.exit(f"not so: {what}\n{sample.said[-4000:]}\n{sample.complained[-4000:]}")


def same(found: Sequence[str], wanted: Sequence[str], who: str) -> None:
    """End with the difference where hosts are not what they should be after `who`."""
    if found != list(wanted):
        lines = zip("\n".join(found).splitlines(), "\n".join(wanted).splitlines(), strict=False)
        differing = "\n".join(f"- {there}\n+ {should}" for there, should in lines if there != should)
        sys.exit(f"{who} leaves another host behind:\n{differing or found}")


def rest() -> float:
    """Wait until the machine does little else; the load that there is then, also when it never does."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (load := os.getloadavg()[0]) > REST and time.monotonic() < until:
        time.sleep(1)
    return load


# --- the run


def main() -> None:
    """Measure what is not measured yet, case by case."""
    chosen = options()
    require_psutil()
    kept = Kept(chosen.out, chosen.again)
    wanted = [replace(case, hosts=case.hosts or chosen.hosts) for case in CASES if case.name in chosen.cases]
    left = [case for case in wanted if kept.wants(case.name)]
    for key, group in itertools.groupby(left, key=lambda case: (case.hosts, case.users, case.kind in ALONE)):
        cases = list(group)
        if not key[2]:
            with converged(key[0], key[1]) as ready:
                for case in cases:
                    measured = {"look": looks, "add": additions, "trips": trips}[case.kind]
                    kept.add(case, lambda m=measured, c=case: m(ready, c, chosen.rounds))  # type: ignore[misc]
            continue
        for case in cases:
            count = chosen.simulated if case.kind == "simulated" else case.hosts
            alone: Mapping[str, Callable[[], Found]] = {
                "start": lambda: starts(chosen.rounds),
                "install": lambda case=case: installations(case, chosen.installs),  # type: ignore[misc]
                "simulated": lambda case=case: simulated(case, chosen.rounds, chosen.simulated),  # type: ignore[misc]
            }
            kept.add(replace(case, hosts=count), alone[case.kind])


def options() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", default=names, choices=names, metavar="CASE", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5, help="how often each tool is timed (5)")
    parser.add_argument("--installs", type=int, default=1, help="how often each tool makes a new mail server (1)")
    parser.add_argument("--hosts", type=int, default=20, help="how many hosts the fleet has (20)")
    parser.add_argument("--simulated", type=int, default=1000, help="how many hosts are simulated (1000)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    parser.add_argument("--again", action="store_true", help="measure also what was measured before")
    return parser.parse_args()


class Kept:
    """The results so far, in a file."""

    def __init__(self, file: Path, again: bool) -> None:
        self._file = file
        self._again = again
        here = {"machine": machine(), "versions": versions()}
        self._all: dict[str, Any] = {**here, "cases": {}}
        if file.exists():
            before = json.loads(file.read_text())
            if all(before[part] == here[part] for part in here):
                self._all = before

    def wants(self, name: str) -> bool:
        """Whether a case is still to be measured."""
        return self._again or self._all["cases"].get(name, {}).get("date") != f"{datetime.now(UTC):%Y-%m-%d}"

    def add(self, case: Case, measure: Callable[[], Found]) -> None:
        """Measure a case, and keep it at once."""
        print(f"{datetime.now():%H:%M:%S} {case.name}", file=sys.stderr)
        begun, load = datetime.now(UTC), rest()
        found = measure()
        self._all["cases"][case.name] = {
            "date": f"{begun:%Y-%m-%d}",
            "load": round(load, 2),
            "hosts": case.hosts,
            "users": case.users,
            "tools": found,
        }
        self._file.parent.mkdir(exist_ok=True)
        new = self._file.with_suffix(".new")
        text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), json.dumps(self._all, indent=1))
        new.write_text(text + "\n")
        new.replace(self._file)


def machine() -> dict[str, Any]:
    """What this machine is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30),
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """The tools and Python, and the hosts' Dovecot."""
    with tempfile.TemporaryDirectory() as name:
        nobody = Member("mail01", "192.0.2.1", f"mail01.{DOMAIN}")
        found = tools(Path(name), [nobody], Access(Path("key"), Path("known_hosts")))
    return {tool.name: tool.version for tool in found.values()} | {
        "Python": platform.python_version(),
        "Debian": FACTS.release,
    }


if __name__ == "__main__":
    main()
