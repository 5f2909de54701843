"""What every test needs: a mark on those that boot hosts, and an account at the end of which hosts were booted."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest
import report_schema
from hypothesis import settings

from mailprov.lab import LabHost, requirements

# A shell that starts its background jobs with SIGINT ignored hands that down to whatever the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# HYPOTHESIS_PROFILE=fuzz looks longer, and elsewhere each time.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("fuzz", deadline=None, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_BOOTED: Counter[str] = Counter()
_LOCK = threading.Lock()  # a lab boots several at once
_RAN: dict[str, str] = {}
_LONGEST_ID = 80
_ORDER = ("bullseye", "bookworm", "trixie")

FIXTURES = frozenset({"lab", "machine", "machines"})
"""fixtures that boot hosts: a test that wants one of them is marked `host` if it does not say so itself"""


def pytest_configure(config: pytest.Config) -> None:
    """In whichever process this is: count every start of a host that succeeds, and look at every JSON report."""
    report_schema.watch()
    start = LabHost.start

    def counted(self: LabHost, *args: Any, **more: Any) -> None:
        start(self, *args, **more)
        with _LOCK:
            _BOOTED[self.release] += 1

    LabHost.start = counted  # type: ignore[method-assign]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that boot hosts, keep those of one file in one process (they share hosts), and leave out what is
    marked to be tried on fewer releases."""
    spared = {item for item in items if not _chosen(item)}
    if spared and os.environ.get("MAILPROV_RELEASES") != "all":
        config.hook.pytest_deselected(items=[*spared])
        items[:] = [item for item in items if item not in spared]
    able = requirements()
    for item in items:
        if FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("host")
        if item.get_closest_marker("host") is None:
            continue
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        if not able.met and not os.environ.get("CI"):
            item.add_marker(pytest.mark.skip(reason=f"no lab here: {', '.join(able.missing)}"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long value is named by its length and its sum: each process is told each test's name, and one was 84 MB."""
    if isinstance(val, (str, bytes)) and len(val) > _LONGEST_ID:
        data = val.encode("utf-8", "surrogatepass") if isinstance(val, str) else val
        return f"{argname}-of-{len(val)}-{crc32(data):08x}"
    return None


def _chosen(item: pytest.Item) -> bool:
    """Whether a test takes its release: of all such tests, each release gets its share, if the mark names none."""
    one, two = map(item.get_closest_marker, ("one_release", "two_releases"))
    function: Any = item
    if not (one or two) or not hasattr(item, "callspec"):
        return True
    given = next(value for value in function.callspec.params.values() if value in _ORDER)
    number = crc32(function.originalname.encode())
    if one:
        return bool(given == (one.args or (_ORDER[number % 3],))[0])
    # Debian 11 and 12 have one Dovecot, 2.3; Debian 13 has 2.4.
    return bool(given in (_ORDER[number % 2], "trixie"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember how each test on real hosts ended."""
    if "host" in report.keywords and (report.when == "call" or not report.passed):
        _RAN[report.nodeid.partition("@")[0]] = report.outcome


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its count to the process that started it."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["booted"] = dict(_BOOTED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's count."""
    _BOOTED.update(getattr(node, "workeroutput", {}).get("booted", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests ran on real hosts, and which hosts were booted for them."""
    if not _RAN:
        return
    terminalreporter.section("tests on real booted hosts")
    for nodeid, outcome in sorted(_RAN.items()):
        terminalreporter.write_line(f"{outcome:<8} {nodeid}")
    terminalreporter.write_line("; ".join(_account()))


def _account() -> Iterator[str]:
    ended = Counter(_RAN.values())
    yield "on real hosts: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(ended.items()))
    names = sorted(_BOOTED, key=lambda name: _ORDER.index(name) if name in _ORDER else 9)
    yield "booted hosts: " + (", ".join(f"{name} {_BOOTED[name]}" for name in names) or "none")
