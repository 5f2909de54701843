"""What mail programs look for by themselves: autoconfig (Thunderbird and many others) and autodiscover (Outlook)."""

from __future__ import annotations

from typing import Final

from mailprov import encode
from mailprov.profiles.settings import ANYBODY, ANYBODY_BEFORE, Profile, Server
from mailprov.render import Render

LONGEST_NAME: Final = 60
LONGEST_SHORT_NAME: Final = 20
"""characters of displayName and displayShortName (draft-ietf-mailmaint-autoconfig)"""

_AUTHENTICATION: Final = {"oauth2": "OAuth2", "password": "password-cleartext"}

KEPT_DAYS: Final = 14
"""days that mail stays on the server after POP3 has fetched it, as we advise"""


def autoconfig(profile: Profile, render: Render) -> bytes:
    """The configuration file of draft-ietf-mailmaint-autoconfig, version 1.1, the best server of each kind first.

    Raises EncodeError for a text that XML cannot hold.
    """
    anybody = profile.address.startswith(ANYBODY)

    def user(server: Server) -> str:
        return (ANYBODY_BEFORE if server.local_part else ANYBODY) if anybody else profile.login(server)

    ways = {"oauth2" if kind == "oauth2" else "password" for kind in profile.credentials}
    values = {
        "xml": encode.xml,
        "profile": profile,
        "user": user,
        "ways": [_AUTHENTICATION[way] for way in ("oauth2", "password") if way in ways],
        "name": profile.domain[:LONGEST_NAME],
        "short_name": profile.domain[:LONGEST_SHORT_NAME].rstrip(".-"),
        "days": KEPT_DAYS,
    }
    return render("profiles/autoconfig.xml", values).encode()


def autodiscover(profile: Profile, render: Render) -> bytes:
    """Outlook's "POX" answer for accounts that are not Exchange's ([MS-OXDSCLI] §2.2.4).

    For a whole domain it names no user: a static file cannot know who asks. Raises EncodeError as `autoconfig` does.
    """
    first = {server.protocol: server for server in reversed((*profile.incoming, *profile.outgoing))}
    order = sorted(first.values(), key=(*profile.incoming, *profile.outgoing).index)
    anybody = profile.address.startswith(ANYBODY)
    values = {"xml": encode.xml, "profile": profile, "user": profile.login, "anybody": anybody, "servers": order}
    return render("profiles/autodiscover.xml", values).encode()
