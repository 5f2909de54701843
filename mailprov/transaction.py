"""A plan's steps as one bundle for the host, and the host's journal as a result."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mailprov import manifest, onhost, probe, shell
from mailprov.model import Command, Phase, Plan, Step

CONFIRM_SECONDS = 60
"""how long a host waits for the controller's confirmation over a new connection before it takes everything back"""

KEPT = 10
"""how many transactions a host keeps, to roll back to"""

APT_PATIENCE_SECONDS = 60
"""how long apt waits for another apt to let go of its lock"""

LIMIT_SECONDS = 3600
"""how long a transaction may run before systemd ends it, and it takes itself back; that may take as long again"""

# What the one exec runs: unpack stdin, hand the work to systemd, and follow the journal until the work has ended.
# Nothing is left of a bundle that did not come whole ("sums" is its last member). What systemd has been given is not
# ours any more, and does not notice when this is cut off. When its process ends too soon, however it ends, systemd runs
# it again to settle what it left; the journal is then read on from there.
START = """
set -eu
umask 077
T=/var/lib/mailprov/txn/$1 UNIT=mailprov-$1.service
mkdir -p /var/lib/mailprov/txn
mkdir "$T"
trap 'rm -rf "$T"' EXIT
trap 'exit 1' HUP INT TERM PIPE
tar -x -f - -C "$T"
[ -f "$T/sums" ]
: >"$T/journal"
trap '' HUP INT TERM PIPE
systemd-run --quiet --collect --unit="$UNIT" --property=Type=exec --property=KillMode=process \\
    --property="RuntimeMaxSec=$2" --property="TimeoutStopSec=$2" \\
    --property="ExecStopPost=/bin/sh $T/run $T settle" /bin/sh "$T/run" "$T" apply
trap - EXIT HUP INT TERM PIPE
PID=$(systemctl show -p MainPID --value "$UNIT")
[ "$PID" != 0 ] || PID=$(sh -c 'echo $$')
tail -n +1 -s 0.05 -f --pid="$PID" "$T/journal" | while read -r line; do
    printf '%s\\n' "$line"
    case ${line#* } in 'verdict '*) break ;; esac
done
if ! grep -q '^[0-9]* verdict ' "$T/journal"; then
    while case $(systemctl show -p ActiveState --value "$UNIT") in inactive | failed) false ;; esac; do sleep 0.1; done
fi
sed -n '/^[0-9]* settle/,$p' "$T/journal"
[ ! -f "$T/live" ] || ! grep -q '^[0-9]* verdict stale$' "$T/journal" || cat "$T/live"
"""

# Over another connection: "confirmed", or "refused" and the reason. In words and not on stdin: a round trip less.
ANSWER = """
set -eu
umask 077
cd "/var/lib/mailprov/txn/$1"
printf '%s' "$3" >"$2.new"
sync "$2.new"
mv "$2.new" "$2"
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the host's journal: when (seconds since the epoch), what, and its words."""

    seconds: int
    name: str
    text: str


OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a transaction ended.

    `verdict` is the host's last word: applied, failed (nothing that is served was touched), reverted; stranger, stale,
    locked, blocked (none of these began); mixed or unsealed, when it cannot be taken back or recorded yet and the host
    goes on trying; or "unknown" when the host said none. `failed` is the step that failed, `says` what it said.
    """

    verdict: str
    events: tuple[Event, ...]
    failed: str = ""
    says: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tester:
    """An account that a host has while it waits for its confirmation: its address, and its passwd-file row."""

    address: str
    row: bytes


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that a host needs to carry out a plan.

    `ask` is the very script whose answer the plan was made from; `meta` one line that says who applies what, for the
    history and for whoever finds the lock held. `validators` look at the staged tree, `health` at what it serves.
    While the host waits for its confirmation it has the account `tester`, and names the fingerprint of `certificate`.
    """

    plan: Plan
    steps: Sequence[Step]
    ask: bytes
    transaction: str
    meta: str
    validators: Sequence[Command] = ()
    health: Sequence[Command] = ()
    certificate: str = ""
    tester: Tester | None = None
    confirm_seconds: int = CONFIRM_SECONDS


def script() -> str:
    """The host's script: transaction.sh with the functions that it uses."""
    parts = (onhost.text(name) for name in ("acts.sh", "reload.sh", "checks.sh", "history.sh"))
    return onhost.text("transaction.sh").replace("# @LIBRARY@\n", "\n".join(parts))


