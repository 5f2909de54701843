"""How people get what they need: the `handout` of a declaration → the model's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mailprov.declaration import addresses, relays, values
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.files import contents
from mailprov.declaration.settings import Source
from mailprov.declaration.source_file import SourceFile
from mailprov.model import Handout, Logo, Purpose

_EXPIRES: Final = re.compile("([1-9][0-9]{0,2})d")


def handout(main: SourceFile, diagnostics: Diagnostics) -> Handout:
    """What the main file says under `handout`; faults are handed in at the `diagnostics`."""
    node = main.mapping("handout")
    known = main.sound(node, "handout")
    sender, days = "", Handout().days
    if "from" in known:
        try:
            sender = addresses.target(known["from"], ())
        except InvalidValue as wrong:
            diagnostics.refuse(main.origin("handout", "from"), wrong)
    if "expires" in known:
        found = _EXPIRES.fullmatch(known["expires"])
        days = int(found[1]) if found else days  # anything else is a departure from the schema
    texts = dict(_texts(main, known, diagnostics))
    logo = _logo(main, known["logo"], diagnostics) if "logo" in known else None
    source = Source(main, ("handout", "relay"), known["relay"]) if "relay" in known else None
    relay = relays.relay(source, Purpose.RELAY, diagnostics) if source else None
    if "relay" in node and "from" not in node:
        what, fix = "`from` is missing: messages need a sender", "for example from: it@example.com"
        diagnostics.complain(main.origin("handout", "relay", of_key=True), what, fix)
    return Handout(relay, sender, days, logo=logo, language=known.get("language", ""), **texts)


def _texts(main: SourceFile, known: Mapping[str, Any], diagnostics: Diagnostics) -> Iterator[tuple[str, str]]:
    for key in ("company", "helpdesk"):
        if key in known:
            try:
                yield key, values.display_name(known[key])
            except InvalidValue as wrong:
                diagnostics.refuse(main.origin("handout", key), wrong)


def _logo(main: SourceFile, text: str, diagnostics: Diagnostics) -> Logo | None:
    from mailprov.declaration import logo  # few declarations have one

    try:
        return logo.checked(contents(main.surroundings.path(text), logo.LARGEST, main.surroundings.root))
    except InvalidValue as wrong:
        what = wrong.what if text in wrong.what else f"{brief(text, 200)}: {wrong.what}"
        diagnostics.refuse(main.origin("handout", "logo"), InvalidValue(what, wrong.fix))
        return None
