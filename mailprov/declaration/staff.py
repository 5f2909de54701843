"""Staff lists: `from_csv` → users; and a look at such a file before it is declared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mailprov.declaration import addresses, semantics, staff_rows, values
from mailprov.declaration.accounts import Claim, password
from mailprov.declaration.columns import HEADINGS, Columns, columns, shown, warn_of_unused
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.encodings import named
from mailprov.declaration.source_file import SourceFile
from mailprov.declaration.staff_rows import Defaults
from mailprov.declaration.table import Table, table
from mailprov.declaration.weakness import cure, openness
from mailprov.errors import Diagnostic, Origin, SpecError
from mailprov.model import Purpose, User

_HERE: Final = "from_csv"


@dataclass(slots=True)
class Lists:
    """What the staff lists of a declaration hold; `complete` where no address in them stays unknown."""

    users: list[User] = field(default_factory=list)
    claims: list[User | Claim] = field(default_factory=list)
    complete: bool = True


def users(parts: Iterable[SourceFile], diagnostics: Diagnostics) -> Lists:
    """Every user of every staff list, and every address that they claim.

    Raises SpecError when there are too many faults to go on.
    """
    found = Lists()
    for source_file in parts:
        for number, node in source_file.items("users"):
            if isinstance(node, dict) and _HERE in node:
                _read(source_file, number, node[_HERE], found, diagnostics)
    return found


def _read(source_file: SourceFile, number: int, node: Any, found: Lists, diagnostics: Diagnostics) -> None:
    if not source_file.usable("users", number):
        found.complete = False
        return
    settings = {"file": node} if isinstance(node, str) else node
    here = source_file.origin("users", number, _HERE)
    defaults = _defaults(source_file, number, settings, diagnostics)
    try:
        path = source_file.surroundings.path(settings["file"])
        with table(path, settings.get("encoding", ""), diagnostics, source_file.surroundings.root) as opened:
            if (known := columns(opened, defaults.domain, settings.get("ignore", ()), diagnostics)) is None:
                found.complete = False
                return
            warn_of_unused(opened, known, diagnostics)
            if opened.guessed:
                what = f"read as {opened.guessed}, since it is not UTF-8"
                fix = f"`encoding: {opened.guessed.lower()}` says that it is right"
                diagnostics.warn(Origin(opened.file, 1, 1), what, fix)
            read = staff_rows.read(opened, known, defaults, diagnostics)
    except InvalidValue as wrong:
        diagnostics.refuse(here, _about(settings["file"], wrong))
        found.complete = False
        return
    found.complete = found.complete and read.whole
    found.users += read.users
    found.claims += read.claims
    _warn_of_shared(read.users, defaults, here, diagnostics)
    if Purpose.INITIAL in source_file.surroundings.secrets:
        _warn_of_open(path, [user for user in read.users if user.password is not defaults.password], here, diagnostics)


def _about(file: str, wrong: InvalidValue) -> InvalidValue:
    return wrong if file in wrong.what else InvalidValue(f"{file}: {wrong.what}", wrong.fix)


def _warn_of_shared(made: Sequence[User], defaults: Defaults, here: Origin, diagnostics: Diagnostics) -> None:
    count = sum(user.password is defaults.password for user in made) if defaults.password else 0
    if count > 1:
        what = f"{count:,} users begin with the same password"
        diagnostics.warn(here, what, "give each one of their own, in a column `password` or `password_hash`")


def _warn_of_open(path: Path, made: Iterable[User], here: Origin, diagnostics: Diagnostics) -> None:
    if any(user.password.plaintext is not None for user in made) and (found := openness(path)):
        diagnostics.warn(here, f"{brief(str(path), 200)} holds passwords, and is {found}", cure(path))


def _defaults(source_file: SourceFile, number: int, settings: dict[str, Any], diagnostics: Diagnostics) -> Defaults:
    path = ("users", number, _HERE)
    node = settings.get("defaults", {})
    where = (*path, "defaults", "password")
    readers: tuple[tuple[str, Any, Any], ...] = (
        ("quota", node.get("quota"), values.quota),
        ("expire", node.get("expire"), values.days),
        ("password", node.get("password"), lambda value: password(value, source_file, where, "", diagnostics)),
        ("allow_from", node.get("allow_from"), lambda value: addresses.merged(map(addresses.network, value))),
        ("domain", settings.get("domain"), addresses.domain),
    )
    found: dict[str, Any] = {}
    for key, value, read in readers:
        if value is None:
            continue
        try:
            found[key] = read(value)
        except InvalidValue as wrong:
            at = (*path, "domain") if key == "domain" else (*path, "defaults", key)
            diagnostics.refuse(source_file.origin(*at), wrong)
    if "protocols" in node:
        found["protocols"] = frozenset(node["protocols"])
    return Defaults(**found)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a staff list would declare. `columns` are its headings with the fields that they mean, "" for none."""

    form: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    users: tuple[User, ...] = ()
    doubts: tuple[Diagnostic, ...] = ()
    errors: tuple[Diagnostic, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The doubts in words."""
        return tuple(doubt.warning for doubt in self.doubts)


def preview(path: Path, encoding: str, domain: str, ignored: Collection[str] = ()) -> Preview:
    """What the staff list at `path` would declare by itself, in this encoding and for this domain ("": none is said),
    without the columns of `ignored` headings.

    Raises SpecError when there are too many faults to go on.
    """
    diagnostics = Diagnostics()
    form = ""
    headings: tuple[tuple[str, str], ...] = ()
    made: tuple[User, ...] = ()
    try:
        name = addresses.domain(domain) if domain else ""
        with table(path, named(encoding) if encoding else "", diagnostics) as opened:
            form = opened.form
            known = columns(opened, name, ignored, diagnostics)
            if known is not None:
                headings = tuple(_meanings(opened, known))
                warn_of_unused(opened, known, diagnostics)
                read = staff_rows.read(opened, known, Defaults(name), diagnostics)
                semantics.claimed(read.claims, diagnostics)
                made = tuple(read.users)
                _warn_of_open(path, made, Origin(str(path), 1, 1), diagnostics)
    except InvalidValue as wrong:
        diagnostics.refuse(Origin(str(path), 1, 1), wrong)
    errors = tuple(sorted(diagnostics.errors, key=lambda each: each.origin))
    return Preview(form, headings, made, diagnostics.warnings, errors)


def listed(path: Path, domain: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses in a table that names accounts and says nothing else of them, and warnings.

    Raises SpecError for what is no such table: one with passwords is meant for something else.
    """
    found = preview(path, "", domain)
    errors = list(found.errors)
    given = [heading for heading, meaning in found.columns if meaning in ("password", "password_hash")]
    if given:
        what = f"the column `{brief(given[0])}` holds passwords, and a reset makes new ones"
        errors.append(Diagnostic(Origin(str(path), 1, 1), what, "delete the column"))
    if errors:
        raise SpecError(errors)
    return tuple(user.address for user in found.users), found.warnings


def _meanings(opened: Table, known: Columns) -> Iterator[tuple[str, str]]:
    meant = {index: name for name, index in known.at.items() if name in HEADINGS}
    meant |= dict.fromkeys(known.states, "enabled")
    for index in range(len(opened.header)):
        yield shown(opened.header, index).strip("`"), meant.get(index, "")
