"""The record of what was done to a host: whether it is whole."""

from __future__ import annotations

from collections.abc import Mapping

from mailprov.engine import manifest
from mailprov.engine.history import History, history, transactions
from mailprov.errors import HostError

RECORD = ("history", "manifest", "transactions")
"""what is asked for `whole`"""


def whole(sections: Mapping[str, str], host: str) -> History:
    """The record of a host, from its answers to these questions. Raises HostError where it is not whole."""
    past = history(sections["history"])
    if past.gap:
        raise HostError(
            f"the record has a gap at line {past.gap}",
            where=host,
            why="that line does not carry the hash of the one before it: somebody changed the file",
            fix="look at /var/lib/mailprov/history on the host",
        )
    kept = manifest.parse(sections.get("manifest", ""))
    last = [entry.transaction for entry in past.entries if entry.verdict == "applied"]
    # One that is being written down stands in the manifest first.
    if kept and [kept.transaction] != last[-1:] and transactions(sections).open != kept.transaction:
        raise no_record(host)
    return past


def no_record(host: str) -> HostError:
    """The error for a host whose record does not tell of what was done to it."""
    return HostError(
        "the record of what was applied is gone or damaged, although the host was changed",
        where=host,
        fix="look at /var/lib/mailprov/history on the host",
    )
