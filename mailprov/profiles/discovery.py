"""What mail programs look for by themselves: autoconfig (Thunderbird and many others) and autodiscover (Outlook)."""

from __future__ import annotations

from typing import Final

from mailprov import encode
from mailprov.profiles.settings import ANYBODY, Profile
from mailprov.render import Render

LONGEST_NAME: Final = 60
LONGEST_SHORT_NAME: Final = 20
"""characters of displayName and displayShortName (draft-ietf-mailmaint-autoconfig)"""

KEPT_DAYS: Final = 14
"""days that mail stays on the server after POP3 has fetched it, as we advise"""


def autoconfig(profile: Profile, render: Render) -> bytes:
    """The configuration file of draft-ietf-mailmaint-autoconfig, version 1.1, the best server of each kind first.

    Raises EncodeError for a text that XML cannot hold.
    """
    anybody = profile.address.startswith(ANYBODY)
    values = {
        "xml": encode.xml,
        "profile": profile,
        "user": ANYBODY if anybody else profile.address,
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
    values = {"xml": encode.xml, "profile": profile, "user": "" if anybody else profile.address, "servers": order}
    return render("profiles/autodiscover.xml", values).encode()
