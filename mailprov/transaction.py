"""A plan's steps as one bundle for the host, and the host's journal as a result."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from mailprov import manifest, probe, shell
from mailprov.model import Command, Phase, Plan, Step

# What the one exec runs: unpack stdin, hand the work to systemd, and follow the journal until the work has ended.
# The host's unit does not notice when this is cut off.
START = """
set -eu
umask 077
T=/var/lib/mailprov/txn/$1
mkdir -p /var/lib/mailprov/txn
mkdir "$T"
tar -x -f - -C "$T"
: >"$T/journal"
systemd-run --quiet --collect --unit="mailprov-$1" --property=Type=exec --property=KillMode=process \\
    /bin/sh "$T/run" "$T" apply
PID=$(systemctl show -p MainPID --value "mailprov-$1")
[ "$PID" != 0 ] || PID=$$
tail -n +1 -s 0.05 -f --pid="$PID" "$T/journal" | while read -r line; do
    echo "$line"
    case $line in *' verdict '*) kill $$ 2>/dev/null; break ;; esac
done
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the host's journal: when (seconds since the epoch), what, and its words."""

    seconds: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a transaction ended.

    `verdict` is the host's last word: applied, failed (nothing that is served was touched), reverted, stale, locked,
    mixed; or "unknown" when the host said none. `failed` is the step that failed, `says` what it said.
    """

    verdict: str
    events: tuple[Event, ...]
    failed: str = ""
    says: tuple[str, ...] = ()


def bundle(
    plan: Plan,
    steps: Sequence[Step],
    ask: bytes,
    transaction: str,
    holder: str,
    validators: Sequence[Command],
    health: Sequence[Command],
) -> bytes:
    """One tar: transaction.sh, the steps as sh functions, payloads, the probe to ask again, and the manifest's head.

    `ask` is the very script whose answer the plan was made from; `holder` says to others who holds the lock.
    """
    members: dict[str, bytes] = {
        "run": files("mailprov").joinpath("transaction.sh").read_bytes(),
        "ask.sh": ask,
        "steps.sh": functions(plan, steps, validators, health).encode(),
        "desired": manifest.head(plan.desired, transaction).encode(),
        "managed": "".join(f"{path}\n" for path in managed(plan)).encode(),
        "holder": holder.encode("ascii", "replace"),
    }
    members |= {f"new/{n}": step.payload for n, step in enumerate(steps, 1) if step.payload is not None}
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        new = tarfile.TarInfo("new")
        new.type, new.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(new)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def managed(plan: Plan) -> tuple[str, ...]:
    """The paths of every file that is ours once the plan is applied."""
    return tuple(sorted(key.name for key in plan.desired if key.kind == "file"))


def functions(plan: Plan, steps: Sequence[Step], validators: Sequence[Command], health: Sequence[Command]) -> str:
    """steps.sh: each step as do_N, undo_N and stage_N, and which run in which phase."""
    numbers: Mapping[Phase, list[str]] = {phase: [] for phase in Phase}
    lines = [f"EXPECTED={plan.digest}", "STABLE=" + shell.line(("|".join(probe.STABLE),))]
    staged: list[str] = []
    for n, step in enumerate(steps, 1):
        numbers[step.phase].append(str(n))
        if step.stage:
            staged.append(str(n))
            lines.append(f"stage_{n}() {{ {_call(step.stage, n)}; }}")
        lines.append(f"do_{n}() {{ {_call(step.do, n)}; }}")
        lines.append(f"undo_{n}() {{ {_call(step.undo, n)}; }}")
    lines.extend(f"{phase.name}='{' '.join(of_phase)}'" for phase, of_phase in numbers.items())
    lines.append(f"STAGED='{' '.join(staged)}'")
    # Accounts and maps are checked by the digest of what was merged; daemons' own checkers matter to configuration.
    lines.append(f"VALIDATE={'yes' if plan.effects else ''}")
    lines.append(_all("validators", validators))
    lines.append(_all("health", [("run", *command) for command in health] if plan.effects else []))
    return "\n".join([*lines, ""])


def _all(name: str, commands: Sequence[Command]) -> str:
    return f"{name}() {{ {' && '.join(map(shell.line, commands)) or ':'}; }}"


def _call(command: Command, number: int) -> str:
    return shell.line(tuple(str(number) if word == "@" else word for word in command))


def event(line: str) -> Event | None:
    """One line of a journal; None for anything else."""
    seconds, _, rest = line.partition(" ")
    name, _, text = rest.partition(" ")
    return Event(int(seconds), name, text) if seconds.isdigit() and name else None


def outcome(events: Sequence[Event], steps: Sequence[Step]) -> Outcome:
    """What the journal amounts to."""
    verdict = next((event.text for event in reversed(events) if event.name == "verdict"), "unknown")
    failed = next((event.text for event in events if event.name == "failed"), "")
    if failed.isdigit() and 0 < int(failed) <= len(steps):
        failed = steps[int(failed) - 1].what
    elif not failed and verdict == "failed":
        failed = "validate the staged configuration with the host's own programs"
    return Outcome(verdict, tuple(events), failed, tuple(event.text for event in events if event.name == "says"))
