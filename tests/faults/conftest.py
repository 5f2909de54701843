"""Hosts to try faults on; a whole run writes its figures to docs/."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "mail"))

from faults_host import Certificates
from faults_scenarios import HOSTNAME, SCENARIOS, Scenario
from faults_table import Row, page, random_page, read, read_trials
from faults_trial import Known, Ward, layer, learn
from mail_certificates import certificate

from mailprov.lab import Lab
from mailprov.lab.layers import Layer

RELEASE = os.environ.get("MAILPROV_FAULTS_RELEASE", "bookworm")


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """A lab for the whole session of this process."""
    ca = certificate("Test CA")
    shown = Certificates(ca, certificate(HOSTNAME, ca), certificate(HOSTNAME, ca))
    with Lab() as lab:
        yield Ward(lab, tmp_path_factory.mktemp("faults"), shown)


@pytest.fixture(scope="session")
def layers(ward: Ward) -> Callable[[Scenario], Layer]:
    """What a scenario's hosts are booted from."""
    return partial(layer, ward, RELEASE)


@pytest.fixture(scope="session")
def knowledge(ward: Ward, layers: Callable[[Scenario], Layer]) -> Callable[[str], Known]:
    """A scenario's two good states and its journal."""
    return cache(lambda name: learn(ward, layers(SCENARIOS[name]), SCENARIOS[name]))


_DOCS = Path(__file__).parents[2] / "docs"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The process that started the others writes the page."""
    whole = os.environ.get("MAILPROV_FAULTS") in ("all", "every")
    if whole and not hasattr(session.config, "workerinput") and (rows := read()):
        seed = os.environ.get("MAILPROV_FAULTS_SEED", "16")
        (_DOCS / "fault-matrix.md").write_text(page(sorted(rows, key=_place), RELEASE, seed), encoding="utf-8")
    count, seed = int(os.environ.get("MAILPROV_FAULTS_TRIALS", "0")), os.environ.get("MAILPROV_FAULTS_SEED", "16")
    if count >= 100 and not hasattr(session.config, "workerinput") and len(trials := read_trials(seed)) >= count:
        (_DOCS / "faults-random.md").write_text(random_page(trials, seed), encoding="utf-8")


def _place(row: Row) -> Any:
    return list(SCENARIOS).index(row["apply"]), row["fault"]
