"""Thousands of people get other addresses at once: what a plan takes grows in line with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instructions import instructions
from simulated_host import SimulatedHost, declare

from mailprov.engine import transaction
from mailprov.engine.plan import steps
from mailprov.engine.transaction import Work
from mailprov.report import text
from mailprov.standard import REGISTRY
from mailprov.workflows.survey import survey


def people(count: int, name: str, was: str = "") -> dict[str, Any]:
    """The postmaster, and so many users of that name; those that were called by another one before."""
    more = ({"was": f"{was}{number}@example.com"} if was else {} for number in range(count))
    users = [
        {"address": f"{name}{number}@example.com", "password": {"hash": "$HASH"}, **before}
        for number, before in enumerate(more)
    ]
    return {"users": [{"address": "postmaster@example.com", "password": {"hash": "$HASH"}}, *users]}


def test_work_grows_in_line(tmp_path: Path) -> None:
    def taken(count: int) -> int:
        host = SimulatedHost()
        host.become(declare(tmp_path, people(count, "old")))
        spec = declare(tmp_path, people(count, "new", "old"))
        host.said["mailboxes"] = "".join(f"old old{n}@example.com new{n}@example.com\n" for n in range(count))

        def work() -> None:
            found = survey(spec, spec.hosts["mail1"], host.host())
            assert sum(change.key.kind == "rename" for change in found.plan.changes) == count
            acts = steps(REGISTRY, found.plan)
            transaction.bundle(Work(REGISTRY, found.plan, acts, found.ask, "name", "meta", "manifest"))
            text.plans([found.plan], details=True)

        return instructions(work)

    fixed = min(taken(1), taken(1))  # what is loaded and looked up once is no part of it
    small, large = taken(100) - fixed, taken(400) - fixed
    assert large < 4 * small * 1.05
