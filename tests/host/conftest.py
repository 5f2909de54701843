"""A lab for the tests of a run, and declarations of its hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailprov.host.sshconfig import SshConfig
from mailprov.lab import Lab, LabHost
from mailprov.model import Firewall, HostSpec, Services, Ssh, Tls

Declare = Callable[..., HostSpec]


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def machine(lab: Lab) -> LabHost:
    """A host whose SSH server may be spoilt in every way, as long as port 22 goes on serving."""
    return lab.boot("door", "trixie", packages=("sudo",))


@pytest.fixture
def nobody(tmp_path: Path) -> SshConfig:
    """A user with no SSH configuration, no keys and no agent."""
    return SshConfig(home=tmp_path / "home", user="nobody")


def declare(name: str = "mail1", address: str = "192.0.2.1", *, become: bool = False, **ssh: Any) -> HostSpec:
    """A declared host; `become_password` and the fields of `Ssh` by name."""
    password = ssh.pop("become_password", None)
    return HostSpec(
        name=name,
        address=address,
        hostname="mail.example.com",
        ssh=Ssh(**ssh),
        become=become,
        become_password=password,
        tls=Tls("self_signed"),
        services=Services(),
        firewall=Firewall(),
    )


@pytest.fixture(name="declare")
def _declare() -> Declare:
    return declare
