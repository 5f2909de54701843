"""Back to the state before a transaction that the host has kept: a state to plan for, as any other (pure).

The host keeps, for each transaction, what it did and what each step replaced. Going back past several of them, each
thing gets what the oldest of them replaced; passwords that users have changed since stay theirs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailprov import manifest
from mailprov.errors import MailprovError
from mailprov.history import Entry
from mailprov.model import Command, Item, Key, Question, Reason, State
from mailprov.plan import Difference, Sight, made, reason
from mailprov.resources import accounts, files, firewall, listing, maps, packages, rows, services, system_users

FOLDER = "/var/lib/mailprov/txn"
ACCOUNTS = "/etc/dovecot/mailprov/accounts"

Reads = Callable[[str], files.File]
"""gives a bare File of a path with what is known of its readers: their services, and settings that want a restart"""

_DO = re.compile(r"(un)?do_([0-9]+)\(\) \{ (.*); \}")
_NOTED = re.compile(r"([0-7]{3,4}) ([0-9]{1,10}):([0-9]{1,10})(?: (\S+) (\S+))?")
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
class Kept:
    """What the host has kept of one transaction.

    `acts` are those that it has done. `up` ran and `ports` listened before it, `served` was shown by TLS listeners
    (port, how TLS begins, fingerprint). `former` is the manifest that it replaced, `managed` the paths that were
    managed. `copies` and `notes` are what its steps replaced, by the step's number and a suffix.
    """

    name: str
    acts: tuple[Act, ...] = ()
    up: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ()
    served: tuple[tuple[str, str, str], ...] = ()
    former: manifest.Manifest | None = None
    managed: tuple[str, ...] = ()
    copies: Mapping[str, listing.Listed] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go back to: before `oldest`. Each thing that was touched, as it was; None where there was none."""

    oldest: Kept
    things: Mapping[Key, Item | None]
    installed: tuple[str, ...] = ()
    """packages that were installed, and stay"""


# --- what the host tells


def read(text: str) -> Mapping[str, Kept]:
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


def _read(name: str, lines: Sequence[tuple[str, str]]) -> Kept:
    def of(word: str) -> list[str]:
        return [rest for each, rest in lines if each == word]

    done = [int(words[5:]) for words in of("event") if re.fullmatch("done [0-9]{1,6}", words)]
    known = dict(_records(name, of("step"))) | dict(_functions(name, of("function")))
    served = (re.fullmatch(r"([0-9]{1,5}):([a-z0-9]*) .*=([0-9A-F:]+)", line) for line in of("served"))
    notes: dict[str, str] = {}
    for line in of("note"):
        number, _, rest = line.partition(" ")
        notes[number] = rest
    return Kept(
        name,
        tuple(known[number] for number in done if number in known),
        frozenset(of("up")),
        tuple(of("ports")),
        tuple((f[1], f[2] or "tls", f[3].replace(":", "").lower()) for f in served if f),
        manifest.parse("\n".join([*of("manifest"), ""])),
        tuple(of("managed")),
        {copy.path: copy for copy in listing.read("\n".join(of("kept")))},
        notes,
    )


def _records(transaction: str, lines: Sequence[str]) -> Iterator[tuple[int, Act]]:
    """The steps, as transaction.steps writes them."""
    parts: dict[int, dict[str, tuple[str, ...]]] = {}
    for line in lines:
        number, _, rest = line.partition("\t")
        part, *words = rest.split("\t")
        if number.isdecimal() and words:
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
        return Key(accounts.KIND if words[1] == ACCOUNTS else files.KIND, words[1])
    if word in ("put_map", "put_back_map") and len(words) > 1:
        return Key(maps.KIND, words[1])
    if word in ("system_user", "enable") and len(words) > 1:
        return Key(system_users.KIND if word == "system_user" else services.KIND, words[1])
    if word == "stand_down" and words:
        return Key(services.KIND, words[0])
    return firewall.Table().key if word in ("load_firewall", "unload_firewall") else None


