"""Trials that chance draws, all from a seed (pure): what is declared, before and after, what strikes, and when."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from faults_bystanders import BYSTANDERS
from faults_case import Fault
from faults_kinds import FAULTS
from faults_scenarios import ALICE, BOB, CAROL, DAVE, ERIN, HASHES, Declared, Scenario, acme, base
from faults_trial import Known, Strike

RELEASES = ("bullseye", "bookworm", "trixie")
NO_TLS_1_3 = ("bullseye",)
"""releases whose Dovecot cannot require it"""
KILLS = ("controller", "transaction", "unit", "power")
"""faults that may come at any moment, and not at the journal's events only"""

_TURNS = 1.2
"""how far after an apply's usual end a moment may be, in its own length"""


@dataclass(frozen=True)
class Trial:
    """One trial: on a host that was led along `past`, from `base` to its last declaration, to `after` by `verb`.

    `strikes`: the fault, and a bystander before it; of each, where between an apply's beginning (0) and end (1), and
    whether that is at an event of the journal. `fresh`: the host is a new one.
    """

    seed: str
    release: str
    past: tuple[Declared, ...] = field(repr=False)
    after: Declared = field(repr=False)
    verb: Literal["apply", "rollback"]
    strikes: tuple[tuple[str, float, bool], ...]
    fresh: bool

    @property
    def before(self) -> Declared:
        """What was declared last."""
        return self.past[-1]

    @property
    def leaves(self) -> bool:
        """Whether its host is of no use afterwards."""
        return any(FAULTS[name].leaves for name, _, _ in self.strikes)

    def scenario(self) -> Scenario:
        """The same, as what is tried."""
        opened = sorted(_ports(self.after) - _ports(self.before))
        brought = self.after["tls"].get("certificate")
        return Scenario(
            self.seed,
            self.seed,
            self.before,
            self.after,
            ("acme_client", "base"),
            self.verb,
            taken=opened[0] if opened else 0,
            renews=bool(brought) and brought != self.before["tls"].get("certificate"),
        )

    def struck(self, known: Known, scenario: Scenario) -> tuple[Strike, ...]:
        """Where each strikes, in a journal that is known by now."""
        found: list[tuple[float, Strike]] = []
        for name, moment, at_event in self.strikes:
            fault = FAULTS[name]
            events = replace(fault, at="event").events(scenario, known.journal, known.words) or ["begin"]
            if at_event:
                index = int(moment * len(events))
                found.append((known.journal.index(events[index]), (events[index], fault)))
            else:
                found.append((0, (f"+{moment * _TURNS * known.seconds:.2f}", fault)))
        # What strikes at one and the same stop strikes at the next one.
        return tuple(strike for _, strike in sorted(found, key=lambda each: each[0]))


def _ports(declared: Declared) -> set[int]:
    return {port for listener in declared["services"].values() for port in listener.values()}


def drawn(seed: str, group: int, size: int, releases: Sequence[str] = RELEASES) -> list[Trial]:
    """A group of trials, each beginning where the one before it has ended."""
    chance = random.Random(f"{seed}/{group}")  # noqa: S311
    release = chance.choice(releases)
    trials: list[Trial] = []
    past: tuple[Declared, ...] = (base(),)
    for number in range(size):
        fresh = not trials or trials[-1].leaves
        if fresh:
            past = (base(), other(chance, base(), release))
        verb: Literal["apply", "rollback"] = "rollback" if chance.random() < 0.35 else "apply"
        after = past[-2] if verb == "rollback" else other(chance, past[-1], release)
        trial = Trial(f"{seed}/{group}/{number}", release, past, after, verb, (), fresh)
        trial = replace(trial, strikes=_strikes(chance, trial.scenario()))
        trials.append(trial)
        past = (*past, after)
    return trials


def _strikes(chance: random.Random, scenario: Scenario) -> tuple[tuple[str, float, bool], ...]:
    fitting = [fault for fault in FAULTS.values() if fault.fits(scenario)]
    kills = [fault for fault in fitting if fault.name in KILLS]
    faults = [fault for fault in fitting if fault not in BYSTANDERS]
    # Half of them are kills; a third has a bystander too, or nobody else.
    chosen: list[Fault] = [chance.choice(kills if chance.random() < 0.5 else faults)]
    if chance.random() < 0.35:
        chosen.insert(0, chance.choice([fault for fault in fitting if fault in BYSTANDERS]))
        if chance.random() < 0.3:
            chosen = chosen[:1]
    alone = len(chosen) == 1
    return tuple(
        (fault.name, chance.random(), not (alone and fault.name in KILLS and chance.random() < 0.5)) for fault in chosen
    )


