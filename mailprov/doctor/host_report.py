"""What a host tells about itself when a doctor asks: doctor.sh's answer → Told (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from mailprov.doctor.log import Event, events
from mailprov.model import Network, Query
from mailprov.model.listeners import listening
from mailprov.model.mail_queue import MailQueue, mail_queue

FOLDERS = ("/", "/var/vmail", "/var/spool/postfix", "/var/log", "/var/lib")
"""where a full disk is felt"""

UNITS = ("dovecot.service", "postfix.service", "postfix@-.service", "rspamd.service")


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system: its size and what is free, in KiB, and its inodes; 0 inodes where it does not count them."""

    folder: str
    size: int
    free: int
    inodes: int = 0
    inodes_free: int = 0

    @property
    def full(self) -> bool:
        """Whether less than 1 % and less than 5 MiB, or less than 1 % and less than 100 inodes, are left."""
        few = self.inodes > 0 and self.inodes_free < min(100, self.inodes // 100 + 1)
        return self.size > 0 and (self.free < min(5 * 1024, self.size // 100 + 1) or few)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An account as the host has it. `denied` are Dovecot's words for services ("smtp" is submission); `limit` and
    `used` are bytes, a limit of 0 is none; `sessions` counts open ones by protocol and client address."""

    exists: bool
    networks: tuple[Network, ...] = ()
    denied: frozenset[str] = frozenset()
    limit: int = 0
    used: int = 0
    sessions: Mapping[tuple[str, str], int] | None = None
    most: Mapping[str, int] | None = None
    locks: bool = False

    def admits(self, address: str) -> bool:
        """Whether the account may log in from an IP address."""
        return not self.networks or any(ip_address(address) in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class HostReport:
    """What a host told. `clock` is in seconds since the epoch, None where it was not said; `synchronised` None where
    the host does not know; `asker` is the address that asked over SSH; `states` has the units that exist."""

    clock: int | None = None
    synchronised: bool | None = None
    asker: str = ""
    addresses: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    states: Mapping[str, str] | None = None
    ports: frozenset[int] = frozenset()
    ruleset: str = ""
    mailbox: Mailbox | None = None
    events: tuple[Event, ...] = ()
    queue: MailQueue = field(default_factory=MailQueue)

    def state(self, service: str) -> str:
        """systemd's ActiveState of "dovecot", "postfix" or "rspamd"; "" where nothing is known, or nobody wants it."""
        return (self.states or {}).get(f"{service}.service", "")


def queries(user: str, minutes: int, mentioned: tuple[str, ...]) -> tuple[Query, ...]:
    """What to ask, of probe.sh and doctor.sh: about `user` ("" for nobody), and the log lines that have `mentioned`."""
    found = [
        Query("circumstances", "circumstances", FOLDERS),
        Query("services", "services", UNITS),
        Query("listeners", "listeners"),
        Query("ruleset", "ruleset"),
        Query("mail_queue", "mail_queue"),
    ]
    if user:
        found.append(Query("account", "account", (user,)))
    return (*found, Query("log", "log", (str(minutes), *filter(None, (user, *mentioned)))))


def host_report(sections: Mapping[str, str], units: Sequence[str]) -> HostReport:
    """The answer, read; `units` serve mail. A host may say anything: what is not understood is left out."""
    lines = [line.split() for line in sections.get("circumstances", "").splitlines()]
    one = {words[0]: words[1:] for words in lines if words}
    clock = _number(one.get("clock", []), 0)
    return HostReport(
        clock=clock or None,
        synchronised={"yes": True, "no": False}.get(" ".join(one.get("synchronised", []))),
        asker=next(_addresses(one.get("asker", [])), ""),
        addresses=tuple(_addresses(one.get("addresses", []))),
        disks=tuple(
            Disk(words[1], *(_number(words, place) for place in (2, 3, 4, 5)))
            for words in lines
            if len(words) == 6 and words[0] == "disk"
        ),
        states=_states(sections.get("services", ""), "filtered" in one),
        ports=frozenset(port for _, port in listening(sections.get("listeners", ""), units)),
        ruleset=sections.get("ruleset", ""),
        mailbox=_mailbox(sections["account"]) if "account" in sections else None,
        events=events(sections.get("log", "")),
        queue=mail_queue(sections.get("mail_queue", "")),
    )


def _number(words: list[str], place: int) -> int:
    text = words[place] if place < len(words) else ""
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else 0


def _addresses(words: list[str]) -> Iterator[str]:
    for word in words:
        try:
            yield str(ip_address(word))
        except ValueError:
            continue


def _networks(text: str) -> Iterator[Network]:
    for each in text.split(","):
        try:
            yield ip_network(each, strict=False)
        except ValueError:
            continue


def _states(text: str, filtered: bool) -> Mapping[str, str]:
    """The ActiveState of each unit that exists, in what `systemctl show` says of several; `filtered`: Postfix asks
    rspamd of each message, whether it is there or not."""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.split("\n\n")]
    units = {pairs.get("Id", ""): pairs for pairs in blocks if pairs.get("LoadState") not in (None, "not-found")}
    found = {name: pairs.get("ActiveState", "") for name, pairs in units.items()}
    if units.get("postfix.service", {}).get("Type") == "oneshot":
        # Debian 11 and 12 run Postfix in an instance, and postfix.service is a wrapper that is always active.
        found["postfix.service"] = found.get("postfix@-.service", "")
    if filtered:
        found.setdefault("rspamd.service", "not installed")
    elif units.get("rspamd.service", {}).get("UnitFileState") != "enabled":
        found.pop("rspamd.service", None)  # it is there, and nobody wants it
    return found


def _mailbox(text: str) -> Mailbox:
    lines = [line.partition(" ")[::2] for line in text.splitlines()]
    one = dict(lines)
    most = {words[0]: _number(words, 1) for label, rest in lines if label == "most" and (words := rest.split())}
    return Mailbox(
        exists="exists" in one,
        networks=tuple(_networks(one.get("allow", ""))),
        denied=frozenset(rest for label, rest in lines if label == "denied"),
        limit=_number([one.get("limit", "")], 0),
        used=_number([one.get("used", "")], 0),
        sessions=_sessions([rest for label, rest in lines if label == "who"]),
        most=most,
        locks=one.get("lock") == "yes",
    )


def _sessions(rows: list[str]) -> Mapping[tuple[str, str], int]:
    """Open sessions in what `doveadm -f tab who USER` says: one a line in 2.4, one protocol a line in 2.3."""
    found: Counter[tuple[str, str]] = Counter()
    for row in rows[1:]:
        heads = [head.strip("# ()") for head in rows[0].split("\t")]
        named = dict(zip(heads, row.split("\t"), strict=False))
        protocol = named.get("service") or named.get("proto", "")
        # 2.3 shows "(pid pid)" and "(ip)", of which each ip is shown once.
        ips = list(_addresses(re.sub("[()]", " ", named.get("ips") or named.get("ip", "")).split()))
        count = _number([named.get("", "1")], 0)
        for ip in ips:
            found[protocol, ip] += count if len(ips) == 1 else 1
    return found
