"""What is registered, and what another version has left that is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_host import SimulatedHost, declare

from mailprov.engine import rollback
from mailprov.engine.kept_transactions import Act, KeptTransaction
from mailprov.errors import MailprovError
from mailprov.model import Key
from mailprov.roles import mailhost
from mailprov.standard import REGISTRY

STRANGE = Key("widget", "/etc/widget")


def test_every_kind_has_its_own_sections() -> None:
    sections = [section for kind in REGISTRY.kinds for section in kind.SECTIONS]
    assert len(sections) == len(set(sections)) and REGISTRY.stable == {*sections, "past"}
    assert len({kind.KIND for kind in REGISTRY.kinds}) == len(REGISTRY.kinds)


def test_every_kind_has_its_shell() -> None:
    """And each role that asks more has its own, too."""
    asking = [role for role in mailhost.ROLES if role.takeover]
    found = (len(REGISTRY.shell.queries), len(REGISTRY.shell.steps))
    assert found == (len(REGISTRY.kinds) + len(asking), len(REGISTRY.kinds)) and asking


def test_every_daemon_that_serves_has_its_parts() -> None:
    shell = "\n".join(REGISTRY.shell.daemons)
    for daemon in REGISTRY.daemons:
        parts = ("check", "seclude", "as_it_is", "canary", "log") if daemon.serves else ()
        assert all(f"\n{daemon.name}_{part}() {{" in shell for part in parts), daemon.name


def test_what_a_later_version_has_left_stays(tmp_path: Path) -> None:
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    count = host.kept.count("\ndesired ")
    host.kept = host.kept.replace(f"\ncount {count}\n", f"\ncount {count + 1}\n")
    host.kept += f"desired {STRANGE.kind} {'0' * 32} {STRANGE.name}\nmade {STRANGE.kind} x {STRANGE.name}\n"
    assert host.plan(spec).empty


def test_what_a_later_version_did_is_not_taken_back() -> None:
    kept = KeptTransaction("a", (Act("a", 1, STRANGE, ("put_widget", "1", STRANGE.name)),))
    assert STRANGE not in rollback.asked(REGISTRY, [kept])
    with pytest.raises(MailprovError, match="of a kind that this version does not know") as refused:
        rollback.target(REGISTRY, [kept], {}, mailhost.reads)
    assert refused.value.fix == "roll a back with the version of mailprov that applied it"
