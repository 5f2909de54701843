"""What to do next about a step that failed when a host was looked at as a client (pure)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mailprov.checks import Check  # words need no mail protocols

_CAUSE: Final = "`{doctor}` names the cause, and its cure"
_DECLARED: Final = "`mailprov plan --limit {host}` shows what is not as declared, `{doctor}` names the cause"
_WORDS: Final[Mapping[str, str]] = {
    "dns": "`mailprov dns --check` shows the records that lack, `{doctor}` names the cause",
    "route": _CAUSE,
    "connect": _CAUSE,
    "greeting": _CAUSE,
    "cleartext login refused": _DECLARED,
    "starttls": _DECLARED,
    "tls": _CAUSE,
    "certificate": "renew it, and `mailprov apply --limit {host}`; `{doctor}` says what is wrong with it",
    "name": "`{doctor}` says for which names it is; get one for the host's, and `mailprov apply --limit {host}`",
    "declared certificate": _DECLARED,
    "chain": "`{doctor}` says what lacks; with roots of your own: --ca FILE",
    "old tls refused": _DECLARED,
    "capability": _DECLARED,
    "login": _CAUSE,
    "mailbox": _CAUSE,
    "send": "`{doctor}` looks at its log, its queue and the mailbox",
    "fetch": "`{doctor}` looks at its log, its queue and the mailbox",
    "clean up": "delete the message by hand: its subject begins with `mailprov`; `{doctor}` names the cause",
    "relay refused": "whoever comes can send through it: `mailprov apply --limit {host}` at once, or stop it",
}
"""by step"""
_OF_SOMEBODY: Final = ("login", "mailbox", "send", "fetch", "clean up")


def to_do(host: str, check: Check, user: str = "") -> str:
    """The next step about a failed check of a declared host; `user` is whose account was used, where it is somebody's.

    "" where there is nothing to do.
    """
    if not host or not check.failed:
        return ""
    words = ["mailprov", "doctor", "--limit", host]
    if user and check.step in _OF_SOMEBODY:
        words += ["--user", user]
    doctor = shlex.join([*words, "--protocol", check.endpoint.protocol])
    return _WORDS.get(check.step, _CAUSE).format(doctor=doctor, host=shlex.quote(host))
