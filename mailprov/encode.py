"""One encoder per destination: text from a declaration becomes safe there, or is refused.

The declaration is validated before it comes here; an encoder trusts none of that. Each raises EncodeError, and each is
fuzzed against a reader of its destination's syntax.
"""

from __future__ import annotations

import re

from mailprov.errors import Exit, MailprovError


class EncodeError(MailprovError):
    """A text that its destination has no way to hold."""

    exit = Exit.INVALID


class Encoded(str):
    """A text that an encoder here has made safe for one destination; templates take nothing else."""

    __slots__ = ()


_WORD = re.compile(r"[A-Za-z0-9_./:@+-]+")
_ADDRESS = re.compile(r"[a-z0-9_.+-]*@[a-z0-9.-]+")
_TARGET = re.compile(r"[A-Za-z0-9_.+=~-]*@[a-z0-9.-]+")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_SECRET = re.compile(r"\{[A-Z0-9.-]+\}[A-Za-z0-9./$,=+-]+")


def word(text: str) -> Encoded:
    """A name, path, port, address or network, as Dovecot, Postfix, systemd and nft all take it unquoted."""
    if not _WORD.fullmatch(text) or text.startswith(("-", "@", ":")):
        raise EncodeError("this text cannot stand in a configuration file", where=ascii(text[:80]))
    return Encoded(text)


def address(text: str) -> Encoded:
    """A canonical address, or "@domain": the key of a Postfix map or of a passwd-file."""
    if not _ADDRESS.fullmatch(text) or ".." in text or text.endswith("."):
        raise EncodeError("this is not a canonical mail address", where=ascii(text[:80]))
    return Encoded(text)


def target(text: str) -> Encoded:
    """An address that mail is sent on to; elsewhere the case of its local part matters (RFC 5321 §2.4)."""
    if not _TARGET.fullmatch(text) or ".." in text or text.startswith("-") or text.endswith("."):
        raise EncodeError("this is not a mail address that a map can hold", where=ascii(text[:80]))
    return Encoded(text)


def map_row(key: str, values: tuple[str, ...]) -> Encoded:
    """One line of a Postfix lookup table, `key value, value` (postmap(1)), without its newline."""
    if not values:
        raise EncodeError("a map entry needs a value", where=ascii(key[:80]))
    return Encoded(f"{address(key)} {', '.join(value if value == 'OK' else target(value) for value in values)}")


def passwd_row(name: str, password: str, owner: str, extra: tuple[tuple[str, str], ...] = ()) -> Encoded:
    """One line of a Dovecot passwd-file, without its newline.

    `user:password:uid:gid:gecos:home:shell:extra` (Dovecot manual, "Passwd-file"). `password` is empty, or a hash
    with its scheme. Dovecot ignores the gecos field; `owner` is kept there.
    """
    if password and not _SECRET.fullmatch(password):
        raise EncodeError("this password hash cannot stand in a passwd-file", where=ascii(name[:80]))
    fields = " ".join(f"{_name(key)}={_extra(value)}" for key, value in extra)
    return Encoded(f"{address(name)}:{password}:::{_name(owner)}:::{fields}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise EncodeError("this name cannot stand in a passwd-file", where=ascii(text[:80]))
    return text


def _extra(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.,:/*=-]+", value):
        raise EncodeError("this value cannot stand in a passwd-file", where=ascii(value[:80]))
    return value
