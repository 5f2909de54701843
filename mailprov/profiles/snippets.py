"""Configuration files for programs that fetch mail without a window: mpop, fetchmail, mbsync."""

from __future__ import annotations

from collections.abc import Iterator

from mailprov import encode
from mailprov.profiles.settings import Profile, Server
from mailprov.render import Render


def snippets(profile: Profile, render: Render) -> Iterator[tuple[str, bytes]]:
    """(File name, text) of each program that speaks what this mailbox may use.

    Option names are those of mpop 1.4, fetchmail 6.4, isync 1.4 and 1.5. Raises EncodeError for an address or a host
    name that cannot stand there. None for a mailbox that takes no password.
    """
    if not profile.takes_password:
        return
    values = {"word": encode.word}
    programs = {"pop3": "mpoprc", "imap": "mbsyncrc"}
    best = {server.protocol: server for server in reversed(profile.incoming)}
    for protocol, server in sorted(best.items()):
        name = programs[protocol]
        yield name, render(f"profiles/{name}", {**values, "server": server, "user": _user(profile, server)}).encode()
    first = profile.receives
    yield (
        "fetchmailrc",
        render("profiles/fetchmailrc", {**values, "server": first, "user": _user(profile, first)}).encode(),
    )


def _user(profile: Profile, server: Server) -> encode.Encoded:
    whole = encode.address(profile.address)
    return encode.Encoded(whole.rpartition("@")[0]) if server.local_part else whole
