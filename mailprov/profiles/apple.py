"""Configuration profiles for Apple's Mail on Macs, iPhones and iPads."""

from __future__ import annotations

import plistlib
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from mailprov import encode
from mailprov.profiles.settings import Profile, Server

MEDIA_TYPE: Final = "application/x-apple-aspen-config"


def mobileconfig(profile: Profile, organization: str = "") -> bytes | None:
    """A profile with one mail account and no password: the device asks for it.

    None where nothing may be sent, and where no password is taken: Apple's schema knows no other way to log in.
    `organization` is who gives it out; "" leaves it to the domain.

    Its identifiers depend on the address alone, so that a later one replaces it on the device. Keys are those of
    Apple's device-management schema, `com.apple.mail.managed`. Raises EncodeError for a text that XML cannot hold.
    """
    if profile.sends is None or not profile.takes_password:
        return None
    name = encode.xml(profile.name) and profile.name
    identifier = ".".join((*reversed(profile.domain.split(".")), "mailprov", profile.address.rpartition("@")[0]))
    receives = profile.receives
    account = {
        **_payload("com.apple.mail.managed", f"{identifier}.account", profile, "account"),
        "EmailAccountType": "EmailTypePOP" if receives.protocol == "pop3" else "EmailTypeIMAP",
        "EmailAccountDescription": profile.address,
        "EmailAccountName": name or profile.address,
        "EmailAddress": profile.address,
        **_server("Incoming", receives, profile.login(receives)),
        **_server("Outgoing", profile.sends, profile.login(profile.sends)),
        "OutgoingPasswordSameAsIncomingPassword": True,
    }
    whole = {
        **_payload("Configuration", identifier, profile, "profile"),
        "PayloadOrganization": (encode.xml(organization) and organization) or profile.domain,
        "PayloadDescription": f"The mail account {profile.address}. It holds no password.",
        "PayloadContent": [account],
    }
    return plistlib.dumps(whole, sort_keys=True)


def _payload(kind: str, identifier: str, profile: Profile, what: str) -> dict[str, object]:
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid5(NAMESPACE_URL, f"mailto:{profile.address}#mailprov-{what}")).upper(),
        "PayloadDisplayName": f"Mail: {profile.address}",
    }


def _server(way: str, server: Server, user: str) -> dict[str, object]:
    return {
        f"{way}MailServerAuthentication": "EmailAuthPassword",
        f"{way}MailServerHostName": server.host,
        f"{way}MailServerPortNumber": server.port,
        # Also for STARTTLS: without it the account would be allowed to speak in the clear.
        f"{way}MailServerUseSSL": True,
        f"{way}MailServerUsername": user,
    }
