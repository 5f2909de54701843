"""Staff lists: `from_csv` → users; and a look at such a file before it is declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mailprov.errors import Complaint, Origin
from mailprov.model import User
from mailprov.spec import addresses, meaning, roster, values
from mailprov.spec.columns import HEADINGS, Columns, columns, warn_of_unused
from mailprov.spec.desk import Desk, Wrong
from mailprov.spec.encodings import named
from mailprov.spec.part import Part
from mailprov.spec.people import Claim, password
from mailprov.spec.roster import Defaults
from mailprov.spec.table import Table, table

_HERE: Final = "from_csv"


@dataclass(slots=True)
class Lists:
    """What the staff lists of a declaration hold; `complete` where no address in them stays unknown."""

    users: list[User] = field(default_factory=list)
    claims: list[User | Claim] = field(default_factory=list)
    complete: bool = True


def users(parts: Iterable[Part], desk: Desk) -> Lists:
    """Every user of every staff list, and every address that they claim.

    Raises SpecError when there are too many faults to go on.
    """
    found = Lists()
    for part in parts:
        for number, node in part.items("users"):
            if isinstance(node, dict) and _HERE in node:
                _read(part, number, node[_HERE], found, desk)
    return found


def _read(part: Part, number: int, node: Any, found: Lists, desk: Desk) -> None:
    if not part.usable("users", number):
        found.complete = False
        return
    settings = {"file": node} if isinstance(node, str) else node
    here = part.origin("users", number, _HERE)
    defaults = _defaults(part, number, settings, desk)
    try:
        path = part.surroundings.path(settings["file"])
        with table(path, settings.get("encoding", ""), desk) as opened:
            if (known := columns(opened, defaults.domain, desk)) is None:
                found.complete = False
                return
            warn_of_unused(opened, known, desk)
            if opened.guessed:
                what = f"read as {opened.guessed}, since it is not UTF-8"
                cure = f"`encoding: {opened.guessed.lower()}` says that it is right"
                desk.warn(Origin(opened.file, 1, 1), what, cure)
            read = roster.read(opened, known, defaults, desk)
    except Wrong as wrong:
        desk.refuse(here, _about(settings["file"], wrong))
        found.complete = False
        return
    found.complete = found.complete and read.whole
    found.users += read.users
    found.claims += read.claims
    _warn_of_shared(read.users, defaults, here, desk)


def _about(file: str, wrong: Wrong) -> Wrong:
    return wrong if file in wrong.what else Wrong(f"{file}: {wrong.what}", wrong.cure)


def _warn_of_shared(made: Sequence[User], defaults: Defaults, here: Origin, desk: Desk) -> None:
    count = sum(user.password is defaults.password for user in made) if defaults.password else 0
    if count > 1:
        what = f"{count:,} users begin with the same password"
        desk.warn(here, what, "give each one of their own, in a column `password` or `password_hash`")


def _defaults(part: Part, number: int, settings: dict[str, Any], desk: Desk) -> Defaults:
    path = ("users", number, _HERE)
    node = settings.get("defaults", {})
    readers: tuple[tuple[str, Any, Any], ...] = (
        ("quota", node.get("quota"), values.quota),
        ("expire", node.get("expire"), values.days),
        ("password", node.get("password"), lambda value: password(value, part)),
        ("allow_from", node.get("allow_from"), lambda value: addresses.merged(map(addresses.network, value))),
        ("domain", settings.get("domain"), addresses.domain),
    )
    found: dict[str, Any] = {}
    for key, value, read in readers:
        if value is None:
            continue
        try:
            found[key] = read(value)
        except Wrong as wrong:
            place = (*path, "domain") if key == "domain" else (*path, "defaults", key)
            desk.refuse(part.origin(*place), wrong)
    if "protocols" in node:
        found["protocols"] = frozenset(node["protocols"])
    return Defaults(**found)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a staff list would declare. `columns` are its headings with the fields that they mean, "" for none."""

    form: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    users: tuple[User, ...] = ()
    warnings: tuple[str, ...] = ()
    complaints: tuple[Complaint, ...] = ()


def preview(path: Path, encoding: str, domain: str) -> Preview:
    """What the staff list at `path` would declare by itself, in this encoding and for this domain ("": none is said).

    Raises SpecError when there are too many faults to go on.
    """
    desk = Desk()
    form = ""
    headings: tuple[tuple[str, str], ...] = ()
    made: tuple[User, ...] = ()
    try:
        name = addresses.domain(domain) if domain else ""
        with table(path, named(encoding) if encoding else "", desk) as opened:
            form = opened.form
            known = columns(opened, name, desk)
            if known is not None:
                headings = tuple(_meanings(opened, known))
                warn_of_unused(opened, known, desk)
                read = roster.read(opened, known, Defaults(name), desk)
                meaning.claimed(read.claims, desk)
                made = tuple(read.users)
    except Wrong as wrong:
        desk.refuse(Origin(str(path), 1, 1), wrong)
    complaints = tuple(sorted(desk.complaints, key=lambda each: each.origin))
    return Preview(form, headings, made, desk.warnings(), complaints)


def _meanings(opened: Table, known: Columns) -> Iterator[tuple[str, str]]:
    meant = {index: name for name, index in known.at.items() if name in HEADINGS}
    for index, heading in enumerate(opened.header):
        yield heading.strip(), meant.get(index, "")
