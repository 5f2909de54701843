"""What a plan takes from people although their port stays open (pure): networks, and protocols of accounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import collapse_addresses, ip_network

from mailprov.model import Change, Network, Risk, RowsChange, some
from mailprov.resources.accounts import Accounts, consents
from mailprov.resources.accounts.row import networks
from mailprov.resources.files import File
from mailprov.roles.dovecot import DENIED
from mailprov.roles.dovecot.filtering import AUTH_SERVICE


def narrowing(changes: Sequence[Change]) -> tuple[Risk, ...]:
    """What wants a consent of that kind; of ports the firewall tells."""
    return tuple(Risk("closing", text) for text in (*_accounts(changes), *_protocols(changes)))


# --- accounts


def _accounts(changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        before, after, delta = change.before, change.after, change.delta
        if not isinstance(before, Accounts) or not isinstance(after, Accounts) or not isinstance(delta, RowsChange):
            continue
        old, new = (side.rows.reveal() if side.rows else {} for side in (before, after))
        pairs = ((name, networks(was), networks(will)) for name, was, will in consents.pairs(delta, old, new))
        names = [name for name, was, will in pairs if was != will and not _within(*map(_known, (was, will)))]
        if names:
            yield f"narrows from where {len(names):,} account{'' if len(names) == 1 else 's'} may log in: {some(names)}"


def _protocols(changes: Sequence[Change]) -> Iterator[str]:
    """What the file of denials takes from accounts that were there before."""
    deltas = [change.delta for change in changes if isinstance(change.delta, RowsChange)]
    new = {name for delta in deltas for name in delta.added}
    called = {was: name for delta in deltas for name, was in delta.renamed.items()}
    for change in changes:
        before, after = change.before, change.after
        if change.key.name != DENIED or not isinstance(before, File) or not isinstance(after, File):
            continue
        if before.content is None or after.content is None:
            continue
        old, now = (frozenset(text.decode("utf-8", "replace").splitlines()) for text in (before.content, after.content))
        lines = (line.rpartition("/") for line in old)
        known = old | {f"{called.get(name, name)}/{service}" for name, _, service in lines}
        # who may not use ManageSieve reads no mail, and never could
        lines = (line.rpartition("/") for line in now - known)
        names = sorted({name for name, _, service in lines if service != AUTH_SERVICE} - new - called.keys())
        if names:
            yield f"takes protocols from {len(names):,} account{'' if len(names) == 1 else 's'}: {some(names)}"


# --- networks


def _known(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks; one that is none lets nobody in."""
    return tuple(_networks(texts)) or ((ip_network("0.0.0.0/32"),) if texts else ())


def _networks(texts: Iterable[str]) -> Iterator[Network]:
    for text in texts:
        try:
            yield ip_network(text.strip(), strict=False)
        except ValueError:
            continue


def _within(was: Sequence[Network], will: Sequence[Network]) -> bool:
    """Whether all of `was` is in `will`; nothing is everywhere."""
    if not will:
        return True
    return bool(was) and all(_covered(net, will) for net in was)


def _covered(net: Network, others: Sequence[Network]) -> bool:
    if net.version == 4:
        wide = collapse_addresses(each for each in others if each.version == 4)
        return any(net.subnet_of(each) for each in wide)
    wide6 = collapse_addresses(each for each in others if each.version == 6)
    return any(net.subnet_of(each) for each in wide6)
