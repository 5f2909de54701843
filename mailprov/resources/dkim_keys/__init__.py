"""Keys that sign mail (DKIM, RFC 6376): made on the host, which they never leave; their public halves are read back.

What a pair is for is noted beside it, so that a way back brings back that, too. The note stays when the keys are gone:
so no name is given twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, get_args

from mailprov.model import Backup, Change, Command, Key, KeyPair, Phase, Query, State, Step, Words, fingerprint, listing
from mailprov.model.signing import ALGORITHMS, Use
from mailprov.resources import common

KIND = "dkim_key"
SECTIONS = ("dkim_keys",)
REMOVED = True
FOLDER: Final = "/etc/mailprov/dkim"
GROUP: Final = "_rspamd"
PRIVATE: Final = ("640", "root", GROUP)
NOTE: Final = ("644", "root", "root")
_NAME = re.compile(r"[a-z0-9-]{1,50}-[0-9]{1,9}")
_DOMAIN = re.compile(r"[a-z0-9.-]{1,253}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,800}={0,2}")
_NO_NOTE: Final[tuple[Use, int, Mapping[str, tuple[str, str]]]] = ("signs", 0, {})
"""mail may have been signed with it: the next apply has it sign no more, and makes another"""


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A pair of keys, and `attributes`: mode, owner and group of its note and of each private half that is there.

    `odd` are the paths of these that are no plain files. `kept`: where the host has kept the note that is put back.
    """

    pair: KeyPair
    attributes: tuple[tuple[str, str, str], ...] = ()
    odd: tuple[tuple[str, listing.Type], ...] = ()
    kept: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """DOMAIN/NAME."""
        return Key(KIND, f"{self.pair.domain}/{self.pair.name}")

    @property
    def fingerprint(self) -> str:
        """Of what it is for; and that something is wrong with it."""
        wrong = () if self.sound else ("unsound", *self.attributes, *self.odd)
        return fingerprint(KIND, *self.key, self.pair.use, *wrong)

    @property
    def sound(self) -> bool:
        """Whether what it needs for its use is there, as it was made, and nobody else can read it.

        Nothing is signed any more with one that has signed: its private halves may be gone.
        """
        whole = attributes(self.pair.use)
        if self.pair.use == "signed":
            return not self.odd and self.attributes == whole[: len(self.attributes)] and bool(self.attributes)
        return (self.pair.intact or self.pair.use == "retired") and not self.odd and self.attributes == whole


def attributes(use: Use) -> tuple[tuple[str, str, str], ...]:
    """Those of the note, and of both private halves until they are retired."""
    return (NOTE,) if use == "retired" else (NOTE, PRIVATE, PRIVATE)


def path(pair: KeyPair) -> str:
    """Where it is: PATH.txt is the note, PATH.rsa and PATH.ed25519 are the private halves."""
    return f"{FOLDER}/{pair.domain}/{pair.name}"


def dkim_key(pair: KeyPair) -> DkimKey:
    """The desired one, for what the pair says."""
    return DkimKey(replace(pair, intact=True), attributes(pair.use))


activation = common.no_steps
behind = common.never_behind
detail_query = common.no_details
effects = common.no_effects  # what names it to the daemon changes, too
foreseen = common.nothing_foreseen
foresight = common.no_foresight
former = common.as_itself
lasting = common.nothing_lasts
made = common.nothing_made
moved = common.unlike_asked
off = common.never_off
paths = common.no_paths
pending = common.no_steps
risk_queries = common.no_risk_queries
risks = common.no_risks
runs = common.never_runs
with_details = common.without_details


def queries(desired: Sequence[DkimKey]) -> tuple[Query, ...]:
    """One: all that are there."""
    return (Query("dkim_keys", "dkim_keys", (FOLDER,)),)


def read(sections: Mapping[str, str]) -> Mapping[Key, DkimKey]:
    """The live ones: those that have a note, be it one that means nothing: no name is given twice."""
    text = sections.get("dkim_keys", "")
    files = {file.path: file for file in listing.read(text)}
    notes: dict[str, list[str]] = {path.removesuffix(".txt"): [] for path in files if path.endswith(".txt")}
    for line in text.splitlines():
        name, said, words = line.partition(": ")
        if said and name.endswith(".txt"):
            notes.setdefault(name.removesuffix(".txt"), []).append(words)
    found = (_read_one(where, lines, files) for where, lines in notes.items())
    return {item.key: item for item in found if item}


def _read_one(where: str, lines: Sequence[str], files: Mapping[str, listing.Listed]) -> DkimKey | None:
    domain, _, name = where.removeprefix(f"{FOLDER}/").partition("/")
    if not _NAME.fullmatch(name) or not _DOMAIN.fullmatch(domain):
        return None
    use, since, halves = _note(lines) or _NO_NOTE
    there = [files.get(f"{where}.{suffix}") for suffix in ("txt", *ALGORITHMS)]
    plain = [file for file in there if file is not None]
    digests = [file.sha256 if file else "" for file in there[1:]]
    intact = bool(halves) and digests == [digest for digest, _ in halves.values()]
    pair = KeyPair(domain, name, use, since, tuple((of, public) for of, (_, public) in halves.items()), intact)
    odd = tuple((file.path, file.type) for file in plain if file.type != "file")
    return DkimKey(pair, tuple((file.mode, file.owner, file.group) for file in plain), odd)