def undone(entries: Sequence[Entry], kept: Mapping[str, Kept], target: str | None) -> tuple[Kept, ...]:
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
    return tuple(kept[name] for name in back)


# --- where that leads


def target(back: Sequence[Kept], live: State, reads: Reads) -> Target:
    """The state before the oldest of these transactions, which come newest first, of all that they touched."""
    oldest = back[-1]
    things: dict[Key, Item | None] = {}
    stopped: dict[str, bool] = {}
    installed: list[str] = []
    for kept in back:
        for act in reversed(kept.acts):
            if act.key is not None and act.key.kind != services.KIND:
                things[act.key] = _before(act, act.key, kept, reads)
            elif act.key is not None:
                things[act.key] = _service(act.key, kept.notes.get(str(act.number), ""), kept.up, live)
            elif act.command[:1] == ("activate",) and act.command[2:] == ("start",):
                stopped[act.command[1]] = act.command[1] not in kept.up
            elif act.command[:1] == ("install_packages",):
                installed += [word for word in act.command[1:] if not word.isdecimal()]
    for name, off in stopped.items():
        key = services.Service(name).key
        if off and key not in things and key in live:
            things[key] = replace(_live_service(live, name), active=False)
    return Target(oldest, things, tuple(sorted(set(installed))))


def _before(act: Act, key: Key, kept: Kept, reads: Reads) -> Item | None:
    number, where = str(act.number), f"{FOLDER}/{act.transaction}/old/{act.number}"
    copy, note = kept.copies.get(number), kept.notes.get(number, "")
    if key.kind == system_users.KIND:
        row = note.split(":")
        return system_users.SystemUser(key.name, row[5], row[6]) if len(row) == 7 else None
    if key.kind == firewall.KIND:
        digest = made(kept.former).get(key, "")
        return firewall.Table(digest=digest, kept=where) if note == "{" else None
    if key.kind == files.KIND and (folder := _folder(act, kept)) is not None:
        return folder
    if copy is None or copy.type != "file":
        return None
    attributes = (copy.mode, copy.owner, copy.group)
    if key.kind == accounts.KIND:
        return accounts.Accounts(key.name, "", attributes, kept=where, copy=copy.sha256)
    if key.kind == maps.KIND:
        database = kept.copies.get(f"{number}.db")
        return maps.Map(key.name, copy.sha256, attributes, database.sha256 if database else "", kept=where)
    known = reads(key.name)
    return replace(
        known,
        mode=copy.mode,
        owner=copy.owner,
        group=copy.group,
        sha256=copy.sha256,
        kept=where,
        secret=known.secret or copy.mode[-1:] not in "4567",
    )


def _folder(act: Act, kept: Kept) -> files.File | None:
    """A folder that was there before, with the owner that it had: by number, where the number has no name."""
    found = _NOTED.fullmatch(kept.notes.get(f"{act.number}.folder", ""))
    if found and act.key:
        owner, group = (
            ("root" if number == "0" else number) if name in (None, "UNKNOWN") else name
            for number, name in ((found[2], found[4]), (found[3], found[5]))
        )
        return files.folder(act.key.name, found[1], owner, group)
    if act.command[0] == "former_folder" and act.undo[:1] == ("folder",) and len(act.undo) == 6:
        return files.folder(*act.undo[2:])
    return None


def _service(key: Key, word: str, up: frozenset[str], live: State) -> Item:
    """As it was: enabled or not, running or not. One that a package brought is held back: the package stays."""
    if not word:
        return replace(_live_service(live, key.name), active=key.name in up)
    enabled = word.startswith("enabled")
    return services.Service(key.name, enabled, key.name in up or (enabled and key.name == _AT_BOOT), held=word)


_AT_BOOT = "mailprov-recover"
"""it has done its work by the time that anybody looks"""


