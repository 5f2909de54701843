"""How people get what they need: the `handout` of a declaration → the model's words."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

from mailprov.model import Handout, Relay, Secret
from mailprov.spec import addresses
from mailprov.spec.desk import Desk, Wrong
from mailprov.spec.files import Absent, described
from mailprov.spec.part import Part

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


def handout(main: Part, desk: Desk) -> Handout:
    """What the main file says under `handout`; faults are handed in at the `desk`."""
    node = main.mapping("handout")
    known = main.sound(node, "handout")
    sender, days = "", Handout().days
    if "from" in known:
        try:
            sender = addresses.target(known["from"], ())
        except Wrong as wrong:
            desk.refuse(main.origin("handout", "from"), wrong)
    if "expires" in known:
        number = known["expires"].removesuffix("d")
        days = int(number) if number.isdecimal() else days  # anything else is a departure from the schema
    relay = _relay(main, known["relay"], desk) if "relay" in known else None
    if "relay" in node and "from" not in node:
        what, cure = "`from` is missing: messages need a sender", "for example from: it@example.com"
        desk.complain(main.origin("handout", "relay", of_key=True), what, cure)
    return Handout(relay, sender, days)


def _relay(main: Part, node: Mapping[str, Any], desk: Desk) -> Relay | None:
    here = ("handout", "relay")
    tls, host = node.get("tls", "starttls"), ""
    try:
        host = addresses.endpoint(node["host"])
    except Wrong as wrong:
        desk.refuse(main.origin(*here, "host"), wrong)
    if tls == "none" and host and not _is_here(host):
        cure = "write starttls or tls; none is for a relay on this machine (127.0.0.1)"
        desk.complain(main.origin(*here, "tls"), "passwords are not sent over a network without TLS", cure)
    if "password" in node and "user" not in node:
        desk.complain(main.origin(*here, "password"), "a password without a user", "say whose it is: `user`")
    secret, source = None, ""
    if "password" in node:
        source = described(node["password"])
        try:
            secret = Secret(main.surroundings.line(node["password"]))
        except Absent:
            pass  # only who sends needs it
        except Wrong as wrong:
            desk.refuse(main.origin(*here, "password"), wrong)
    return Relay(host, node.get("port", _PORTS[tls]), tls, node.get("user", ""), secret, source) if host else None


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