def bundle(work: Work) -> bytes:
    """One tar: the script, the steps as sh functions, payloads, the probe to ask again, and the manifest's head."""
    members: dict[str, bytes] = {
        "run": script().encode(),
        "ask.sh": work.ask,
        "plan.sh": functions(work).encode(),
        "desired": manifest.head(work.plan.desired, work.transaction).encode(),
        "managed": "".join(f"{path}\n" for path in work.plan.managed).encode(),
        "testaccount": onhost.text("testaccount.sh").encode(),
        "meta": (work.meta.encode("ascii", "replace").decode().replace("\n", " ") + "\n").encode(),
    }
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in members.items())
    members |= {f"new/{n}": step.payload for n, step in enumerate(work.steps, 1) if step.payload is not None}
    members |= {"new/tester": work.tester.row} if work.tester else {}
    members["sums"] = sums.encode()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("new", "old"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def functions(work: Work) -> str:
    """plan.sh: each step as do_N, undo_N and stage_N, which run in which phase, and what to check."""
    numbers: Mapping[Phase, list[str]] = {phase: [] for phase in Phase}
    lines = [
        f"EXPECTED={work.plan.digest}",
        f"MACHINE={shell.line((work.plan.facts.machine_id,))}",
        "STABLE=" + shell.line(("|".join(probe.STABLE),)),
        f"CONFIRM={work.confirm_seconds}",
        f"KEPT={KEPT}",
        f"APT_PATIENCE={APT_PATIENCE_SECONDS}",
    ]
    for n, step in enumerate(work.steps, 1):
        numbers[step.phase].append(str(n))
        stage = [f"stage_{n}() {{ {_call(step.stage, n)}; }}"] if step.stage else []
        lines += [*stage, f"do_{n}() {{ {_call(step.do, n)}; }}", f"undo_{n}() {{ {_call(step.undo, n)}; }}"]
    lines.extend(f"{phase.name}='{' '.join(of_phase)}'" for phase, of_phase in numbers.items())
    lines.append(f"STAGED='{' '.join(str(n) for n, step in enumerate(work.steps, 1) if step.stage)}'")
    lines.append(f"REHEARSED='{' '.join(str(n) for n, step in enumerate(work.steps, 1) if _under_etc(step))}'")
    # Accounts and maps are checked by the digest of what was merged; daemons' own checkers matter to configuration.
    daemons = bool(work.plan.effects)
    lines.append(f"VALIDATE={'yes' if daemons else ''}")
    health = work.health if daemons else ()
    lines.append("CERTIFICATE=" + shell.line((work.certificate,)))
    lines.append("TESTER=" + shell.line((work.tester.address if work.tester else "",)))
    lines.append("LISTENERS=" + shell.line((" ".join(f"{c[1]}:{c[2]}" for c in health if c[0] == "serves"),)))
    lines.append(_all("validators", work.validators))
    lines.append(_all("health", health))
    return "\n".join([*lines, ""])


def _under_etc(step: Step) -> bool:
    """Whether a step can be rehearsed where /etc is a copy."""
    users = step.do[0] == "system_user"  # they are kept in /etc, too
    return step.phase is Phase.COMMIT and (users or any(word.startswith("/etc/") for word in step.do))


def _all(name: str, commands: Sequence[Command]) -> str:
    return f"{name}() {{ {' && '.join(map(shell.line, commands)) or ':'}; }}"


def _call(command: Command, number: int) -> str:
    return shell.line(tuple(str(number) if word == "@" else word for word in command))


def event(line: str) -> Event | None:
    """One line of a journal; None for anything else."""
    seconds, _, rest = line.partition(" ")
    name, _, text = rest.partition(" ")
    return Event(int(seconds), name, text) if re.fullmatch("[0-9]{1,12}", seconds) and name else None


def outcome(events: Sequence[Event], steps: Sequence[Step]) -> Outcome:
    """What the journal amounts to."""
    verdict = next((event.text for event in reversed(events) if event.name == "verdict"), "unknown")
    failed = next((event.text for event in events if event.name == "failed"), "")
    if failed.isdigit() and 0 < int(failed) <= len(steps):
        failed = steps[int(failed) - 1].what
    else:
        failed = _FAILED.get(failed, failed)
    return Outcome(verdict, tuple(events), failed, tuple(event.text for event in events if event.name == "says"))


_FAILED: Mapping[str, str] = {
    "begin": "begin",
    "validate": "run the staged configuration with the host's own programs",
    "welcome": "make an account to log in with",
    "health": "serve every listener",
    "confirm": "be confirmed over a new connection",
    "seal": "write the manifest",
}
