"""Write the tables of docs/benchmarks.md, and its plots, from what compare.py has measured.

python benchmarks/page.py [RESULTS]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/benchmarks.md"
RESULTS = ROOT / "benchmarks/results/latest.json"
_PART = re.compile(r"(<!-- measured -->\n).*?(<!-- end -->)", re.S)

Case = Mapping[str, Any]

TITLES = {
    "plan-1": "A plan that finds nothing to change",
    "plan-fleet": "The same for a fleet",
    "add-1": "One user is added",
    "add-fleet": "One user is added on each host of a fleet",
    "install": "First installation: Debian becomes a mail server",
    "plan-10k-users": "A plan that finds nothing to change, many users",
    "plan-100k-users": "A plan that finds nothing to change, very many users",
    "plan-simulated": "A plan for a thousand hosts",
    "trips-1": "Round trips of a plan that finds nothing to change",
    "start": "What a command costs before it does anything",
}
"""each case, in the order of the page"""

BUSY = 1.0
"""the load before a case from which its seconds are said to be doubtful"""

COLOURS = {"mailprov": "#1b7f5c", "pyinfra": "#d08a1d", "Ansible": "#b3402f", "bare SSH": "#8a8f98"}
PLOTS = {
    "wall": ("Seconds (median, logarithmic scale)", 1.0),
    "memory": ("MiB of all processes at the peak (median, logarithmic scale)", 2.0**20),
}
PLOTTED = tuple(name for name in TITLES if name not in ("trips-1", "start"))


# --- tables


def tables(results: Mapping[str, Any]) -> str:
    """Everything on the page that was measured, as Markdown."""
    parts = [_where(results), *_aims(results["cases"])]
    for name, title in TITLES.items():
        if name in results["cases"]:
            case = results["cases"][name]
            rows = {"trips-1": _trips, "start": _starts}.get(name, _measures)(case)
            parts.append("\n".join((f"### {title}", "", _about(case), "", *rows, "")))
    return "\n" + "\n".join(parts) + "\n"


def _where(results: Mapping[str, Any]) -> str:
    machine, versions = results["machine"], results["versions"]
    tools = ", ".join(f"{name} {number}" for name, number in versions.items() if name not in ("bare SSH", "Debian"))
    said = (
        f"Measured on {machine['processor']} with {machine['cores']} cores and {machine['memory_gib']} GiB, Linux "
        f"{machine['kernel'].partition('-')[0]}, which ran the hosts (Debian {versions['Debian']}), too: {tools}, "
        f"paramiko {versions['bare SSH']}."
    )
    return fill(said, 118) + "\n"


def _about(case: Case) -> str:
    hosts, users = case["hosts"], case["users"]
    rounds = max(len(tool["wall"]) for tool in case["tools"].values())
    said = [
        f"{hosts:,} host{'s' if hosts > 1 else ''}",
        f"{users:,} users",
        "one round" if rounds == 1 else f"medians of {rounds} rounds",
        f"{case['date']}, load before it {case['load']}",
    ]
    busy = "\n**The machine was busy with other things, too.**" if case["load"] > BUSY else ""
    return ", ".join(said) + f".{busy}"


def _measures(case: Case) -> Iterator[str]:
    tools = case["tools"]
    ours = median(tools["mailprov"]["wall"])
    yield "| | seconds | (least to most) | of mailprov's | CPU seconds | peak MiB | KiB to hosts | KiB from hosts |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, tool in tools.items():
        wall = tool["wall"]
        sent, received = (f"{median(tool[way]) / 1024:,.1f}" for way in ("sent", "received"))
        yield (
            f"| {name} | {median(wall):.2f} | {min(wall):.2f} to {max(wall):.2f} | {_times(median(wall) / ours)} "
            f"| {median(tool['cpu']):.2f} | {_mebibytes(tool)} | {sent} | {received} |"
        )


def _trips(case: Case) -> Iterator[str]:
    yield "| | connections | round trips | seconds with 100 ms a round trip |"
    yield "|---|--:|--:|--:|"
    for name, tool in case["tools"].items():
        yield f"| {name} | {tool['connections'][0]} | {tool['round_trips'][0]} | {tool['wall'][0]:.1f} |"


def _starts(case: Case) -> Iterator[str]:
    yield "| | seconds | CPU seconds |"
    yield "|---|--:|--:|"
    for name, tool in case["tools"].items():
        yield f"| {name} | {median(tool['wall']):.3f} | {median(tool['cpu']):.3f} |"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}×" if ratio < 3 else f"{ratio:.1f}×"


def _mebibytes(tool: Mapping[str, Sequence[float]]) -> str:
    return f"{median(tool['memory']) / 2**20:,.0f}" if tool["memory"] else ""


# --- what was aimed at


def _aims(cases: Mapping[str, Case]) -> Iterator[str]:
    sizes = {"plan-fleet": 20, "plan-simulated": 1000}
    rows = list(_compared({name: case for name, case in cases.items() if case["hosts"] == sizes.get(name, 1)}))
    if rows:
        yield "\n".join(("| aim | measured | |", "|---|--:|---|", *rows, ""))


def _compared(cases: Mapping[str, Case]) -> Iterator[str]:
    def wall(case: str, tool: str) -> float | None:
        found = cases.get(case, {}).get("tools", {}).get(tool)
        return median(found["wall"]) if found else None

    def ratio(words: str, case: str, over: str, under: str, aim: float, *, least: bool) -> Iterator[str]:
        above, below = wall(case, over), wall(case, under)
        if above is not None and below is not None:
            yield _row(words, f"{above / below:.1f}×", above / below >= aim if least else above / below <= aim)

    def most(words: str, case: str, tool: str, aim: float, unit: str) -> Iterator[str]:
        found = cases.get(case, {}).get("tools", {}).get(tool)
        if found and unit == "s":
            yield _row(words, f"{median(found['wall']):.2f} s", median(found["wall"]) <= aim)
        elif found and found["memory"]:
            yield _row(words, f"{_mebibytes(found)} MiB", median(found["memory"]) <= aim * 2**20)

    yield from ratio("plan, 1 host: 12 times as fast as Ansible", "plan-1", "Ansible", "mailprov", 12, least=True)
    yield from ratio("plan, 1 host: 4 times as fast as pyinfra", "plan-1", "pyinfra", "mailprov", 4, least=True)
    words = "plan, 1 host: at most 3.5 times the bare connection"
    yield from ratio(words, "plan-1", "mailprov", "bare SSH", 3.5, least=False)
    yield from ratio("plan, 20 hosts: 60 times as fast as Ansible", "plan-fleet", "Ansible", "mailprov", 60, least=True)
    yield from ratio("plan, 20 hosts: 7 times as fast as pyinfra", "plan-fleet", "pyinfra", "mailprov", 7, least=True)
    yield from most("plan, 100,000 users: at most 2 s", "plan-100k-users", "mailprov", 2, "s")
    yield from most("plan, 100,000 users: at most 200 MiB", "plan-100k-users", "mailprov", 200, "MiB")
    yield from most("plan, 1,000 simulated hosts: at most 25 s", "plan-simulated", "mailprov", 25, "s")
    yield from most("plan, 1,000 simulated hosts: at most 400 MiB", "plan-simulated", "mailprov", 400, "MiB")
    yield from most("start: at most 0.15 s", "start", "mailprov --help", 0.15, "s")


def _row(aim: str, measured: str, met: bool) -> str:
    return f"| {aim} | {measured} | {'met' if met else '**missed**'} |"


# --- plots


def plotted(results: Mapping[str, Any], measure: str) -> dict[str, dict[str, float]]:
    """What a plot shows: for each case, each tool's median."""
    _, unit = PLOTS[measure]
    return {
        _label(name, results["cases"][name]): {
            tool: median(found[measure]) / unit
            for tool, found in results["cases"][name]["tools"].items()
            if found[measure]
        }
        for name in PLOTTED
        if name in results["cases"]
    }


