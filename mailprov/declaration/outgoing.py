"""How mail leaves: the `outgoing` of a level, and what it makes of a host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mailprov.declaration import addresses, relays, values
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.settings import (
    LIMITS,
    MESSAGE_SIZE,
    NETWORKS,
    QUEUE_DAYS,
    RELAY,
    SENDERS,
    SENT_TLS,
    Key,
    Layer,
    Path,
    Source,
)
from mailprov.declaration.source_file import SourceFile
from mailprov.errors import Origin
from mailprov.model import Limits, Network, Outgoing, Purpose, Relay

_DAYS: Final = re.compile("([1-9][0-9]?)d")
_SMALLEST: Final = 1024**2
_LARGEST: Final = 2 * 1024**3 - 1
"""bytes of a message; what Postfix counts in an int (postconf(5), message_size_limit)"""

MOST: Final = 100
"""relays of a host, each a transport and a file of its own"""
_WIDEST: Final = {4: 12, 6: 20}
"""the shortest prefix of a network that somebody may have of their own (10.0.0.0/8 is nobody's on the Internet)"""

Sender = tuple[str, Source | None]
"""An address, or "@domain", and the relay that is said for it; None: none."""


def said(
    source_file: SourceFile, path: Path, node: Mapping[str, Any], diagnostics: Diagnostics
) -> Iterator[tuple[Key, Any]]:
    """What the mapping `outgoing` at `path` says; relays as what stands there, for none is read but a host's."""
    here = (*path, "outgoing")
    if "relay" in node:
        yield RELAY, _way(source_file, (*here, "relay"), node["relay"])
    if "senders" in node:
        yield SENDERS, tuple(_senders(source_file, (*here, "senders"), node["senders"], diagnostics))
    if "allow_from" in node:
        found_networks = addresses.merged(
            _networks(source_file, (*here, "allow_from"), node["allow_from"], diagnostics)
        )
        for wide in (each for each in found_networks if each.prefixlen < _WIDEST[each.version] and each.is_global):
            what = f"{wide} is a part of the Internet: an open relay for all there who know an address here"
            diagnostics.complain(source_file.origin(*here, "allow_from"), what, "name networks of your own")
        yield NETWORKS, found_networks
    if "tls" in node:
        yield SENT_TLS, node["tls"]
    if "keep_trying" in node and (found := _DAYS.fullmatch(node["keep_trying"])):
        yield QUEUE_DAYS, int(found[1])
    if "message_size" in node:
        try:
            yield MESSAGE_SIZE, _size(node["message_size"])
        except InvalidValue as wrong:
            diagnostics.refuse(source_file.origin(*here, "message_size"), wrong)
    if "limits" in node:
        usual, given = Limits(), node["limits"]
        numbers = given if isinstance(given, Mapping) else {}
        every = {"messages": usual.messages, "recipients": usual.recipients, **numbers}
        yield LIMITS, every if given is not False else False


def _way(source_file: SourceFile, path: Path, node: Any) -> Source | None:
    # a text that is not `direct` has been complained about
    return Source(source_file, path, node) if isinstance(node, Mapping) else None


def _senders(
    source_file: SourceFile, path: Path, nodes: Sequence[Mapping[str, Any]], diagnostics: Diagnostics
) -> Iterator[Sender]:
    seen: dict[str, Origin] = {}
    for number, node in enumerate(nodes):
        way = _way(source_file, (*path, number, "relay"), node["relay"])
        for index, text in enumerate(node["from"]):
            place = source_file.origin(*path, number, "from", index)
            try:
                name = addresses.mailbox(text) if "@" in text else f"@{addresses.domain(text)}"
            except InvalidValue as wrong:
                diagnostics.refuse(place, wrong)
                continue
            if name in seen:
                what = f"{brief(text)} has a relay already, at {seen[name]}"
                diagnostics.complain(place, what, "keep one of them")
                continue
            seen[name] = place
            yield name, way


def _networks(source_file: SourceFile, path: Path, texts: Sequence[str], diagnostics: Diagnostics) -> Iterator[Network]:
    for number, text in enumerate(texts):
        try:
            found = addresses.network(text)
        except InvalidValue as wrong:
            diagnostics.refuse(source_file.origin(*path, number), wrong)
            continue
        yield found


def _size(text: str) -> int:
    size = values.quota(text)
    if size is None or not _SMALLEST <= size <= _LARGEST:
        raise InvalidValue(f"{brief(text)} is no size of a message", "choose from 1MiB to 2047MiB")
    return size


def _limits(merged: Layer) -> Limits:
    found = merged.settings[LIMITS][-1]
    return Limits(**found.value, declared=found.origin is not None) if found.value else Limits(0, 0)


class Outgoings:
    """What hosts get of it. Each relay is read once, however many hosts share it."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.known: dict[Origin, Relay | None] = {}
        self.told: set[Origin] = set()

    def of(self, merged: Layer) -> Outgoing:
        """What the host of a merged layer has."""
        found = Outgoing(
            self._relay(merged.value(*RELAY)),
            tuple((name, self._relay(source)) for name, source in merged.value(*SENDERS)),
            merged.value(*NETWORKS),
            merged.value(*SENT_TLS),
            merged.value(*QUEUE_DAYS),
            merged.value(*MESSAGE_SIZE),
            _limits(merged),
        )
        self._complain_of_many(merged, found)
        return found

    def _complain_of_many(self, merged: Layer, found: Outgoing) -> None:
        origin = merged.settings[SENDERS][-1].origin
        if origin is not None and origin not in self.told and len(found.relays) > MOST:
            self.told.add(origin)
            self.diagnostics.complain(origin, f"more than {MOST} relays for one host", "name fewer")

    def _relay(self, source: Source | None) -> Relay | None:
        if source is None:
            return None
        if source.origin not in self.known:
            self.known[source.origin] = relays.relay(source, Purpose.OUTGOING, self.diagnostics)
        return self.known[source.origin]
