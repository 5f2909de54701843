"""Whoever adds a managed kind and a daemon adds two folders and registers them: no other file is touched.

What ARCHITECTURE.md says of that is this test: planned, applied, refused, put back, rolled back, drift seen, gone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mail_machine import Machine, Ran, eventually

pytestmark = pytest.mark.host

REGISTERED = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import toys; toys.register()"
CONSENTS = ("--allow-restart", "--allow-closing")


def greet(clone: Machine, how: str, *more: str) -> Ran:
    clone.prelude, clone.environment["TOY"] = REGISTERED, how
    return clone.apply(*CONSENTS, *more)


def said(clone: Machine, what: str) -> bool:
    return eventually(lambda: clone.sh("cat /run/toyd/said 2>/dev/null || :").strip() == what)


def target(clone: Machine) -> str:
    return clone.sh("readlink /etc/toy/greeting || :").strip()


@pytest.mark.one_release
def test_a_kind_and_a_daemon_of_somebody_elses(clone: Machine) -> None:
    ran = greet(clone, "hello")
    assert ran.status == 0, ran.said
    assert "+ link /etc/toy/greeting" in ran.said and "service toyd" in ran.said
    assert target(clone) == "/etc/toy/hello" and said(clone, "hello")
    assert clone.plan().status == 0
    # What the host moved is drift, and is put back.
    clone.sh("ln -sfn /etc/toy/hallo /etc/toy/greeting")
    plan = clone.plan()
    assert plan.status == 2 and "[drift]" in plan.said and "link /etc/toy/greeting" in plan.said
    assert greet(clone, "hello").status == 0 and target(clone) == "/etc/toy/hello"
    # A canary that fails touches nothing; a reload that fails is put back.
    ran = greet(clone, "empty")
    assert ran.status == 1 and "it has nothing to say" in ran.said, ran.said
    assert target(clone) == "/etc/toy/hello"
    ran = greet(clone, "refused")
    assert ran.status == 6, ran.said
    assert target(clone) == "/etc/toy/hello" and said(clone, "hello")
    assert clone.sh("systemctl is-active toyd").strip() == "active"
    # There and back.
    assert greet(clone, "hallo").status == 0
    assert target(clone) == "/etc/toy/hallo" and said(clone, "hallo")
    ran = clone.mailprov("rollback", "--yes", *CONSENTS)
    assert ran.status == 0, ran.said
    assert target(clone) == "/etc/toy/hello" and said(clone, "hello")
    assert "toyd" not in clone.mailprov("status").said
    # What is not wanted any more goes.
    ran = greet(clone, "")
    assert ran.status == 0, ran.said
    assert target(clone) == "" and clone.sh("systemctl is-active toyd || :").strip() == "inactive"
    assert clone.plan().status == 0
