"""Mail whose account is closed: it stays on its host until somebody says how many mailboxes may go (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailprov.errors import ConsentError, MailprovError


@dataclass(frozen=True, slots=True)
class Leftover:
    """One mailbox: its address, and how many messages and bytes it holds."""

    address: str
    messages: int
    bytes: int


def read(text: str) -> tuple[Leftover, ...]:
    """The answer to the `leftovers` question, by address."""
    found = (re.fullmatch(r"([0-9]{1,18}) ([0-9]{1,9}) (\S+@\S+)", line) for line in text.splitlines())
    return tuple(sorted((Leftover(f[3], int(f[2]), int(f[1])) for f in found if f), key=lambda each: each.address))


def chosen(found: Sequence[Leftover], addresses: Sequence[str], host: str) -> tuple[Leftover, ...]:
    """Those of `addresses`, or all. Raises MailprovError for an address that is none of them."""
    known = {each.address: each for each in found}
    for address in addresses:
        if address not in known:
            fix = "only mail of closed accounts is deleted: `mailprov purge` lists it"
            raise MailprovError(f"{address} has an account, or no mail, on this host", where=host, fix=fix)
    return tuple(known[address] for address in dict.fromkeys(addresses)) if addresses else tuple(found)


def agree(wanted: Sequence[Leftover], count: int, host: str) -> None:
    """Raises ConsentError unless `count` is how many mailboxes would be deleted."""
    if count != len(wanted):
        raise ConsentError(
            f"{len(wanted)} mailbox{'es' if len(wanted) != 1 else ''} would be deleted; nothing was touched",
            where=host,
            why=f"--delete says {count}",
            fix=f"if it is meant, and there is a back-up, add --delete {len(wanted)}",
        )
