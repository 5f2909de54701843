from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from verify_minimail import MiniMail
from verify_servers import NAME, Identity, Script, Server, identity

from mailprov.checks import Endpoint


@pytest.fixture(scope="session")
def ca() -> Identity:
    return identity(("Test CA",), ca=True)


@pytest.fixture(scope="session")
def roots(ca: Identity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    path.write_text(ca.pem)
    return path


@pytest.fixture(scope="session")
def good(ca: Identity) -> Identity:
    return identity(issuer=ca)


@pytest.fixture
def mail(good: Identity, tmp_path: Path) -> MiniMail:
    return MiniMail(good.context(tmp_path))


Serve = Callable[..., tuple[Endpoint, Server]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(script, protocol, mode) starts a server and gives its Endpoint."""
    servers: list[Server] = []

    def start(script: Script, protocol: str = "pop3", mode: str = "tls") -> tuple[Endpoint, Server]:
        server = Server(script)
        servers.append(server)
        return Endpoint(protocol, mode, "127.0.0.1", server.port, NAME), server  # type: ignore[arg-type]

    yield start
    for server in servers:
        server.close()
