"""Users whose mailbox had another address before (`was`, `previous_address`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mailprov.declaration.diagnostics import Diagnostics
from mailprov.errors import Origin
from mailprov.model import Domain, User, domain_of


def check_renames(users: Iterable[User], domains: Mapping[str, Domain], diagnostics: Diagnostics) -> None:
    """Complain about addresses of before from which no mailbox can move."""
    users = tuple(users)
    renamed = [user for user in users if user.was]
    if not renamed:
        return
    declared, first = {user.address: user for user in users}, dict[str, User]()
    for user in renamed:
        for what, fix in _wrong(user, declared, first, domains):
            diagnostics.complain(user.origin or Origin("", 1, 1), what, fix)
        first.setdefault(user.was, user)


def _wrong(
    user: User, declared: Mapping[str, User], first: Mapping[str, User], domains: Mapping[str, Domain]
) -> Iterator[tuple[str, str]]:
    """What is wrong with one user's, and what to do."""
    drop = "drop the previous address of this user"
    if user.was == user.address:
        yield f"{user.address} is this mailbox's address today", drop
    elif user.was in declared:
        where = declared[user.was].origin
        yield f"{user.was} is the address of a mailbox of its own ({where})", f"{drop}, or that user"
    elif user.was in first:
        other = first[user.was]
        yield f"{user.was} is the previous address of {other.address}, too ({other.origin})", "keep one of them"
    old, new = domains.get(domain_of(user.was)), domains.get(domain_of(user.address))
    if new is None:
        return
    if new.hosted_by:
        yield f"the mailboxes of {new.name} are not here: {new.hosted_by} hosts them", f"rename it there, and {drop}"
    elif old is not None and {*old.hosts} != {*new.hosts}:
        yield f"{old.name} and {new.name} are on different hosts: no mailbox moves between hosts", drop
