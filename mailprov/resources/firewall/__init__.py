"""The nftables table that is loaded in the kernel. Its text is a plain file, loading it is a service's reload."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mailprov.model import Backup, Change, Effect, Key, Network, Phase, Query, Risk, Step, Words, fingerprint, some
from mailprov.model.listeners import OpenPort, open_ports
from mailprov.resources import common
from mailprov.resources.firewall.rules import EVERYONE, Rules, lost, passed_on, rules

KIND = "firewall"
SECTIONS = ("firewall",)
REMOVED = True
SERVICE = "mailprov-firewall"
_LET_IN = (1, 6, 17, 58, 255)
"""IP protocols that no raw socket makes a matter of: ICMP, TCP and UDP have rules, and 255 is for sending (raw(7))"""
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Table:
    """The loaded table; `digest` of nft's own listing of it, whose form differs by version, "" for a desired one."""

    name: str = "inet mailprov"
    digest: str = ""
    kept: str = field(default="", compare=False)
    """the script with which the host has kept it, and from which it is put back"""
    text: str = field(default="", compare=False, repr=False)
    """the script from which a desired one is loaded"""

    @property
    def key(self) -> Key:
        """Its family and name."""
        return Key(KIND, self.name)

    @property
    def fingerprint(self) -> str:
        """Of what is loaded."""
        return fingerprint(KIND, self.name, self.digest)


activation = common.no_steps
behind = common.never_behind
detail_query = common.no_details
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
kept_query = common.no_kept_query
lasting = common.nothing_lasts
off = common.never_off
with_kept = common.without_kept
obstacles = common.nothing_in_the_way
paths = common.no_paths
pending = common.no_steps
runs = common.never_runs
with_details = common.without_details


def queries(desired: Sequence[Table]) -> tuple[Query, ...]:
    """The digest of the listing; and what would never come to it, where it shall be there."""
    return (Query("firewall", "firewall"), *([Query("published", "published")] if desired else []))


def read(sections: Mapping[str, str]) -> Mapping[Key, Table]:
    """The table, if it is loaded."""
    digest = sections.get("firewall", "").partition(" ")[0]
    return {} if digest in ("", _NOTHING) else {Table().key: Table(digest=digest)}


def same(desired: Table, live: Table, made: str) -> bool:
    """Loaded as it was meant; whether its text has changed is the file's question."""
    return live.digest == made


def moved(live: Table, asked: str, made: str) -> bool:
    """Something else is loaded than was meant."""
    return live.digest != made


def made(live: Table) -> str:
    """The digest of its listing, which the kernel alone can tell."""
    return live.digest


def delta(before: Table | None, after: Table | None) -> Words:
    """Whether it is loaded, loaded again or unloaded."""
    if after is None:
        return Words("unload")
    if after.kept:
        return Words("load as it was")
    return Words("load" if before is None else "load again: what is loaded is not what was applied")


def effects(before: Table | None, after: Table | None) -> Mapping[str, Effect]:
    """The service that loads it."""
    return {SERVICE: Effect.RELOAD} if after is not None else {}


def risk_queries(change: Change) -> tuple[Query, ...]:
    """What is loaded now, and who else listens."""
    if not isinstance(change.after, Table):
        return ()
    return (Query("loading", "loading", (change.after.kept,) if change.after.kept else ()),)


def risks(change: Change, sections: Mapping[str, str]) -> tuple[Risk, ...]:
    """Ports that somebody serves and that are closed, to all or to some; and SSH on a port that was closed so far."""
    if not isinstance(change.after, Table):
        return ()
    lines = sections.get("loading", "").splitlines()
    before, kept = (_text(lines, label) for label in ("loaded ", "kept "))
    then, now = rules(before) if before else None, rules(kept or change.after.text)
    if not now.open:
        return ()  # nothing is known of it
    tunnels = ", ".join(line.removeprefix("tunnel ") for line in lines if line.startswith("tunnel "))
    told = (*open_ports(sections.get("listeners", "")), *open_ports(sections.get("loading", "")))
    aside = passed_on(sections.get("published", ""))
    found: dict[str, Risk] = {}
    for port in sorted(told, key=lambda each: (each.protocol, each.port, each.address)):
        if port.public and (port.protocol, port.port) not in aside:
            for risk in _of_port(port, then, now, tunnels):
                found.setdefault(risk.text, risk)
    return tuple(found.values())


