"""How people get what they need: the `handout` of a declaration → the model's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final

from mailprov.declaration import addresses, values
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.files import Unavailable, Unread, contents, described
from mailprov.declaration.source_file import SourceFile
from mailprov.declaration.weakness import warn_of_open
from mailprov.model import Handout, Logo, Purpose, Relay, Secret

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
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
    relay = _relay(main, known["relay"], diagnostics) if "relay" in known else None
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


def _relay(main: SourceFile, node: Mapping[str, Any], diagnostics: Diagnostics) -> Relay | None:
    here = ("handout", "relay")
    tls, host = node.get("tls", "starttls"), ""
    try:
        host = addresses.endpoint(node["host"])
    except InvalidValue as wrong:
        diagnostics.refuse(main.origin(*here, "host"), wrong)
    if tls == "none" and host and not _is_here(host):
        fix = "write starttls or tls; none is for a relay on this machine (127.0.0.1)"
        diagnostics.complain(main.origin(*here, "tls"), "passwords are not sent over a network without TLS", fix)
    if "password" in node and "user" not in node:
        diagnostics.complain(main.origin(*here, "password"), "a password without a user", "say whose it is: `user`")
    secret, source = None, ""
    if "password" in node:
        source = described(node["password"])
        place = main.origin(*here, "password")
        warn_of_open(node["password"], main.surroundings, Purpose.RELAY, place, diagnostics)
        try:
            secret = Secret(main.surroundings.secret(node["password"], Purpose.RELAY))
        except (Unavailable, Unread):
            pass  # only who sends needs it
        except InvalidValue as wrong:
            diagnostics.refuse(place, wrong)
    return Relay(host, node.get("port", _PORTS[tls]), tls, node.get("user", ""), secret, source) if host else None


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