def _live_service(live: State, name: str) -> services.Service:
    found = live.get(services.Service(name).key)
    return found if isinstance(found, services.Service) else services.Service(name, enabled=False, active=False)


def asked(back: Sequence[Kept]) -> State:
    """Bare things of the names that must be looked at, to know what they are now."""
    found: dict[Key, Item] = {}
    for key in (act.key for kept in back for act in kept.acts if act.key is not None):
        found[key] = _BARE[key.kind](key.name) if key.kind in _BARE else firewall.Table()
    found |= {item.key: item for item in (services.Service(name) for name in services.ORDER[1:])}
    return found | {packages.Package(name).key: packages.Package(name) for name in ("dovecot-core", "postfix")}


_BARE: Mapping[str, Callable[[str], Item]] = {
    files.KIND: lambda name: files.File(name, "", "", ""),
    accounts.KIND: lambda name: accounts.Accounts(name, ""),
    maps.KIND: lambda name: maps.Map(name, ""),
    system_users.KIND: lambda name: system_users.SystemUser(name, ""),
    services.KIND: services.Service,
}


# --- what was kept, at the price of one more answer


def questions(things: Mapping[Key, Item | None]) -> tuple[Question, ...]:
    """What to ask of the copies, to show what comes back; each question's section is its place in `things`."""
    found: list[Question] = []
    for place, item in enumerate(things.values()):
        if isinstance(item, accounts.Accounts):
            asking = rows.question(item.kept, ":", None)
        elif isinstance(item, maps.Map):
            asking = rows.question(item.kept, " ", None)
        elif isinstance(item, files.File) and item.kept and not item.secret:
            asking = Question("content", "content", (item.kept,))
        else:
            continue
        found.append(Question(f"kept{place}", asking.function, asking.words))
    return tuple(found)


def told(things: Mapping[Key, Item | None], sections: Mapping[str, str]) -> Mapping[Key, Item | None]:
    """The things with what the copies hold."""
    found = dict(things)
    for place, (key, item) in enumerate(things.items()):
        text = sections.get(f"kept{place}")
        if text is None:
            continue
        if isinstance(item, accounts.Accounts):
            table = rows.table(rows.answered(text, ":", None).reveal().values(), ":")
            found[key] = replace(item, rows=table, digest=table.digest())
        elif isinstance(item, maps.Map):
            found[key] = replace(item, rows=rows.table(rows.answered(text, " ", None).reveal().values(), " "))
        elif isinstance(item, files.File):
            found[key] = files.closely(item, None, text)
    return found


def differences(things: Mapping[Key, Item | None], sight: Sight) -> tuple[Difference, ...]:
    """What is not as it was, in the order of application."""
    known = made(sight.manifest)
    found: list[Difference] = []
    for key, after in sorted(things.items(), key=lambda pair: _ORDER.index(pair[0].kind)):
        before = sight.live.get(key)
        if _alike(before, after):
            continue
        known_as = after or before
        why = reason(before, known_as, known.get(key, ""), sight.manifest) if known_as else Reason.PENDING
        found.append(Difference(key, before, after, why))
    return tuple(found)


_ORDER = (system_users.KIND, files.KIND, accounts.KIND, maps.KIND, firewall.KIND, services.KIND)


def _alike(before: Item | None, after: Item | None) -> bool:
    if before is None and after is not None and _off(after):
        return True
    return (before.fingerprint if before else "") == (after.fingerprint if after else "")


def desired(things: Mapping[Key, Item | None], sight: Sight, up: frozenset[str]) -> State:
    """All that there shall be of what was touched, and the services that ran then and run now."""
    running = {
        key: item
        for key, item in sight.live.items()
        if isinstance(item, services.Service) and item.active and item.name in up
    }
    return running | {key: item for key, item in things.items() if item is not None and not _off(item)}


def _off(item: Item) -> bool:
    return isinstance(item, services.Service) and not (item.active or item.enabled)