def opened(change: Change, sections: Mapping[str, str]) -> tuple[str, ...]:
    """What such a change lets in that is kept out now, by protocol and port; ALL where the table goes."""
    if not isinstance(change.after, Table):
        return (ALL,)
    lines = sections.get("loading", "").splitlines()
    before, kept = (_text(lines, label) for label in ("loaded ", "kept "))
    now, then = rules(kept or change.after.text), rules(before)
    more = (port for port, admits in now.open.items() if lost(admits, then.admits(port)))
    return tuple(f"{protocol}/{port}" for protocol, port in more) if before else ()


def for_whom(text: str, port: tuple[str, int]) -> str:
    """Whom a table with this text lets in at a port, in words; "" is everyone."""
    admits = rules(text).admits(port)
    return "" if not admits or admits >= EVERYONE else _words(admits)


ALL = "all"
"""every port that the table keeps closed"""


def _of_port(port: OpenPort, then: Rules | None, now: Rules, tunnels: str) -> Iterator[Risk]:
    """`then` is None where no table of ours is loaded, and all was let in."""
    key = port.protocol, port.port
    if port.protocol == "ip":
        if then is None and port.port not in _LET_IN:
            what = f"closes IP protocol {port.port} ({port.owner}), which `firewall.allow` cannot open"
            yield Risk("closing", what, key)
        return
    name = f"port {port.port}" if port.protocol == "tcp" else f"UDP port {port.port}"
    owner = tunnels if tunnels and not port.processes and port.protocol == "udp" and port.readable else port.owner
    admitted, admits = EVERYONE if then is None else then.admits(key), now.admits(key)
    if lost(admitted, admits):
        what = f"narrows {name} from {_words(admitted)} to {_words(admits)}" if admits else f"closes {name}"
        yield Risk("closing", f"{what} ({owner})", key)
    if then is not None and port.protocol == "tcp" and port.port in now.ssh and lost(admits, admitted):
        yield Risk("opening", f"opens {name} to everyone, for SSH ({owner})", key)


def _words(nets: frozenset[Network]) -> str:
    return "everywhere" if nets >= EVERYONE else some(sorted(map(str, nets)), 5)


def _text(lines: Sequence[str], label: str) -> str:
    return "".join(f"{line.removeprefix(label)}\n" for line in lines if line.startswith(label))


def unfiltered(sections: Mapping[str, str]) -> tuple[str, ...]:
    """What is open whatever the table says, because it is passed on before: one warning for each port."""
    return tuple(
        f"{'UDP port' if protocol == 'udp' else 'port'} {port} is passed on to {where} (DNAT) before the "
        "firewall sees it: it is open, and mailprov does not filter it"
        for (protocol, port), where in sorted(passed_on(sections.get("published", "")).items())
    )


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """Unloading, and loading what was kept; otherwise loading is the service's activation."""
    made: list[Step] = []
    for change in changes:
        name, undo = change.key.name, ("former_firewall", "@")
        if change.after is None:
            made.append(Step(Phase.ACTIVATE, f"unload table {name}", ("unload_firewall", "@"), undo, key=change.key))
        elif isinstance(change.after, Table) and change.after.kept:
            put = ("put_table", "@", change.after.kept)
            made.append(Step(Phase.ACTIVATE, f"load table {name} as it was", put, undo, key=change.key))
    return tuple(made)


def bare(name: str) -> Table:
    """The one table."""
    return Table()


def restored(backup: Backup, live: Table | None) -> Table | None:
    """As the script that loads it was kept; none where that only removes it."""
    return Table(digest=backup.made, kept=backup.where) if backup.notes.get("") == "{" else None
