"""The code that Thunderbird for Android reads an account from. The only file that imports segno, which is an extra."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Final

from mailprov import extras
from mailprov.errors import MailprovError
from mailprov.profiles.settings import Profile, Server

_INCOMING: Final = {"imap": 0, "pop3": 1}
_SECURITY: Final = {"starttls": 2, "tls": 3}
_PASSWORD: Final = 1
_OAUTH2: Final = 6


def payload(profile: Profile) -> str | None:
    """The account in "Export for Mobile" QR code format, version 1; None where nothing may be sent.

    Without a password: the app asks for it. Source: thunderbird-android, feature/migration/qrcode/qr-code-format.md.
    """
    if profile.sends is None:
        return None
    receives = profile.receives
    incoming = [_INCOMING[receives.protocol], *_reached(receives, profile)]
    outgoing = [[[0, *_reached(profile.sends, profile)], [profile.address, profile.name or profile.address]]]
    return json.dumps([1, [1, 1], incoming, outgoing], ensure_ascii=False, separators=(",", ":"))


def _reached(server: Server, profile: Profile) -> list[object]:
    way = _OAUTH2 if profile.credentials[0] == "oauth2" else _PASSWORD
    return [server.host, server.port, _SECURITY[server.mode], way, profile.login(server)]


@dataclass(frozen=True, slots=True)
class Images:
    """One QR code, twice."""

    svg: bytes
    png: bytes


def images(text: str) -> Images:
    """A QR code of `text`. Raises MailprovError without segno, or for a text too long."""
    try:
        import segno
    except ImportError:
        raise MailprovError(
            "making QR codes needs segno, which is not installed", fix=extras.install("profiles")
        ) from None
    try:
        # Said to be UTF-8: else a text would be written in whatever encoding happens to fit.
        code = segno.make_qr(text, error="m", boost_error=False, encoding="utf-8")
    except segno.DataOverflowError:
        raise MailprovError("this is too much for a QR code", where=ascii(text[:80])) from None
    svg, png = io.BytesIO(), io.BytesIO()
    code.save(svg, kind="svg", scale=4, border=4, xmldecl=False, light="#fff", nl=False)
    code.save(png, kind="png", scale=8, border=4)
    return Images(svg.getvalue(), png.getvalue())
