"""What a declaration names, be it valid or not: for whoever offers names while one is typed. Nothing else is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mailprov.declaration import addresses, staff
from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue
from mailprov.declaration.files import Surroundings
from mailprov.declaration.source_file import SourceFile, parts
from mailprov.errors import SpecError

MAX_TABLE: Final = 2 * 1024 * 1024
"""bytes of a staff list that is still read: some 20,000 people, and half a second"""


@dataclass(frozen=True, slots=True)
class Names:
    """The names in a declaration, in its order, each in the form in which it is compared: hosts and groups as they
    are, domains and users in ASCII (A-labels) and lower case."""

    hosts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


def names(path: Path) -> Names:
    """What the declaration at `path` names.

    No path leaves its folder, and no secret is read. A name that is none is left out; where the file cannot be
    understood at all, nothing is named. Never raises for what a file holds.
    """
    diagnostics = Diagnostics()
    try:
        with closing(Root(path.parent)) as root:
            near = Surroundings(path.parent, {}, secrets=frozenset(), root=root)
            files, _ = parts(path, near, diagnostics)
            listed = _listed(files, path.parent)
    except (SpecError, InvalidValue, OSError):
        return Names()
    main = files[0]
    return Names(
        _sound(main.mapping("hosts"), addresses.key),
        _sound(main.mapping("groups"), addresses.key),
        _sound(_each(files, "domains", "name"), addresses.domain),
        _sound((*_each(files, "users", "address"), *listed), addresses.mailbox),
    )


def _each(files: Iterable[SourceFile], key: str, name: str) -> Iterator[Any]:
    """The items of a list, which are names or have one."""
    for file in files:
        for _, item in file.items(key):
            yield item.get(name) if isinstance(item, dict) else item


def _sound(found: Iterable[Any], canonical: Callable[[str], str]) -> tuple[str, ...]:
    """Those that are names, each once."""
    known: dict[str, None] = {}
    for text in found:
        with suppress(InvalidValue):
            if isinstance(text, str):
                known[canonical(text)] = None
    return tuple(known)


def _listed(files: Iterable[SourceFile], folder: Path) -> list[str]:
    """The addresses in staff lists that are not too long for somebody who waits with a finger on a key."""
    with suppress(SpecError):
        short = [file for file in files if all(_is_short(item, folder) for _, item in file.items("users"))]
        return [user.address for user in staff.users(short, Diagnostics()).users]
    return []


def _is_short(item: Any, folder: Path) -> bool:
    given = item.get("from_csv") if isinstance(item, dict) else None
    name = given.get("file") if isinstance(given, dict) else given
    if not isinstance(name, str):
        return True
    with suppress(OSError, ValueError):
        return (folder / name).stat().st_size <= MAX_TABLE
    return False