def _label(name: str, case: Case) -> str:
    what = {"plan": "no-op plan", "add": "one user added", "install": "first installation"}[name.partition("-")[0]]
    hosts = f"{case['hosts']:,} host{'s' if case['hosts'] > 1 else ''}"
    return f"{what}\n{hosts}, {case['users']:,} users"


def plot(results: Mapping[str, Any], measure: str, file: Path) -> None:
    """Draw bars on a logarithmic scale."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot, ticker

    # Text stays text, and the same figures give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mailprov", "font.size": 9})
    shown = plotted(results, measure)
    tools = list(COLOURS)
    figure, axes = pyplot.subplots(figsize=(8, 0.4 + 0.85 * len(shown)), layout="constrained")
    for place, (label, bars) in enumerate(shown.items()):
        present = [tool for tool in tools if tool in bars]
        for at, tool in enumerate(present):
            y = place + (at - (len(present) - 1) / 2) * 0.2
            axes.barh(y, bars[tool], height=0.17, color=COLOURS[tool], label=tool if tool not in _seen(axes) else None)
            axes.annotate(_figure(bars[tool]), (bars[tool], y), (3, 0), textcoords="offset points", va="center")
        axes.annotate(label, (0, place), (-8, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      ha="right", va="center")  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_yticks([])
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.set_xlabel(PLOTS[measure][0])
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper center", ncols=len(tools))
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _seen(axes: Any) -> list[str]:
    return list(axes.get_legend_handles_labels()[1])


def _figure(value: float) -> str:
    return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


# --- the page


def page(text: str, results: Mapping[str, Any]) -> str:
    """The page with what was measured in its place."""
    return _PART.sub(lambda part: part[1] + tables(results) + part[2], text)


def plot_file(measure: str) -> Path:
    """Where a plot is kept."""
    return PAGE.with_name(f"benchmarks-{measure}.svg")


def main() -> None:
    """Write page and plots."""
    results = json.loads((Path(sys.argv[1]) if sys.argv[1:] else RESULTS).read_text())
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    for measure in PLOTS:
        plot(results, measure, plot_file(measure))
    print(f"wrote {PAGE.relative_to(ROOT)} and its plots")


if __name__ == "__main__":
    main()
