"""What the tests of expectations share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from mailprov import declaration
from mailprov.expectations.model import Verdict
from mailprov.expectations.reading import read
from mailprov.expectations.rendered import Rendered
from mailprov.model import Spec
from mailprov.workflows.expectations import Judging, rendering

HERE = Path(__file__).parent


@cache
def office() -> Spec:
    """The declaration of office.yaml."""
    reading = declaration.Reading(frozenset())
    return declaration.load(HERE / "office.yaml", environ={}, now=datetime(2030, 1, 1, tzinfo=UTC), reading=reading)


@cache
def _rendering() -> Callable[[str], Rendered]:
    return rendering(office())


def judged(text: str, spec: Spec | None = None, file: str = "case.yaml") -> list[Verdict]:
    """How the expectations in `text` stand, by the declaration alone."""
    spec = spec or office()
    judging = Judging(spec, read(text, file, spec), [host for _, host in sorted(spec.hosts.items())])
    judging.declared(_rendering() if spec is office() else None)
    return judging.verdicts()
