"""A real mail host per Debian release, to be made ill and well again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "mail"))

from doctor_patient import Patient
from mail_certificates import certificate
from mail_machine import HOSTNAME

from mailprov.lab import Lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module says on which releases its tests are tried."""
    if "machine" in metafunc.fixturenames:
        metafunc.parametrize("machine", metafunc.module.TRIED_ON, indirect=True, scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist (--dist loadgroup) each release's host is one worker's: most of these tests wait."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        if chosen is not None and "machine" in chosen.params and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{chosen.params['machine']}"), append=False)


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A converged mail host; every test leaves it well."""
    with Lab() as lab:
        host = lab.boot("patient", str(request.param))
        ca = certificate("Test CA")
        made = Patient(host, tmp_path_factory.mktemp("doctor") / "mail", ca, certificate(HOSTNAME, ca))
        ran = made.apply()
        assert ran.status == 0, ran.said
        yield made
