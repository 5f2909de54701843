"""A lab for the tests of a run, and declarations of its hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ssh_servers import declare

from mailprov.host.sshconfig import SshConfig
from mailprov.lab import Lab, LabHost
from mailprov.model import HostSpec

Declare = Callable[..., HostSpec]


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def machine(lab: Lab) -> LabHost:
    """A host whose SSH server may be spoilt in every way, as long as port 22 goes on serving."""
    machine = lab.boot("door", "trixie", packages=("sudo",))
    machine.run(("ssh-keygen", "-A"))  # every kind of host key; only the first is known
    machine.run(("systemctl", "restart", "ssh"))
    machine.wait()
    return machine


@pytest.fixture
def nobody(tmp_path: Path) -> SshConfig:
    """A user with no SSH configuration, no keys and no agent."""
    return SshConfig(home=tmp_path / "home", user="nobody")


@pytest.fixture(name="declare")
def _declare() -> Declare:
    return declare
