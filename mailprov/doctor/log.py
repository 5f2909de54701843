"""What Dovecot and Postfix have logged about a user or a client (pure): lines of `journalctl -o short-unix` → events.

These are the only texts that are matched on: the daemons have no other way to say what they tell no client. OpenSSL's
errors are known by their numbers, which are in the text (ERR_error_string(3)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One line that means something: `at` in seconds since the epoch by the host's clock, `kind` a cause's name or
    "login"; `client`, `user` and `session` (Dovecot's name for it) are "" where the line names none."""

    at: float
    kind: str
    client: str
    user: str
    text: str
    session: str = ""


# What limits.lua has Postfix say.
_LIMITED = re.compile(
    r"milter-reject: END-OF-MESSAGE from \S+: 4\.7\.1 (\S+@\S+) may send [0-9]+ (?:messages|recipients) an hour"
)
# Dovecot 2.3 and 2.4 (src/auth, src/login-common, src/lib-storage) and Postfix's smtpd
_KINDS = (
    ("sending-limit", _LIMITED),
    ("blocked-by-allow-from", re.compile("allow_nets check failed")),
    ("unknown-user", re.compile("unknown user", re.IGNORECASE)),
    ("wrong-password", re.compile("password mismatch", re.IGNORECASE)),
    ("login-needs-tls", re.compile("tried to use disallowed (?:plaintext|cleartext) auth", re.IGNORECASE)),
    ("too-many-connections", re.compile(r"Maximum number of connections|mail_max_userip_connections")),
    ("mailbox-locked", re.compile("Mailbox is locked by another|Timeout while waiting for lock")),
    ("quota-full", re.compile("Mailbox is full|Quota exceeded|Not enough disk quota")),
    ("disk-full", re.compile("No space left on device|Disk quota exceeded")),
    ("login", re.compile(r"-login: (?:Info: )?(?:Login|Logged in): |, sasl_method=")),
)
# The last digits of OpenSSL's number are the reason: three of them in 1.1.1 ("error:14209102"), six in 3.0.
_NUMBER = re.compile(r"error:[0-9A-Fa-f]{5}([0-9A-Fa-f]{3})\b")
_REASONS = {
    258: "client-tls-old",
    396: "client-tls-old",
    1042: "certificate-distrusted",
    1045: "certificate-distrusted",
    1046: "certificate-distrusted",
    1048: "certificate-distrusted",
}
_CLIENT = re.compile(
    r"\brip=([0-9A-Fa-f.:]+)|\([^(),\s]*,([0-9A-Fa-f.:]+)[,)]|\b(?:from |client=)[^\s\[]*\[([0-9A-Fa-f.:]+)\]"
)
_USER = re.compile(r"\buser=<([^<>]+)>|\(([^(),\s]+@[^(),\s]+)[,)]|\bsasl_username=([^\s,]+)|\bto=<([^<>]+)>")
_SESSION = re.compile(r"\bsession=<([^<>]+)>|[,)]<([A-Za-z0-9+/=]+)>")
_LINE = re.compile(r"([0-9]{1,12}(?:\.[0-9]+)?) (?:\S+ )?(.+)")


def events(text: str) -> tuple[Event, ...]:
    """The lines that mean something, in the order in which they were logged."""
    return tuple(_events(text))


def _events(text: str) -> Iterator[Event]:
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        said = found[2]
        if kind := _kind(said):
            user = _first(_LIMITED if kind == "sending-limit" else _USER, said).lower()
            yield Event(float(found[1]), kind, _first(_CLIENT, said), user, said, _first(_SESSION, said))


def _kind(said: str) -> str:
    for kind, pattern in _KINDS:
        if pattern.search(said):
            return kind
    # An alert that a client sent is logged as a failure, too; one number may stand in a line twice.
    return next((_REASONS[n] for n in (int(found, 16) for found in _NUMBER.findall(said)) if n in _REASONS), "")


def _first(pattern: re.Pattern[str], said: str) -> str:
    found = pattern.search(said)
    return next(filter(None, found.groups()), "") if found else ""
