"""A plan's steps as one bundle for the host, and the host's journal as a result."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mailprov import assets
from mailprov.engine.registry import Registry
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
# ours any more, and does not notice when this is cut off. When its process ends too soon, however and how often,
# systemd runs it again to settle what it left; the journal is then read on from there. An end that is none of a kill
# has one of two codes: 0, or 3 where what came here was damaged.
# The last lines are what the host is now: where it had moved, and where it was changed.
START = """
set -eu
umask 077
unset POSIXLY_CORRECT
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
    --property="RuntimeMaxSec=$2" --property="TimeoutStopSec=$2" --property=StartLimitIntervalSec=0 \\
    --property=Restart=always --property="RestartPreventExitStatus=0 3" /bin/sh "$T/run" "$T" apply
trap - EXIT HUP INT TERM PIPE
PID=$(systemctl show -p MainPID --value "$UNIT")
[ "$PID" != 0 ] || PID=$(sh -c 'echo $$')
tail -n +1 -s 0.05 -f --pid="$PID" "$T/journal" | while read -r line; do
    printf '%s\\n' "$line"
    case ${line#* } in 'verdict '*) break ;; esac
done
until grep -q '^[0-9]* verdict ' "$T/journal"; do
    case $(systemctl show -p ActiveState --value "$UNIT") in inactive | failed) break ;; esac
    sleep 0.1
done
sed -n '/^[0-9]* settle/,$p' "$T/journal"
case $(grep '^[0-9]* verdict ' "$T/journal" | tail -n 1) in
    *' verdict stale') cat "$T/live" ;;
    *' verdict applied') cat "$T/after" && sed 's/^/manifest /' "$T/manifest" ;;
esac
"""

# Over another connection: "confirmed", or "refused" and the reason. In words and not on stdin: a round trip less.
ANSWER = """
set -eu
umask 077
unset POSIXLY_CORRECT
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

    `ask` is the script whose answer must still be the one that the plan was made from; `meta` one line that says who
    applies what, for the history and for whoever finds the lock held. `validators` look at the staged tree, `health` at
    what it serves, first in a `canary`, where there is to be one, of the `daemons` that shall serve. While the host
    waits for its confirmation it has the account `tester`, and names the fingerprint of `certificate`. `manifest` is
    what will be asked for of each thing, by its fingerprint, and what is known of what the host has made.
    """

    registry: Registry
    plan: Plan
    steps: Sequence[Step]
    ask: bytes
    transaction: str
    meta: str
    manifest: str
    validators: Sequence[Command] = ()
    health: Sequence[Command] = ()
    certificate: str = ""
    tester: Tester | None = None
    daemons: Sequence[str] = ()
    canary: bool = True
    confirm_seconds: int = CONFIRM_SECONDS


def script(registry: Registry) -> str:
    """The host's script: transaction.sh with the functions that it uses."""
    own = (assets.script(f"engine/{name}.sh") for name in ("acts", "undo", "checks", "kept", "history"))
    parts = (*registry.shell.stores, *registry.shell.steps, *registry.shell.daemons, *own)
    return assets.script("engine/transaction.sh").replace(": @LIBRARY@\n", "\n".join(parts))


def test_account_script(registry: Registry) -> str:
    """What makes and removes an account on the host while a client looks: the text for `sh -c`."""
    return "\n".join((*registry.shell.stores, assets.script("engine/test_account.sh")))


