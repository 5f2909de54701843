"""A real mail host per Debian release, converged by the command line itself, and clones of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_certificates import certificate
from mail_machine import HOSTNAME, Converged, Machine

from mailprov.lab import RELEASES, Lab, LabHost

_SECOND = ("test_mail_trouble", "test_mail_users")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist (--dist loadgroup) one worker owns a release's host; there are two of each, for balance."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and item.path.parent == Path(__file__).parent:
            half = 2 if item.path.stem in _SECOND else 1
            group = pytest.mark.xdist_group(f"mail-{callspec.params['release']}-{half}")
            item.add_marker(group, append=False)


@pytest.fixture(scope="session", params=[release.codename for release in RELEASES])
def release(request: pytest.FixtureRequest) -> str:
    """A Debian release."""
    return str(request.param)


@pytest.fixture(scope="session")
def converged(release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converged]:
    """A plain Debian host that one apply has made a mail host; rebooted since."""
    with Lab() as lab:
        host = lab.boot("mail", release)
        ca = certificate("Test CA")
        mail = Machine(host, tmp_path_factory.mktemp(release) / "mail", ca, certificate(HOSTNAME, ca))
        first = mail.apply()
        assert first.status == 0, first.said
        journal = mail.sh("journalctl -q -o json")
        host.stop()
        layer = host.snapshot()
        host.start()
        _own_files(host)
        yield Converged(mail, lab, first, journal, layer)


@pytest.fixture(scope="session")
def mail(converged: Converged) -> Machine:
    """The host that all tests of a release share: leave it as you find it, but for messages."""
    return converged.mail


def _own_files(host: LabHost) -> None:
    """Copy up what daemons hold open: on an overlay, an open file of a lower layer never looks replaced (fstat(2) goes
    on counting one link), and Postfix would not notice a new lookup table as it does on a disk."""
    host.run(("find", "/etc/postfix", "-type", "f", "-exec", "touch", "-r", "{}", "{}", ";"))


_NUMBERS = itertools.count(1)


@pytest.fixture
def clone(converged: Converged, tmp_path: Path) -> Iterator[Machine]:
    """A converged host of the test's own, to do anything to."""
    host = converged.lab.boot(f"clone-{next(_NUMBERS)}", layer=converged.layer)
    _own_files(host)
    yield Machine(host, tmp_path / "clone", converged.mail.ca, converged.mail.shown)
    converged.lab.discard(host)
