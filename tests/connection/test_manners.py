"""A whole fleet at one door: nobody is turned away for good."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest
from ssh_servers import declare, sshd

from mailprov.connection import throttle
from mailprov.connection.ssh import connect
from mailprov.connection.sshconfig import SshConfig
from mailprov.errors import ConnectError
from mailprov.lab import LabHost

TOGETHER = 40


def turned_away() -> ConnectError:
    return throttle.TurnedAwayError("the server closed the connection", where="mail1", fix="wait")


@pytest.mark.parametrize("times", [0, 1, len(throttle.PAUSES)])
def test_it_is_tried_again(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(throttle, "PAUSES", (0.0,) * len(throttle.PAUSES))
    attempts = count()

    def call() -> str:
        if next(attempts) < times:
            raise turned_away()
        return "in"

    assert throttle.patiently(call) == "in"
    assert next(attempts) == times + 1


def test_there_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "PAUSES", (0.0, 0.0))
    attempts = count()

    def call() -> None:
        next(attempts)
        raise turned_away()

    with pytest.raises(throttle.TurnedAwayError):
        throttle.patiently(call)
    assert next(attempts) == 3


def test_another_trouble_is_told_at_once() -> None:
    attempts = count()

    def call() -> None:
        next(attempts)
        raise ConnectError("refused", where="mail1", fix="start it")

    with pytest.raises(ConnectError):
        throttle.patiently(call)
    assert next(attempts) == 1


def test_each_server_has_turns_of_its_own() -> None:
    first = throttle.turn("192.0.2.1", 22)
    held = [first.acquire(blocking=False) for _ in range(throttle.AT_ONCE + 1)]
    assert held == [True] * throttle.AT_ONCE + [False]
    assert throttle.turn("192.0.2.1", 22) is first
    assert throttle.turn("192.0.2.1", 2222).acquire(blocking=False)


@pytest.mark.host
def test_many_come_at_once(machine: LabHost, nobody: SshConfig) -> None:
    """More than sshd lets wait: it drops every one beyond eight."""
    with sshd(machine, 2204, "MaxStartups 8:100:8") as port:
        spec = declare(address=machine.address, user="root", port=22, identity_file=machine.identity_file)
        spec = replace(spec, ssh=replace(spec.ssh, port=port, known_hosts=machine.known_hosts))
        start = threading.Barrier(TOGETHER)

        def look(_: int) -> bytes:
            start.wait()
            with connect(spec, config=nobody) as host:
                return host.run(("echo", "in")).stdout

        with ThreadPoolExecutor(TOGETHER) as pool:
            assert list(pool.map(look, range(TOGETHER))) == [b"in\n"] * TOGETHER
