"""A fleet whose hosts are in memory, driven by the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from simulated_host import BASE, HASH, SimulatedHost

from mailprov import commands as cli
from mailprov.connection.fake import FakeHost
from mailprov.engine.saved_plan import stale
from mailprov.errors import ConnectError
from mailprov.model import HostSpec, Spec
from mailprov.workflows import host_run
from mailprov.workflows.survey import PlanResult


class Fleet:
    """`hosts` by name; `opened` and `closed` are the connections, `begun` the changes; `gone` cannot be reached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document: dict[str, Any] = yaml.safe_load(BASE.replace("$HASH", HASH))
        self.hosts: dict[str, SimulatedHost] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.begun: list[str] = []
        self.gone: set[str] = set()
        self._declared = b""
        self.before: Callable[[str], None] = lambda name: None

    def declare(self, count: int) -> None:
        names = [f"h{number}" for number in range(1, count + 1)]
        self.document["hosts"] = {
            name: {"address": f"192.0.2.{at}", "hostname": f"{name}.example.com"} for at, name in enumerate(names, 1)
        }
        for at, name in enumerate(names, 1):
            self.hosts.setdefault(name, SimulatedHost(machine=f"{at:032}"))

    def run(self, *words: str) -> int:
        self.opened, self.closed, self.begun = [], [], []
        declared = yaml.dump(self.document, Dumper=yaml.CSafeDumper, encoding="utf-8")
        if declared != self._declared:
            (self.folder / "mail.yaml").write_bytes(declared)
            self._declared = declared
        return cli.run(list(words))

    def open(self, declared: HostSpec, *, ask: object = None) -> FakeHost:
        self.opened.append(declared.name)
        if declared.name in self.gone:
            raise ConnectError("no answer", where=declared.name)
        host = FakeHost(declared.name, self.hosts[declared.name].respond)
        host.close = lambda: self.closed.append(declared.name)  # type: ignore[method-assign]
        return host

    def run_plan(self, found: PlanResult, spec: Spec, declared: HostSpec, *_: object) -> None:
        self.begun.append(declared.name)
        self.before(declared.name)
        host = self.hosts[declared.name]
        now = host_sees(host, spec, declared)
        if now.plan.digest != found.plan.digest:
            raise stale(found.seen, now.seen, declared.name)
        host.become(spec, declared.name)


def host_sees(host: SimulatedHost, spec: Spec, declared: HostSpec) -> PlanResult:
    return host_run.survey(spec, declared, host.host())