def _note(lines: Sequence[str]) -> tuple[Use, int, Mapping[str, tuple[str, str]]] | None:
    """What a note says: "use USE SECONDS", and of each algorithm the digest of the private half and the public one, or
    nothing where it signs no more and that is lost. None where it means nothing."""
    rows = {words[0]: words[1:] for line in lines[:8] if len(words := line.split(" ")) == 3}
    use = next((word for word in get_args(Use) if rows.get("use", [""])[0] == word), None)
    if use is None or not re.fullmatch("[0-9]{1,11}", rows["use"][1]):
        return None
    halves = {of: (rows[of][0], rows[of][1]) for of in ALGORITHMS if of in rows}
    if len(halves) != len(ALGORITHMS) or not all(_BASE64.fullmatch(public) for _, public in halves.values()):
        halves = {}
    return (use, int(rows["use"][1]), halves) if halves or use in ("signed", "retired") else None


def same(desired: DkimKey, live: DkimKey, made: str) -> bool:
    """For the same use, and sound."""
    return desired.pair.use == live.pair.use and live.sound


def reported(live: DkimKey) -> KeyPair:
    """The pair: its public halves stand in DNS."""
    return live.pair


_SUMMARIES: Mapping[Use, str] = {
    "waits": "put it back to wait for its DNS records",
    "signs": "sign with it from now on",
    "signed": "sign with it no more; its DNS records must stay while mail is under way",
    "retired": "remove its private keys; its DNS records can go",
}


def delta(before: DkimKey | None, after: DkimKey | None) -> Words:
    """What happens to it."""
    if after is None:
        return Words("remove")
    if before is None:
        return Words("make it (RSA with 2,048 bits, and Ed25519)")
    if before.pair.use != after.pair.use:
        return Words(_SUMMARIES[after.pair.use])
    wrong = {
        "content": not before.pair.intact,
        "mode": [each[0] for each in before.attributes] != [each[0] for each in after.attributes],
        "owner": [each[1:] for each in before.attributes] != [each[1:] for each in after.attributes],
    }
    return Words("have nobody but rspamd read it", aspects=frozenset(name for name, so in wrong.items() if so))


def obstacles(before: DkimKey | None, after: DkimKey | None, there: State) -> tuple[tuple[str, str], ...]:
    """What is in the place of a half or of the note, and no plain file."""
    return tuple((where, listing.NOUNS[found]) for where, found in before.odd) if before else ()


def steps(changes: Sequence[Change]) -> tuple[Step, ...]:
    """A pair is made where it is staged; later on only its note changes, until its private halves go."""
    return tuple(_step(change) for change in sorted(changes, key=lambda change: change.key))


def _step(change: Change) -> Step:
    after, key = change.after, change.key
    where = f"{FOLDER}/{key.name}"
    undo = ("former_key", "@", where)
    if not isinstance(after, DkimKey):
        return Step(Phase.COMMIT, f"remove {where}", ("drop_key", "@", where), undo, key=key)
    if after.kept:
        take, do = ("take_key", "@", after.kept), ("put_back_key", "@", where)
        return Step(Phase.COMMIT, f"put back {where}", do, undo, take, key=key)
    if change.before is None:
        domain, name = key.name.split("/", 1)
        stage: Command = ("make_key", "@")
        return Step(Phase.COMMIT, f"make the key {name} of {domain}", ("put_key", "@", where), undo, stage, key=key)
    use: Command = ("use_key", "@", where, after.pair.use)
    return Step(Phase.COMMIT, f"note that {key.name} {_NOTED[after.pair.use]}", use, undo, key=key)


_NOTED: Mapping[Use, str] = {
    "waits": "waits for DNS",
    "signs": "signs",
    "signed": "signs no more",
    "retired": "is retired, and remove its private keys",
}


# --- the way back


def bare(name: str) -> DkimKey:
    """Its name."""
    domain, _, own = name.partition("/")
    return dkim_key(KeyPair(domain, own, "waits"))


def restored(backup: Backup, live: DkimKey | None) -> DkimKey | None:
    """As its note was. One that was not there yet stays, and signs nothing: DNS may have its records."""
    if "" in backup.copies:
        return replace(bare(backup.key.name), kept=backup.where)
    return dkim_key(replace(live.pair, use="waits")) if live is not None and live.pair.use != "retired" else live


def kept_query(item: DkimKey) -> Query | None:
    """The note that was kept."""
    return Query("content", "content", (item.kept,)) if item.kept else None


def with_kept(item: DkimKey, text: str) -> DkimKey:
    """For what that note says; where it meant nothing, the keys go on signing no more."""
    note = _note(common.lines(common.content(text, item.kept)))
    if note is None:
        return dkim_key(replace(item.pair, use="signed"))
    pair = replace(item.pair, use=note[0], since=note[1])
    return replace(dkim_key(pair), kept=item.kept)
