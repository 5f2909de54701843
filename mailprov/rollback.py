"""Back to the state before a transaction that the host has kept: a state to plan for, as any other (pure).

Going back past several of them, each thing gets what the oldest of them replaced; passwords that users have changed
since stay theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from mailprov.kept import Act, Kept
from mailprov.model import Item, Key, Question, Reason, State
from mailprov.plan import Difference, Sight, made, reason
from mailprov.resources import accounts, files, firewall, maps, packages, rows, services, system_users

FOLDER = "/var/lib/mailprov/txn"

Reads = Callable[[str], files.File]
"""gives a bare File of a path with what is known of its readers: their services, and settings that want a restart"""

_NOTED = re.compile(r"([0-7]{3,4}) ([0-9]{1,10}):([0-9]{1,10})(?: (\S+) (\S+))?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go back to: before `oldest`. Each thing that was touched, as it was; None where there was none."""

    oldest: Kept
    things: Mapping[Key, Item | None]
    installed: tuple[str, ...] = ()
    """packages that were installed, and stay"""
    sure: bool = True
    """whether all that ought to have listened did"""
    opened: frozenset[int] | None = None
    """the ports that have been opened since; None where that is not known"""

    def closing(self, open_now: Set[int]) -> frozenset[int]:
        """Which ports shall not be open any more; others that somebody has opened since are theirs."""
        if not self.sure:
            return frozenset()
        if self.opened is None or not self.oldest.ports:
            return frozenset(open_now) - self.oldest.open
        return self.opened


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
                things[act.key] = _service(act, act.key, kept, live)
            elif act.command[:1] == ("activate",) and act.command[2:] == ("start",):
                stopped[act.command[1]] = act.command[1] not in kept.up
            elif act.command[:1] == ("install_packages",):
                installed += [word for word in act.command[1:] if not word.isdecimal()]
    for name, off in stopped.items():
        key = services.Service(name).key
        if off and key not in things and key in live:
            things[key] = replace(_live_service(live, name), active=False)
    for name in oldest.up - {_AT_BOOT}:
        service = services.Service(name)
        if service.key not in things and service.key in live and not _live_service(live, name).active:
            things[service.key] = replace(_live_service(live, name), active=True)
    # What was missing or down, and ought not to have been, is not made so again.
    meant = oldest.former.desired if oldest.former else {}
    for key in [key for key, item in things.items() if key in meant and (item is None or _down(item))]:
        del things[key]
    sure = all(key.name in oldest.up or key.name in AROUND for key in meant if key.kind == services.KIND)
    return Target(oldest, things, tuple(sorted(set(installed))), sure, _opened(back))


def _opened(back: Sequence[Kept]) -> frozenset[int] | None:
    served = [kept.listeners for kept in back]
    known = [ports for ports in served if ports is not None]
    return frozenset().union(*known) - back[-1].open if len(known) == len(served) else None


def _down(item: Item) -> bool:
    return isinstance(item, services.Service) and not item.active


def _before(act: Act, key: Key, kept: Kept, reads: Reads) -> Item | None:
    number, where = str(act.number), f"{FOLDER}/{act.transaction}/old/{act.number}"
    copy, note = kept.copies.get(number), kept.notes.get(number, "")
    if key.kind == system_users.KIND:
        row = note.split(":")
        group = kept.notes.get(f"{number}.group", f"{key.name}:").partition(":")[0]
        return system_users.SystemUser(key.name, row[5], row[6], group, kept=where) if len(row) == 7 else None
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
        digest = database.sha256 if database else ""
        # Where it was missing, it is made.
        beside = (database.type, database.mode, database.owner, database.group) if database else ("file", *attributes)
        return maps.Map(key.name, copy.sha256, attributes, digest, beside=beside, kept=where)
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


def _service(act: Act, key: Key, kept: Kept, live: State) -> Item:
    """As it was: enabled or not, running or not. One that a package brought is held back: the package stays."""
    word, below = kept.notes.get(str(act.number), ""), kept.notes.get(f"{act.number}.below", "")
    if not word:
        return replace(_live_service(live, key.name), active=key.name in kept.up)
    enabled, masked = word.startswith("enabled"), word.startswith("masked")
    active = key.name in kept.up or (enabled and key.name == _AT_BOOT)
    words = kept.notes.get(f"{act.number}.socket", "disabled inactive").split()
    beside = (words[0], words[1]) if len(words) == 2 else ("disabled", "inactive")
    listens = beside[0].startswith("enabled") or beside[1] == "active"
    held = (word, below or "disabled")
    return services.Service(key.name, enabled, active, masked=masked, socket=listens, held=held, beside=beside)


_AT_BOOT = "mailprov-recover"
"""it has done its work by the time that anybody looks"""

AROUND = ("systemd", _AT_BOOT, "mailprov-firewall")
"""services that listen on nothing"""


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
            table = rows.table(_lines(text, ":"), ":")
            found[key] = replace(item, rows=table, digest=table.digest())
        elif isinstance(item, maps.Map):
            found[key] = replace(item, rows=rows.table(_lines(text, " "), " "))
        elif isinstance(item, files.File):
            found[key] = files.closely(item, None, text)
    return found


def _lines(text: str, separator: str) -> list[str]:
    """All that stands in a table, also what is no row: its digest is of that, too."""
    found = rows.answered(text, separator, None)
    return [*found.rows.values(), *found.broken.values()]


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
    return isinstance(item, services.Service) and not (item.active or item.enabled or item.socket)
