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
