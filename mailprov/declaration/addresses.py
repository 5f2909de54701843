"""Names on the network and in mail: text → its one canonical form, or Wrong.

Everything here is pure. What comes out holds only characters that mean nothing to Dovecot's passwd-file, Postfix's
maps, nftables or a shell, so no later step needs to quote for safety.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Final

import idna

from mailprov.declaration.diagnostics import InvalidValue, brief
from mailprov.declaration.unseen import unseen
from mailprov.model import HOST_NAME, Network

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ASCII_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HOST_ALIAS: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?")
_NUMBERS: Final = re.compile(r"(?:0[xX][0-9A-Fa-f]+|[0-9]+)(?:\.(?:0[xX][0-9A-Fa-f]+|[0-9]+))*")
_LOCAL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")
USUAL: Final = re.compile(r"([a-z0-9_](?:[a-z0-9._-]{0,62}[a-z0-9_])?)@([a-z0-9.-]{1,189})")
"""an address in its canonical form, if it has no `..` and its domain is one"""
_TARGET_LOCAL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._+=~-]*[A-Za-z0-9_+=~-])?")
_SCRIPTS: Final = frozenset({"LATIN", "CYRILLIC", "GREEK"})
_LOCAL_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_LOGIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}")


@lru_cache(maxsize=8192)
def domain(text: str) -> str:
    """The canonical name of a mail domain: A-labels, lower case, no trailing dot (which is tolerated, once).

    Raises Wrong. Follows RFC 5890/5891 by way of UTS #46 non-transitional processing; the limits are RFC 1035 §2.3.4.
    """
    name = _labels(text, "a domain name")
    if "." not in name:
        raise InvalidValue(f'"{brief(text)}" is not a full domain name', "for example example.com")
    return name


@lru_cache(maxsize=1024)
def hostname(text: str) -> str:
    """The canonical full name (FQDN) of a host, by the rules of `domain`. Raises Wrong."""
    name = _labels(text, "a host name")
    if "." not in name:
        raise InvalidValue(f'"{brief(text)}" is not a full host name', "for example mail.example.com")
    return name


def _labels(text: str, kind: str) -> str:
    name = text.lower().removesuffix(".")
    if len(name) > 253:
        raise InvalidValue(f"{kind} has at most 253 characters", "shorten it")
    if not (_ASCII_NAME.fullmatch(name) and "xn--" not in name):
        if found := unseen(text):  # which UTS #46 would pass over
            raise InvalidValue(f"the invisible character U+{ord(found):04X} is not allowed in {kind}", "delete it")
        _refuse_mixed_scripts(text)
        try:
            name = idna.encode(name, uts46=True, std3_rules=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError):
            raise InvalidValue(
                f'"{brief(text)}" is not {kind}', "letters, digits and hyphens, in labels joined by dots"
            ) from None
    if len(name) > 253 or not _ASCII_NAME.fullmatch(name):
        raise InvalidValue(f'"{brief(text)}" is not {kind}', "letters, digits and hyphens, in labels joined by dots")
    if name.rpartition(".")[2].isdigit():
        raise InvalidValue(
            f'"{brief(text)}" is not {kind}: its last label is a number', "write the name, not the IP address"
        )
    return name


def _refuse_mixed_scripts(text: str) -> None:
    """Raise Wrong where one label mixes letters that look alike (UTS #39 §5.1)."""
    for label in text.split("."):
        scripts = {unicodedata.name(char, "").partition(" ")[0] for char in label} & _SCRIPTS
        if len(scripts) > 1:
            kinds = " and ".join(sorted(script.capitalize() for script in scripts))
            raise InvalidValue(
                f'"{brief(text)}" mixes {kinds} letters', "if it is meant, write the name in its xn-- form"
            )


def mailbox(text: str) -> str:
    """The canonical address of a mailbox or alias here: lower case, A-labels.

    Raises Wrong. Dovecot's auth_username_chars and Postfix's recipient_delimiter `+` leave letters, digits and `. _ -`;
    the lengths are RFC 5321 §4.5.3.1.1 and, for the whole, RFC 5321 §4.5.3.1.3 less its brackets.
    """
    if _is_usual(text):
        return text
    local, name = _split(text)
    local = local.lower()
    if not (_LOCAL.fullmatch(local) and ".." not in local):
        raise InvalidValue(f'"{brief(text)}" is not allowed as an address here', _local_cure(local))
    return _joined(local, domain(name))


def _is_usual(text: str) -> bool:
    """Whether `text` is an address in a form that `mailbox` and `target` leave as it is. May raise Wrong."""
    found = USUAL.fullmatch(text)
    return found is not None and ".." not in text and domain(found[2]) == found[2]


def target(text: str, declared: Container[str]) -> str:
    """The canonical address that mail is forwarded to.

    In a `declared` domain it follows the rules of `mailbox`, and may carry a `+extension`; elsewhere the local part
    is kept as it is, since only its own server knows whether case matters (RFC 5321 §2.4). Raises Wrong.
    """
    if _is_usual(text):
        return text
    local, name = _split(text)
    name = domain(name)
    if name in declared:
        base, plus, extension = local.lower().partition("+")
        return _joined(mailbox(f"{base}@{name}").rpartition("@")[0] + plus + _extension(extension, text), name)
    if not (_TARGET_LOCAL.fullmatch(local) and ".." not in local):
        raise InvalidValue(
            f'"{brief(text)}" is not allowed as a target', "letters, digits and . _ - + = ~ may stand before the @"
        )
    return _joined(local, name)


def without_extension(address: str) -> str:
    """`address` without the `+extension` of its local part."""
    local, _, name = address.rpartition("@")
    return f"{local.partition('+')[0]}@{name}"


def _extension(extension: str, text: str) -> str:
    if extension and not _TARGET_LOCAL.fullmatch(extension):
        raise InvalidValue(f'"{brief(text)}" has an extension that is not allowed', "letters and digits behind the +")
    return extension


def _split(text: str) -> tuple[str, str]:
    local, at, name = text.rpartition("@")
    if not at or not local or not name or "@" in local:
        raise InvalidValue(f'"{brief(text)}" is not a mail address', "for example alice@example.com")
    if not local.isascii():  # before lower(), which would make K out of the Kelvin sign
        fix = "write the part before the @ in ASCII: letters, digits and . _ -"
        raise InvalidValue(f'"{brief(text)}" is not allowed as an address', fix)
    return local, name


def _joined(local: str, name: str) -> str:
    if len(local) > 64:
        raise InvalidValue("the part before the @ has more than 64 characters", "shorten it")
    address = f"{local}@{name}"
    if len(address) > 254:
        raise InvalidValue("this address has more than 254 characters", "shorten it")
    return address


def _local_cure(local: str) -> str:
    if "+" in local:
        return "leave out the `+`: mail for name+anything reaches name by itself"
    return "letters, digits and . _ - may stand before the @, with a letter, digit or _ at both ends and no `..`"


def network(text: str) -> Network:
    """The network that `text` (CIDR, or a lone IP address) names. Raises Wrong, and names the right network."""
    if "%" in text:
        raise InvalidValue(f'"{brief(text)}" has a zone, which means nothing to another machine', "leave out the %…")
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        right = ip_network(text, strict=False)
    except ValueError:
        raise InvalidValue(f'"{brief(text)}" is not a network', "for example 10.0.0.0/8 or 2001:db8::/32") from None
    raise InvalidValue(f"{text} is an address within a network, not a network", f"did you mean {right}?")


def merged(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The same addresses in the fewest networks, IPv4 first, in order: nftables refuses sets that overlap."""
    every = tuple(networks)
    old = collapse_addresses(net for net in every if isinstance(net, IPv4Network))
    new = collapse_addresses(net for net in every if isinstance(net, IPv6Network))
    return (*old, *new)


def covers(names: Sequence[str], hostname: str) -> bool:
    """Whether a certificate for `names` is good for `hostname`.

    RFC 6125 §6.4.3: a wildcard stands for the whole leftmost label, and for that one only. CN is ignored (§6.4.4).
    """
    parent = hostname.partition(".")[2]
    return hostname in names or (parent.count(".") > 0 and f"*.{parent}" in names)


def key(text: str, kind: str = "host") -> str:
    """The name of a host or of a group in this declaration, as it is. Raises Wrong."""
    if not HOST_NAME.fullmatch(text) or ".." in text:
        what = f'"{brief(text)}" is not allowed as a {kind}\'s name'
        raise InvalidValue(what, "for example mail1: letters, digits, . _ -")
    return text


_BROADCAST: Final = ip_address("255.255.255.255")


def endpoint(text: str) -> str:
    """What SSH can connect to: an IP address, a name, or a Host of ~/.ssh/config. Raises Wrong."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        found = ip_address(bare.partition("%")[0])
        zone = _zone(bare)
    except ValueError:
        pass
    else:
        if found.is_unspecified or found.is_multicast or found == _BROADCAST:
            raise InvalidValue(f"{found} is the address of no machine", "for example 192.0.2.10")
        return f"{found}{zone}"
    if _NUMBERS.fullmatch(text):  # a resolver may read one as another address
        raise InvalidValue(f'"{brief(text)}" is not an IP address', "four numbers from 0 to 255: 192.0.2.10")
    if text.lower() == "local" != text:
        raise InvalidValue(f'"{text}" is no host name', "did you mean `local`?")
    if _HOST_ALIAS.fullmatch(text) and ".." not in text:
        return text
    try:
        return _labels(text, "a host name")
    except InvalidValue:
        raise InvalidValue(
            f'"{brief(text)}" is neither a host name nor an IP address', "for example mail.example.com or 192.0.2.10"
        ) from None


def _zone(text: str) -> str:
    _, percent, zone = text.partition("%")
    if percent and not re.fullmatch(r"[A-Za-z0-9._-]{1,15}", zone):
        raise ValueError(text)
    return percent + zone


def login(text: str) -> str:
    """The name of an account to log in with by SSH. Raises Wrong."""
    if not _LOGIN.fullmatch(text):
        raise InvalidValue(f'"{brief(text)}" is not a user name', "for example root")
    return text


def local_user(text: str) -> str:
    """The name of a user of a host's own (useradd(8)). Raises Wrong."""
    if not _LOCAL_USER.fullmatch(text):
        raise InvalidValue(f'"{brief(text)}" is not the name of a local user', "for example www-data")
    return text


def jump(text: str) -> str:
    """A jump host as [user@]host[:port], IPv6 addresses in brackets. Raises Wrong."""
    user, at, rest = text.rpartition("@")
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", rest)
    if not found or (at and not user) or (found[2] and not 0 < int(found[2]) < 65536):
        raise InvalidValue(f'"{brief(text)}" is not a jump host', "for example admin@bastion.example.com:2222")
    host = endpoint(found[1])
    host = f"[{host}]" if ":" in host else host
    return (f"{login(user)}@" if at else "") + host + (f":{int(found[2])}" if found[2] else "")
