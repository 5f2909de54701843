"""How a command becomes root's: the argv around it, and what a refusal of sudo means.

The command begins behind a mark on stdout, so that a failure of sudo is never taken for one of the command. The
password travels as the first line of stdin; what the command shall read follows only after the mark was seen, so that
nothing else can reach sudo as a second guess, and no password can reach the command where sudo does not ask for one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from mailprov.connection.output import excerpt, printable
from mailprov.errors import ConnectError
from mailprov.model import Secret

# LC_ALL=C makes sudo's complaints readable to `refusal`. sudo drops SSH_CONNECTION; env hands it on.
_ASK_NOTHING = 'export LC_ALL=C; exec sudo -n -- env "SSH_CONNECTION=${SSH_CONNECTION-}" "$@"'
_ASK = 'export LC_ALL=C; P=$1; shift; exec sudo -k -S -p "$P" -- env "SSH_CONNECTION=${SSH_CONNECTION-}" "$@"'
_BEGIN = 'printf "%s\\n" "$0"; exec "$@"'
# A shell reads a pipe byte by byte, so nothing behind the mark is lost to the command.
_BEGIN_BEHIND_MARK = 'printf "%s\\n" "$0"; while IFS= read -r line; do [ "$line" = "$0" ] && exec "$@"; done; exit 97'


@dataclass(frozen=True, slots=True)
class Become:
    """One command's way to root. `mark` is what stdout shows when the command begins."""

    mark: str
    prompt: str = ""
    password: Secret | None = None

    def wrap(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The argv that runs `argv` as root."""
        if self.password is None:
            return ("sh", "-c", _ASK_NOTHING, "sh", "sh", "-c", _BEGIN, self.mark, *argv)
        return ("sh", "-c", _ASK, "sh", self.prompt, "sh", "-c", _BEGIN_BEHIND_MARK, self.mark, *argv)

    def first(self) -> bytes:
        """What stdin holds before the mark was seen: the password, or nothing."""
        return b"" if self.password is None else self.password.reveal().encode() + b"\n"

    def then(self) -> bytes:
        """What stdin holds before the command's own part of it."""
        return b"" if self.password is None else self.mark.encode() + b"\n"

    def refused(self, stderr: bytes) -> bool:
        """Whether sudo did not take the password: it asks a second time."""
        return self.password is not None and (
            stderr.count(self.prompt.encode()) > 1 or re.search(rb"try again", stderr) is not None
        )

    def shown(self, said: bytes) -> bytes:
        """What the host said, as anybody may see it: without the prompt, and without a password that was echoed."""
        said = said.replace(self.prompt.encode(), b"") if self.prompt else said
        if self.password is None or not self.password.reveal():
            return said
        masked = said.replace(self.password.reveal().encode(), _MASK.encode())
        # What is shown has no escape sequences: one within the password would hide it here, and not there.
        clean, bare = _clean(masked), _clean(self.password.reveal().encode())
        return clean.replace(bare, _MASK).encode() if bare and bare in clean else masked


_MASK = str(Secret(""))


def _clean(said: bytes) -> str:
    return "\n".join(map(printable, said.decode(errors="replace").split("\n")))


class Refused(ConnectError):
    """sudo did not run the command; the session is as good as before."""


def become(password: Secret | None, token: Callable[[int], str] = secrets.token_hex) -> Become:
    """A fresh way to root; `token` gives the randomness of its marks."""
    mark = f"mailprov-begins-{token(8)}"
    return Become(mark, f"[{mark}-password]" if password is not None else "", password)


def refusal(where: str, way: Become, status: int, stderr: bytes) -> Refused:
    """Why a command never began under sudo, from sudo's own words."""
    words, said = excerpt(stderr.replace(way.prompt.encode(), b"")), excerpt(way.shown(stderr))
    if way.refused(stderr):
        return Refused(_WRONG_PASSWORD[0], where=where, why=said, fix=_WRONG_PASSWORD[1])
    for pattern, what, fix in _REFUSALS:
        if re.search(pattern, words, re.IGNORECASE):
            return Refused(what, where=where, why=said, fix=fix)
    return Refused(
        "sudo did not run the command",
        where=where,
        why=f"exit status {status}" + (f": {said}" if said else ""),
        fix="log in to the host as this user and try: sudo -- id",
    )


_WRONG_PASSWORD = (
    "sudo refuses the become password",
    "correct what become_password refers to; it is the password of the SSH user, not of root",
)
_REFUSALS = (
    (
        r"sudo: (command )?not found|sudo: inaccessible",
        "the host has no sudo",
        "install sudo on the host, or connect as root with become: false",
    ),
    (
        r"(must have|sorry, you .*) a tty|no tty present",
        "sudo on the host insists on a terminal (requiretty), and mailprov uses none",
        "remove `Defaults requiretty` from sudoers, or exempt the user: Defaults:USER !requiretty",
    ),
    (
        r"not in the sudoers|may not run sudo|not allowed to (execute|run)",
        "the SSH user may not become root by sudo",
        "allow it in sudoers (on Debian: adduser USER sudo), or connect as root with become: false",
    ),
    (r"try again|incorrect password|authentication failure", *_WRONG_PASSWORD),
    (
        r"password is required|no password was provided|authentication is required",
        "sudo asks for a password, and none was declared",
        "declare become_password for the host, or allow the user NOPASSWD in sudoers",
    ),
    (
        r"expired",
        "sudo refuses the SSH user because its account or password has expired",
        "renew the password on the host (passwd, chage)",
    ),
)