# --- a small grammar of what changes from one declaration to the next


def other(chance: random.Random, declared: Declared, release: str) -> Declared:
    """Another declaration: some things changed, at least one. No change here says what is so unsaid."""
    while True:
        made = copy.deepcopy(declared)
        for change in chance.sample(_CHANGES, chance.randint(1, 4)):
            if change is not _version or release not in NO_TLS_1_3:
                change(chance, made)
        if json.dumps(made, sort_keys=True) != json.dumps(declared, sort_keys=True):
            return made


def _user(chance: random.Random, declared: Declared) -> None:
    """One comes or goes; the first always stays, the one with an initial password as it is."""
    users = declared["users"]
    gone = [address for address in (BOB, CAROL, DAVE, ERIN) if all(user["address"] != address for user in users)]
    if gone and (chance.random() < 0.6 or len(users) < 2):
        address = chance.choice(gone)
        initial = {"initial": {"env": "BOB_INITIAL"}}
        users.append({"address": address, "password": initial if address == BOB else {"hash": HASHES[address]}})
    elif len(users) > 1:
        del users[chance.randrange(1, len(users))]


def _account(chance: random.Random, declared: Declared) -> None:
    """A quota, a password or an alias."""
    user = chance.choice(declared["users"])
    kind = chance.choice(("quota", "password", "aliases"))
    if kind == "quota":
        user["quota"] = chance.choice(("1GiB", "2GiB", "500MiB"))
    elif kind == "aliases":
        user["aliases"] = [f"{chance.choice('xyz')}.{user['address']}"]
    elif user["address"] != BOB:
        user["password"] = {"hash": HASHES[chance.choice((ALICE, CAROL, DAVE, ERIN))]}


def _listener(chance: random.Random, declared: Declared) -> None:
    """A port opens or closes."""
    name, how, port = chance.choice(
        (
            ("imap", "starttls", 143),
            ("pop3", "starttls", 110),
            ("submission", "tls", 465),
            ("submission", "starttls", 587),
        )
    )
    listener = declared["services"].get(name)
    if listener is None:
        return
    if how not in listener:
        listener[how] = port
    elif len(listener) > 1:
        del listener[how]


def _protocol(chance: random.Random, declared: Declared) -> None:
    """A protocol comes or goes; one to read mail by always stays."""
    services = declared["services"]
    name, port = chance.choice((("pop3", 995), ("imap", 993)))
    if name not in services:
        services[name] = {"tls": port}
    elif {"pop3", "imap"} <= services.keys():
        del services[name]


def _certificate(chance: random.Random, declared: Declared) -> None:
    """Another certificate, or the host's own."""
    kept = {name: value for name, value in declared["tls"].items() if name == "min_version"}
    pem = chance.choice("ab")
    brought = {"certificate": {"file": f"{pem}.pem"}, "key": {"file": f"{pem}.key"}}
    declared["tls"] = (acme()["tls"] if chance.random() < 0.3 else brought) | kept


def _version(chance: random.Random, declared: Declared) -> None:
    """The other one; TLSv1.2 is what nothing says."""
    if declared["tls"].pop("min_version", None) is None:
        declared["tls"]["min_version"] = "TLSv1.3"


def _firewall(chance: random.Random, declared: Declared) -> None:
    """On or off; a hole more or less."""
    if chance.random() < 0.3:
        declared["firewall"] = {"manage": not declared["firewall"]["manage"]}
    elif declared["firewall"]["manage"]:
        if chance.random() < 0.7:
            declared["firewall"]["allow"] = [{"port": chance.randint(9000, 9009)}]
        else:
            declared["firewall"].pop("allow", None)


_CHANGES: tuple[Callable[[random.Random, Declared], None], ...] = (
    _user,
    _user,
    _account,
    _account,
    _listener,
    _protocol,
    _certificate,
    _version,
    _firewall,
)