def bundle(work: Work) -> bytes:
    """One tar: the script, the steps as records, payloads, the probe to ask again, and the manifest's head."""
    members: dict[str, bytes] = {
        "run": script(work.registry).encode(),
        "ask.sh": work.ask,
        "steps": steps(work).encode(),
        "settings": settings(work).encode(),
        "checks": checks(work).encode(),
        "desired": work.manifest.encode(),
        "managed": "".join(f"{path}\n" for path in work.plan.managed).encode(),
        "testaccount": test_account_script(work.registry).encode(),
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


def steps(work: Work) -> str:
    """The records of all steps: number, part and words, separated by tabs. What it does in words, the thing that it
    keeps, how it is done ("do"), taken back ("undo") and staged ("stage"): functions of the host's script with words.

    Raises ValueError for a word that such a record cannot hold.
    """
    lines: list[str] = []
    for n, step in enumerate(work.steps, 1):
        lines.append(_record(n, "what", (step.what,)))
        lines += [_record(n, "key", step.key)] if step.key else []
        lines += [_record(n, "noted", ("yes",))] if step.noted else []
        parts = (("do", step.do), ("undo", step.undo), ("stage", step.stage))
        lines += [_record(n, part, command) for part, command in parts if command]
    return "".join(lines)


def checks(work: Work) -> str:
    """The records of what is looked at: the staged tree by validators, and what is served."""
    both = [("validator", command) for command in work.validators] + [("health", command) for command in _health(work)]
    return "".join(_record(n, part, command) for n, (part, command) in enumerate(both, 1))


def _health(work: Work) -> Sequence[Command]:
    return work.health if work.plan.effects else ()


def _record(number: int, part: str, words: Sequence[str]) -> str:
    if any(not word or any(c in word for c in "\t\n\r\0") for word in words):
        raise ValueError(f"a word of step {number} is empty, or holds a tab or a line's end")
    return "\t".join((str(number), part, *(str(number) if word == "@" else word for word in words))) + "\n"


def settings(work: Work) -> str:
    """What else the host's script goes by: a name and a value a line."""
    numbers: Mapping[Phase, list[str]] = {phase: [] for phase in Phase}
    for n, step in enumerate(work.steps, 1):
        numbers[step.phase].append(str(n))
    # Accounts and maps are checked by the digest of what was merged; daemons' own checkers matter to configuration.
    daemons = bool(work.plan.effects)
    values = {
        "EXPECTED": work.plan.digest,
        "MACHINE": work.plan.facts.machine_id,
        "DAEMONS": " ".join(daemon.name for daemon in work.registry.daemons if daemon.serves),
        "AROUND": " ".join(daemon.name for daemon in work.registry.daemons if not daemon.serves),
        "UNITS_SERVED": " ".join(work.registry.units),
        "PROCESSES": "|".join(work.registry.processes),
        "STABLE": "|".join(sorted(work.registry.stable)),
        "CONFIRM": str(work.confirm_seconds),
        "KEPT": str(KEPT),
        "APT_PATIENCE": str(APT_PATIENCE_SECONDS),
        **{phase.name: " ".join(of_phase) for phase, of_phase in numbers.items()},
        "STAGED": " ".join(str(n) for n, step in enumerate(work.steps, 1) if step.stage),
        "REHEARSED": " ".join(str(n) for n, step in enumerate(work.steps, 1) if _under_etc(step)),
        "VALIDATE": "yes" if daemons else "",
        "CANARY": " ".join(_canary(work)) if daemons and work.canary else "",
        "CERTIFICATE": work.certificate,
        "TESTER": work.tester.address if work.tester else "",
        "LISTENERS": " ".join(f"{c[1]}:{c[2]}" for c in _health(work) if c[0].startswith("serves")),
    }
    if any("\n" in value or "\0" in value for value in values.values()):
        raise ValueError("a setting holds a line's end")
    return "".join(f"{name} {value}\n" for name, value in values.items())


def _canary(work: Work) -> Iterator[str]:
    """How each daemon of a canary comes to its new configuration: as the live one will."""
    for name in work.daemons:
        yield f"{name}={'reload' if any(step.do == ('activate', name, 'reload') for step in work.steps) else 'start'}"


def _under_etc(step: Step) -> bool:
    """Whether a step can be rehearsed where /etc is a copy."""
    return step.phase is Phase.COMMIT and (step.in_etc or any(word.startswith("/etc/") for word in step.do))


def event(line: str) -> Event | None:
    """One line of a journal; None for anything else."""
    seconds, _, rest = line.partition(" ")
    name, _, text = rest.partition(" ")
    return Event(int(seconds), name, text) if re.fullmatch("[0-9]{1,11}", seconds) and name else None


def outcome(events: Sequence[Event], steps: Sequence[Step]) -> Outcome:
    """What the journal amounts to."""
    verdict = next((event.text for event in reversed(events) if event.name == "verdict"), "unknown")
    failed = next((event.text for event in events if event.name == "failed"), "")
    if re.fullmatch("[0-9]{1,6}", failed) and 0 < int(failed) <= len(steps):
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
