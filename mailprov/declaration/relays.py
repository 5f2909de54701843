"""Relays: servers that take mail and pass it on, for what is handed out, and for what leaves a host."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from mailprov.declaration import addresses
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.files import Absent, Unavailable, Unread, described
from mailprov.declaration.settings import Source
from mailprov.declaration.weakness import warn_of_open
from mailprov.errors import Diagnostic
from mailprov.model import Purpose, Relay, Secret

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
"""RFC 6409 §3.1, RFC 8314 §3.3"""


def relay(source: Source, purpose: Purpose, diagnostics: Diagnostics) -> Relay | None:
    """The relay that the mapping of `source` says; None where it cannot be told which, which is complained about."""
    node = source.node
    tls, host, user = node.get("tls", "starttls"), "", node.get("user", "")
    try:
        host = addresses.endpoint(node["host"]) if purpose is Purpose.RELAY else _server(node["host"])
    except InvalidValue as wrong:
        diagnostics.refuse(source.at("host"), wrong)
    if purpose is Purpose.OUTGOING:
        _check_for_postfix(source, host, diagnostics)
    if tls == "none" and host and not _is_here(host) and (user or purpose is Purpose.RELAY):
        fix = "write starttls or tls; none is for a relay on this machine (127.0.0.1)"
        diagnostics.complain(source.at("tls"), "passwords are not sent over a network without TLS", fix)
    if "password" in node and not user:
        diagnostics.complain(source.at("password"), "a password without a user", "say whose it is: `user`")
    secret, lacking = _password(source, purpose, diagnostics) if "password" in node else (None, None)
    said = described(node["password"]) if "password" in node else ""
    return Relay(host, node.get("port", _PORTS[tls]), tls, user, secret, said, lacking) if host else None


def _password(source: Source, purpose: Purpose, diagnostics: Diagnostics) -> tuple[Secret | None, Diagnostic | None]:
    """The password, or why it is not here."""
    node, place, near = source.node["password"], source.at("password"), source.source_file.surroundings
    warn_of_open(node, near, purpose, place, diagnostics)
    try:
        text = near.secret(node, purpose)
        if purpose is Purpose.OUTGOING and not (text == text.strip() and text.isprintable()):
            what = "a password with a space at an end, or with a character that nobody sees, cannot stand in a table"
            diagnostics.complain(place, what, "give the relay's account another one")
        return Secret(text), None
    except Unread:
        return None, None
    except (Absent, Unavailable) as wrong:
        return None, Diagnostic(place, wrong.what, wrong.fix)
    except InvalidValue as wrong:
        diagnostics.refuse(place, wrong)
        return None, None


def _check_for_postfix(source: Source, host: str, diagnostics: Diagnostics) -> None:
    """Complain about what Postfix could not use: an address with TLS, half a login, or one that its table cannot hold
    (SASL_README of Postfix)."""
    user = source.node.get("user", "")
    if source.node.get("tls") != "none" and (found := _address(host)) and not found.is_loopback:
        what = "Postfix knows servers by the names in their certificates, and never by an address"
        diagnostics.complain(source.at("host"), what, "write the relay's name; an address goes with `tls: none` only")
    if ":" in user or user != user.strip() or not user.isprintable():
        what = f"the user {brief(user)} has a colon, or a space at an end"
        diagnostics.complain(source.at("user"), what, "the name that the relay knows")
    if user and "password" not in source.node:
        diagnostics.complain(source.at("user"), "a user without a password", "say where it is: password: {env: …}")


def _server(text: str) -> str:
    """An IP address or a full name. Raises InvalidValue."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    found = _address(bare)
    if found is None:
        return bare if bare == "localhost" else addresses.hostname(bare)
    if found.is_unspecified or found.is_multicast or "%" in bare:
        raise InvalidValue(f"{brief(bare)} is the address of no server that others reach", "for example 192.0.2.25")
    return str(found)


def _is_here(host: str) -> bool:
    found = _address(host)
    return found.is_loopback if found else host == "localhost"


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
