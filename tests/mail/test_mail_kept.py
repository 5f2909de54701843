"""A plan that was kept, applied over a line on which each round trip is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mail_clients import login
from mail_machine import ALICE, PASSWORDS, Machine
from slow_line import SlowLine

pytestmark = pytest.mark.host


def add_a_user(declared: dict[str, Any]) -> None:
    declared["users"].append({"address": "new@example.test", "password": declared["users"][0]["password"]})


def change_everything(declared: dict[str, Any]) -> None:
    add_a_user(declared)
    declared["services"]["imap"] = {"tls": 993}
    declared["firewall"] = {"manage": True, "allow": [{"port": 9100}]}


@pytest.mark.parametrize("change", [add_a_user, change_everything])
def test_few_round_trips_with_the_fresh_confirmation(clone: Machine, change: Callable[[dict[str, Any]], None]) -> None:
    change(clone.declared)
    # On a busy machine an apply over this line lasts longer than the interval of keepalives, for which nobody waits.
    clone.prelude = "import mailprov.host.ssh; mailprov.host.ssh.KEEPALIVE = 600"
    with SlowLine((clone.address, 22), delay=0.25) as line:
        # By SSH's own configuration, so that mail clients still go to the host itself.
        clone.folder.joinpath(".ssh").mkdir(mode=0o700)
        config = f"Host {clone.address}\n HostName 127.0.0.1\n Port {line.port}\n HostKeyAlias {clone.address}\n"
        clone.folder.joinpath(".ssh/config").write_text(config)
        assert clone.plan("--out", "plan.json").status == 2
        before = line.connections, line.round_trips
        applied = clone.mailprov("apply", "plan.json", "--yes", "--allow-closing")
    assert applied.status == 0, applied.said
    assert line.connections - before[0] == 2
    # Each connection itself is one more.
    trips = line.round_trips - before[1] + 2
    print(f"{trips} round trips")
    assert 8 < trips <= 15
    assert clone.plan().status == 0
    assert login(clone, "pop3s", "new@example.test", PASSWORDS[ALICE]) == 0
