"""A lab for the tests of a run, and declarations of its hosts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ssh_servers import declare

from mailprov.connection.sshconfig import SshConfig
from mailprov.lab import Lab, LabHost
from mailprov.model import HostSpec

Declare = Callable[..., HostSpec]


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def machines(lab: Lab) -> Callable[[str], LabHost]:
    """One host of each release, whose SSH server may be spoilt in every way as long as port 22 goes on serving."""

    @functools.cache
    def boot(release: str) -> LabHost:
        machine = lab.boot(f"door-{release}", release, packages=("sudo",))
        machine.run(("ssh-keygen", "-A"))  # every kind of host key; only the first is known
        machine.run(("systemctl", "restart", "ssh"))
        machine.wait()
        return machine

    return boot


@pytest.fixture(scope="session")
def machine(machines: Callable[[str], LabHost]) -> LabHost:
    return machines("trixie")


@pytest.fixture(scope="session", params=["bullseye", "bookworm", "trixie"])
def every_machine(machines: Callable[[str], LabHost], request: pytest.FixtureRequest) -> LabHost:
    return machines(request.param)


@pytest.fixture
def nobody(tmp_path: Path) -> SshConfig:
    """A user with no SSH configuration, no keys and no agent."""
    return SshConfig(home=tmp_path / "home", user="nobody")


@pytest.fixture(name="declare")
def _declare() -> Declare:
    return declare
