"""Back to the state before a transaction that the host has kept, as a transaction of its own (pure).

The host keeps, for each transaction, the steps and what each replaced. Going back past several of them, each path gets
what the oldest of them replaced; passwords that users have changed since stay theirs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailprov.errors import MailprovError
from mailprov.history import Entry
from mailprov.model import Command, Effect, Phase, Step
from mailprov.resources import services

FOLDER = "/var/lib/mailprov/txn"
ACCOUNTS = "/etc/dovecot/mailprov/accounts"

_DO = re.compile(r"do_([0-9]+)\(\) \{ (.*); \}")


@dataclass(frozen=True, slots=True)
class Act:
    """A step that a kept transaction has done: its number there, and its command."""

    transaction: str
    number: int
    command: Command


@dataclass(frozen=True, slots=True)
class Way:
    """How to go back: the steps, and what they do to each service."""

    steps: tuple[Step, ...]
    effects: Mapping[str, Effect]
    stopped: tuple[str, ...] = ()
    """services that were not there before, and are stopped"""


def undone(entries: Sequence[Entry], kept: Sequence[str], target: str | None) -> tuple[str, ...]:
    """The transactions to take back, newest first, to be where the host was before `target` (None: before the last).

    Raises MailprovError when there is none, or the host keeps no longer what is needed.
    """
    applied = [entry.transaction for entry in entries if entry.verdict == "applied"]
    if not applied:
        raise MailprovError("nothing has been applied to this host", cure="see `mailprov history`")
    wanted = target or applied[-1]
    if wanted not in applied:
        raise MailprovError(f"no apply is called {wanted}", cure="see `mailprov history`")
    back = tuple(reversed(applied[applied.index(wanted) :]))
    gone = [name for name in back if name not in kept]
    if gone:
        raise MailprovError(f"the host no longer keeps {gone[0]}", cure="choose a later one: see `mailprov history`")
    return back


def acts(transaction: str, plan: str, journal: str) -> tuple[Act, ...]:
    """The steps that a transaction has done, in order, from its plan.sh and its journal."""
    commands = {int(found[1]): tuple(shlex.split(found[2])) for found in map(_DO.fullmatch, plan.splitlines()) if found}
    done = [int(line.split()[2]) for line in journal.splitlines() if re.fullmatch("[0-9]+ done [0-9]+", line)]
    return tuple(Act(transaction, number, commands[number]) for number in done if number in commands)


def way(oldest: str, back: Sequence[Sequence[Act]]) -> Way:
    """The steps that take back these transactions, newest first, down to and with `oldest`."""
    sources: dict[str, tuple[str, Act]] = {}
    effects: dict[str, Effect] = {}
    started: dict[str, bool] = {}
    for act in (act for transaction in back for act in reversed(transaction)):
        word = act.command[0]
        if word in ("put", "put_map", "drop", "put_back", "put_back_map"):
            sources[act.command[2]] = (word, act)
        elif word == "activate" and act.command[1] != "systemd":
            started[act.command[1]] = act.command[2] == "start"
            effects[act.command[1]] = Effect.RELOAD
        elif word == "load_firewall":
            started["mailprov-firewall"] = act.command[2] == "start"
            effects["mailprov-firewall"] = Effect.RELOAD
        if len(act.command) > 2 and act.command[2].startswith("/etc/systemd/"):
            effects["systemd"] = Effect.RELOAD
    stopped = tuple(name for name in reversed(services.ORDER) if started.get(name))
    steps = [Step(Phase.RETIRE, f"stop {name}", ("stand_down", name), ("stand_up", name)) for name in stopped]
    if "mailprov-firewall" in stopped:
        steps.append(Step(Phase.RETIRE, "unload the firewall", ("unload_firewall", "@"), ("former_firewall", "@")))
    lasting = {name: effect for name, effect in effects.items() if name not in stopped}
    files = [_step(path, word, act) for path, (word, act) in sorted(sources.items())]
    adopt = Step(Phase.PREPARE, "take up the manifest of that time", ("adopt", oldest), ("keep",))
    return Way((adopt, *services.debts(lasting), *steps, *files, *services.activation(lasting)), lasting, stopped)


def _step(path: str, word: str, act: Act) -> Step:
    kept = f"{FOLDER}/{act.transaction}/old/{act.number}"
    what = f"put back {path}"
    if word.endswith("_map"):
        return Step(Phase.COMMIT, what, ("put_back_map", "@", path), ("former_map", "@", path), ("take_map", "@", kept))
    if path == ACCOUNTS:
        undo, stage = ("former_accounts", "@", path), ("take_accounts", "@", kept, path)
        return Step(Phase.COMMIT, what, ("put_back", "@", path), undo, stage)
    return Step(Phase.COMMIT, what, ("put_back", "@", path), ("restore", "@", path), ("take", "@", kept))
