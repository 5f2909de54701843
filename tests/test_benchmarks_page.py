"""docs/benchmarks.md is what the results that were kept give. Nothing is measured here."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def page() -> ModuleType:
    found = importlib.util.spec_from_file_location("benchmarks_page", ROOT / "benchmarks/page.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results(page: ModuleType) -> Any:
    return json.loads(page.RESULTS.read_text(encoding="utf-8"))


def test_the_page_is_what_the_results_give(page: ModuleType, results: Any) -> None:
    """Run `python benchmarks/page.py` when this fails."""
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(text, results) == text


def test_the_plots_show_the_results(page: ModuleType, results: Any) -> None:
    for measure in page.PLOTS:
        drawn = re.findall(r"<text [^>]*>([^<]*)</text>", page.plot_file(measure).read_text(encoding="utf-8"))
        for label, bars in page.plotted(results, measure).items():
            assert {*label.split("\n")} <= {*drawn}
            assert {page._figure(value) for value in bars.values()} <= {*drawn}


def test_every_case_that_was_kept_is_on_the_page(page: ModuleType, results: Any) -> None:
    assert results["cases"].keys() <= page.TITLES.keys()
    text = page.PAGE.read_text(encoding="utf-8")
    for name in results["cases"]:
        assert f"### {page.TITLES[name]}\n" in text


def found(*walls: float) -> dict[str, list[float]]:
    mib = float(1 << 20)
    return {"wall": list(walls), "cpu": [0.5], "sent": [2048], "received": [1024], "memory": [64 * mib]}


def test_tables_hold_medians_and_say_what_was_missed(page: ModuleType) -> None:
    tools = {"mailprov": found(0.4, 0.5, 9.0), "Ansible": found(7.0, 6.0, 5.0), "bare SSH": found(0.1)}
    case = {"date": "2026-11-23", "load": 0.1, "hosts": 1, "users": 100, "tools": tools}
    machine = {"processor": "P", "cores": 2, "memory_gib": 24, "kernel": "6.1-x"}
    versions = {"bare SSH": "5.1", "mailprov": "1", "Debian": "12"}
    text = page.tables({"machine": machine, "versions": versions, "cases": {"plan-1": case}})
    assert "| mailprov | 0.50 | 0.40 to 9.00 | 1.00× | 0.50 | 64 | 2.0 | 1.0 |" in text
    assert "| Ansible | 6.00 | 5.00 to 7.00 | 12.0× |" in text
    assert "| plan, 1 host: 12 times as fast as Ansible | 12.0× | met |" in text
    assert "| plan, 1 host: at most 3.5 times the bare connection | 5.0× | **missed** |" in text
    assert "1 host, 100 users, medians of 3 rounds, 2026-11-23, load before it 0.1." in text
    assert "pyinfra" not in text and "1,000" not in text and "busy" not in text
    busy = page.tables({"machine": machine, "versions": versions, "cases": {"plan-1": case | {"load": 3.0}}})
    assert "load before it 3.0.\n**The machine was busy with other things, too.**" in busy
