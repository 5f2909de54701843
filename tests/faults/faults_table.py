"""docs/fault-matrix.md: what the whole run found, without anything that another run would find otherwise."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from faults_kinds import FAULTS
from faults_scenarios import SCENARIOS


class Row(TypedDict):
    """One case."""

    apply: str
    event: str
    step: str
    fault: str
    state: str
    sound: bool


_ROOT = Path(__file__).parents[2]


class Trial(TypedDict):
    """One trial that chance drew."""

    seed: str
    line: str
    sound: bool


@cache
def _file(kind: str = "") -> Path:
    """Where what was found is kept: another one for other code, and for another release."""
    digest = hashlib.sha256()
    for folder, pattern in (
        ("mailprov", "**/*.py"),
        ("mailprov", "**/*.sh"),
        ("templates", "**/*"),
        ("tests/faults", "*"),
    ):
        for path in sorted(_ROOT.joinpath(folder).glob(pattern)):
            digest.update(path.read_bytes() if path.is_file() else b"")
    release = os.environ.get("MAILPROV_FAULTS_RELEASE", "bookworm")
    return _ROOT / ".faults" / f"{kind}{release}-{digest.hexdigest()[:16]}.jsonl"


def keep(row: Row) -> None:
    """Put down what one case found."""
    _append(_file(), row)


def keep_trial(trial: Trial) -> None:
    """Put down how one trial ended."""
    _append(_file("random-"), trial)


def _append(file: Path, row: Row | Trial) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def read() -> list[Row]:
    """What has been found with this very code."""
    return _rows(_file())


def read_trials(seed: str) -> list[Trial]:
    """The trials of this seed, with this very code; of one that ran twice, the last."""
    found = {row["line"].split()[0]: row for row in _rows(_file("random-")) if row["seed"] == seed}
    return [found[name] for name in sorted(found, key=lambda name: [int(part) for part in name.split("/")[1:]])]


def _rows(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


_HEAD = """\
# The fault matrix

Each case is one apply or rollback of a real booted host ({release}), with one fault at one event of the
transaction's journal. The journal of an undisturbed run gives the events, so that a new step is covered by itself.
After each case:

- every managed item, what the maps answer, who listens, failed, masked and enabled units, folders with their modes and
  owners, the mail store's and its user's, and what lies in `/etc` are compared with the two good states: the host is
  wholly `old` or wholly `new`. What a bystander did meanwhile is its own: it is kept, or the next plan shows it;
- each listener shows the certificate of that state, every declared user logs in at each, SMTP accepts declared
  recipients and no other (but where the old state is a host without mail service);
- where mail is signed, relayed or filed, another mail server and a user have sent one message after the other, and each
  was taken (but where the machine, its link or a service was down); afterwards mail is signed by the keys that the
  files name, and by no others;
- where packages are installed, nothing but what is declared has ever answered on 25, 110, 143, 993 or 995;
- nothing is locked, open or at work; `mailprov status` and `mailprov history` say how it ended;
- the controller's last words and its exit code are true;
- a plan of what is declared in that state is empty, unless somebody else has changed something;
- the next `mailprov apply` (or `rollback`) ends with 0, and leads to the new state; the plan after it is empty.

A killed transaction and a power cut are tried at each event of each scenario (of those that do mostly what another one
does, at some events, and at moments while apt runs); every other fault and bystander at events that chance has drawn,
from a seed: {seed}. (`MAILPROV_FAULTS=every make faults` tries each at each step.)
Where a case has led its host back to the old state, the next one is tried on the same host. The canary runs where a
fault can meet it; elsewhere it is left out, since it touches nothing that stays.

`make faults` runs all of it and writes this page. Beside it, `make faults-random` draws
everything by chance: [300 random trials](faults-random.md).

## Figures

| apply or rollback | events | cases | ended old | ended new | mixed | otherwise wrong |
|---|--:|--:|--:|--:|--:|--:|
"""


def page(rows: Sequence[Row], release: str, seed: str) -> str:
    """The whole page."""
    text = _HEAD.format(release=f"Debian {release}", seed=f"`MAILPROV_FAULTS_SEED={seed}`")
    applies = [name for name in SCENARIOS if any(row["apply"] == name for row in rows)]
    for name in applies:
        text += _figures(SCENARIOS[name].title, [row for row in rows if row["apply"] == name])
    text += _figures("all", rows)
    missing = [scenario.title for name, scenario in SCENARIOS.items() if name not in applies]
    if missing:
        text += "\nNot in this table, since they were not run to the end:\n\n" + "".join(
            f"- {one}\n" for one in missing
        )
    text += "\n## The faults\n\n| | fault |\n|---|---|\n"
    used = [name for name in FAULTS if any(row["fault"] == name for row in rows)]
    text += "".join(f"| {name} | {FAULTS[name].title} |\n" for name in used)
    for name in applies:
        text += "\n" + _table(SCENARIOS[name].title, [row for row in rows if row["apply"] == name])
    return text


def _figures(title: str, rows: Sequence[Row]) -> str:
    events = len({(row["apply"], row["event"]) for row in rows})
    states = [row["state"] for row in rows]
    wrong = sum(not row["sound"] for row in rows)
    counts = [events, len(rows), states.count("old"), states.count("new"), states.count("mixed"), wrong]
    return f"| {title} | {' | '.join(f'{count:,}' for count in counts)} |\n"


def _table(title: str, rows: Sequence[Row]) -> str:
    faults = [name for name in FAULTS if any(row["fault"] == name for row in rows)]
    cells: dict[str, dict[str, str]] = {}
    steps: Mapping[str, str] = {row["event"]: row["step"] for row in rows}
    order: dict[str, int] = {}
    for name in sorted(faults, key=lambda name: -sum(row["fault"] == name for row in rows)):
        for place, row in enumerate(row for row in rows if row["fault"] == name):
            order.setdefault(row["event"], place)
            cells.setdefault(row["event"], {})[name] = row["state"] if row["sound"] else f"**{row['state']}!**"
    text = f"## {title[0].upper()}{title[1:]}\n\n| event | step | {' | '.join(faults)} |\n"
    text += f"|---|---|{'---|' * len(faults)}\n"
    for event in sorted(cells, key=lambda event: order[event]):
        shown = " | ".join(cells[event].get(name, "·") for name in faults)
        text += f"| {event} | {f'`{steps[event]}`' if steps[event] else ''} | {shown} |\n"
    return text


_RANDOM = """\
# Random trials

`make faults-random N={count}` draws a host's release, its declaration before and after, `apply` or `rollback`, a fault,
a bystander, and the moment of each by chance, and judges as the [fault matrix](fault-matrix.md) does. A second host, on
which nothing goes wrong, tells what the first one must be like. The same again: `MAILPROV_FAULTS_SEED={seed} make
faults-random N={count}`; one trial: its own seed, as it stands in its line.

| figure | |
|---|--:|
| trials | {count} |
| ended old | {old} |
| ended new | {new} |
| mixed, stuck, or untrue words | {wrong} |

```text
{lines}
```
"""


def random_page(trials: Sequence[Trial], seed: str) -> str:
    """How the trials of a seed ended."""
    ends = Counter(trial["line"].rpartition(": ")[2].partition(",")[0] for trial in trials)
    return _RANDOM.format(
        count=len(trials),
        seed=seed,
        old=ends["old"],
        new=ends["new"],
        wrong=sum(not trial["sound"] for trial in trials),
        lines="\n".join(trial["line"] for trial in trials),
    )
