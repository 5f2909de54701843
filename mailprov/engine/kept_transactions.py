"""What a host has kept of its transactions, in their form of today and in the former one (pure)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.engine import manifest
from mailprov.engine.history import Entry
from mailprov.errors import MailprovError
from mailprov.model import Command, Key, listing

ACCOUNTS = "/etc/dovecot/mailprov/accounts"

_DO = re.compile(r"(un)?do_([0-9]{1,6})\(\) \{ (.*); \}")
_FILES = ("put", "drop", "put_back", "folder", "former_folder")
"""in the former form of a transaction's steps, the functions whose second word is the path of a file or folder"""


@dataclass(frozen=True, slots=True)
class Act:
    """A step that a kept transaction has done: its number there, the thing that it changed, and its command."""

    transaction: str
    number: int
    key: Key | None
    command: Command
    undo: Command = ()


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """What the host has kept of one transaction.

    `acts` are those that it has done. `up` ran and `ports` listened before it, `served` was shown by TLS listeners
    (port, how TLS begins, fingerprint). `former` is the manifest that it replaced, `managed` the paths that were
    managed; `listeners` are the ports that it was to serve, None where that is not known. `copies` and `notes` are what
    its steps replaced, by the step's number and a suffix. `damaged` are files of all this that changed since its end.
    """

    name: str
    acts: tuple[Act, ...] = ()
    up: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ()
    served: tuple[tuple[str, str, str], ...] = ()
    former: manifest.Manifest | None = None
    managed: tuple[str, ...] = ()
    listeners: frozenset[int] | None = None
    copies: Mapping[str, listing.Listed] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()

    @property
    def open(self) -> frozenset[int]:
        """The ports that listened before it."""
        ends = (place.rpartition(":")[2] for place in self.ports)
        return frozenset(int(port) for port in ends if re.fullmatch("[0-9]{1,5}", port))


def read(text: str) -> Mapping[str, KeptTransaction]:
    """The answer to the `kept` question, by transaction."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "transaction":
            name = rest
            found[name] = []
        elif name:
            found[name].append((word, rest))
    return {name: _read(name, lines) for name, lines in found.items()}


def _read(name: str, lines: Sequence[tuple[str, str]]) -> KeptTransaction:
    def of(word: str) -> list[str]:
        return [rest for each, rest in lines if each == word]

    done = [int(words[5:]) for words in of("event") if re.fullmatch("done [0-9]{1,6}", words)]
    known = dict(_records(name, of("step"))) | dict(_functions(name, of("function")))
    served = (re.fullmatch(r"([0-9]{1,5}):([a-z0-9]*) .*=([0-9A-F:]+)", line) for line in of("served"))
    notes: dict[str, str] = {}
    for line in of("note"):
        number, _, rest = line.partition(" ")
        notes[number] = rest
    return KeptTransaction(
        name,
        tuple(known[number] for number in done if number in known),
        frozenset(of("up")),
        tuple(of("ports")),
        tuple((f[1], f[2] or "tls", f[3].replace(":", "").lower()) for f in served if f),
        manifest.parse("\n".join([*of("manifest"), ""])),
        tuple(of("managed")),
        _listeners(of("listeners")),
        {copy.path: copy for copy in listing.read("\n".join(of("kept")))},
        notes,
        tuple(of("damaged")),
    )


def _listeners(lines: Sequence[str]) -> frozenset[int] | None:
    ports = (word.partition(":")[0] for line in lines for word in line.split())
    return frozenset(int(port) for port in ports if re.fullmatch("[0-9]{1,5}", port)) if lines else None


def _records(transaction: str, lines: Sequence[str]) -> Iterator[tuple[int, Act]]:
    """The steps, as transaction.steps writes them."""
    parts: dict[int, dict[str, tuple[str, ...]]] = {}
    for line in lines:
        number, _, rest = line.partition("\t")
        part, *words = rest.split("\t")
        if re.fullmatch("[0-9]{1,6}", number) and words:
            parts.setdefault(int(number), {})[part] = tuple(words)
    for n, told in parts.items():
        key = Key(*told["key"]) if len(told.get("key", ())) == 2 else None
        yield n, Act(transaction, n, key, told.get("do", ()), told.get("undo", ()))


def _functions(transaction: str, lines: Sequence[str]) -> Iterator[tuple[int, Act]]:
    """The steps in their former form, as functions of a shell script."""
    commands: dict[tuple[int, str], Command] = {}
    for found in filter(None, map(_DO.fullmatch, lines)):
        commands[int(found[2]), found[1] or ""] = tuple(shlex.split(found[3]))
    for (n, undo), command in commands.items():
        if not undo and command:
            yield n, Act(transaction, n, _key(command), command, commands.get((n, "un"), ()))


def _key(command: Command) -> Key | None:
    """The thing that a function of the former form changed."""
    word, *words = command
    if word in _FILES and len(words) > 1:
        return Key("accounts" if words[1] == ACCOUNTS else "file", words[1])
    if word in ("put_map", "put_back_map") and len(words) > 1:
        return Key("map", words[1])
    if word in ("system_user", "enable") and len(words) > 1:
        return Key("user" if word == "system_user" else "service", words[1])
    if word == "stand_down" and words:
        return Key("service", words[0])
    return Key("firewall", "inet mailprov") if word in ("load_firewall", "unload_firewall") else None


def undone(
    entries: Sequence[Entry], kept: Mapping[str, KeptTransaction], target: str | None
) -> tuple[KeptTransaction, ...]:
    """The transactions to take back, newest first, to be where the host was before `target` (None: before the last).

    Raises MailprovError when there is none, or the host keeps no longer what is needed.
    """
    applied = [entry.transaction for entry in entries if entry.verdict == "applied"]
    if not applied:
        raise MailprovError("nothing has been applied to this host", fix="see `mailprov history`")
    wanted = target or applied[-1]
    if wanted not in applied:
        ended = next((entry.verdict for entry in entries if entry.transaction == wanted), "")
        what = (
            f"{wanted} is {ended}: there is nothing of it to go back over" if ended else f"no apply is called {wanted}"
        )
        raise MailprovError(what, fix="choose one that is applied: see `mailprov history`")
    back = tuple(reversed(applied[applied.index(wanted) :]))
    there = back[: next((n for n, name in enumerate(back) if name not in kept), len(back))]
    if there != back:
        farthest = f"the farthest to go back to is before {there[-1]}" if there else "nothing can be gone back to"
        raise MailprovError(f"the host no longer keeps all of what was applied since {wanted}", why=farthest)
    for name in back:
        if kept[name].damaged:
            raise MailprovError(
                f"what the host keeps of {name} is damaged, and nothing is made of it",
                why=f"not what it was: {', '.join(kept[name].damaged[:5])} in /var/lib/mailprov/txn/{name}",
                fix="apply a declaration that says what shall be, or go back to a later state",
            )
    return tuple(kept[name] for name in back)
