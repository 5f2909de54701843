"""The grammar of SPF records and of macros in them (RFC 7208 §4.6.1, §7.1, §12; pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from urllib.parse import quote

LONGEST: Final = 16_384
"""characters of a record that is read; the RFC hopes for some 450 (§3.4)"""
TERMS: Final = 500
"""terms of a record that is read"""

_MACRO: Final = r"%\{[slodiphvSLODIPHV](?:[1-9]\d{0,2})?[rR]?[.\-+,/_=]*\}"
_STRING: Final = rf"(?:[!-$&-~]|%[%_\-]|{_MACRO})*"
_TEXT: Final = re.compile(_STRING)
_EXPLAINED: Final = re.compile(r"(?:[!-$&-~]|%[%_\-]|%\{[slodiphvcrtSLODIPHVCRT](?:[1-9]\d{0,2})?[rR]?[.\-+,/_=]*\})*")
_ENDS_IN_MACRO: Final = re.compile(rf".*{_MACRO}")
_PIECE: Final = re.compile(r"%([%_\-])|%\{([a-zA-Z])(\d{0,3})([rR]?)([.\-+,/_=]*)\}")
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.\-]*)=(.*)")
_DIRECTIVE: Final = re.compile(r"([+\-~?]?)([A-Za-z0-9]+)([:/].*)?")
_CIDR: Final = re.compile(r"(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?")


class Syntax(ValueError):
    """What is wrong with a record, in words."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A term that may match. `spec` is a name with macros, "" for the domain itself; prefix lengths: None is all."""

    text: str
    qualifier: str
    name: str
    spec: str = ""
    network: IPv4Network | IPv6Network | None = None
    prefix4: int | None = None
    prefix6: int | None = None


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record that is valid; `redirect` is a name with macros."""

    directives: tuple[Directive, ...]
    redirect: str = ""


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record (RFC 7208 §4.5)."""
    return text[:6].lower() == "v=spf1" and text[6:7] in ("", " ")


def parsed(text: str) -> SpfRecord:
    """The terms of a record. Raises Syntax where any of it is invalid, reached or not (RFC 7208 §4.6)."""
    if len(text) > LONGEST:
        raise Syntax(f"it has more than {LONGEST:,} characters")
    if not text.isascii():
        raise Syntax("it has characters beyond ASCII")
    words = [word for word in text[6:].split(" ") if word]
    if len(words) > TERMS:
        raise Syntax(f"it has more than {TERMS} terms")
    directives: list[Directive] = []
    once: dict[str, str] = {}
    for word in words:
        if found := _MODIFIER.fullmatch(word):
            name, value = found[1].lower(), found[2]
            _require_modifier(word, name, value, once)
            once[name] = value
        else:
            directives.append(_directive(word))
    return SpfRecord(tuple(directives), once.get("redirect", ""))


def _require_modifier(word: str, name: str, value: str, before: dict[str, str]) -> None:
    if name in ("redirect", "exp"):
        if name in before:
            raise Syntax(f"`{name}=` stands in it twice")
        if not _is_spec(value):
            raise Syntax(f"`{_brief(word)}` leads to no name")
    elif not _EXPLAINED.fullmatch(value):
        raise Syntax(f"`{_brief(word)}` is no term")


def _directive(word: str) -> Directive:
    found = _DIRECTIVE.fullmatch(word)
    if found is None:
        raise Syntax(f"`{_brief(word)}` is no term")
    qualifier, name, rest = found[1] or "+", found[2].lower(), found[3] or ""
    if name == "all" and not rest:
        return Directive(word, qualifier, name)
    if name in ("ip4", "ip6") and rest.startswith(":"):
        return Directive(word, qualifier, name, network=_network(name, rest[1:], word))
    if name in ("include", "exists", "ptr") and (rest or name == "ptr"):
        if rest and not (rest.startswith(":") and _is_spec(rest[1:])):
            raise Syntax(f"`{_brief(word)}` has no name that can be asked for")
        return Directive(word, qualifier, name, rest[1:])
    if name in ("a", "mx"):
        return _host(word, qualifier, name, rest)
    raise Syntax(f"`{_brief(word)}` is no term")


def _host(word: str, qualifier: str, name: str, rest: str) -> Directive:
    """`a` or `mx`, each with a name and prefix lengths that may be left out."""
    slash = re.search(r"(?:/\d+)?(?://\d+)?$", rest)
    begin = slash.start() if slash else len(rest)
    spec, lengths = rest[:begin], _CIDR.fullmatch(rest[begin:])
    if spec and not (spec.startswith(":") and _is_spec(spec[1:])):
        raise Syntax(f"`{_brief(word)}` has no name that can be asked for")
    if lengths is None or int(lengths[1] or 0) > 32 or int(lengths[2] or 0) > 128:
        raise Syntax(f"`{_brief(word)}` has an invalid prefix length")
    four, six = (None if each is None else int(each) for each in lengths.groups())
    return Directive(word, qualifier, name, spec[1:], prefix4=four, prefix6=six)


def _network(name: str, text: str, word: str) -> IPv4Network | IPv6Network:
    address, slash, length = text.partition("/")
    try:
        if "%" in address or (slash and not re.fullmatch(r"0|[1-9]\d{0,2}", length, re.ASCII)):
            raise ValueError
        made = IPv4Network if name == "ip4" else IPv6Network
        return made(f"{address}/{length}" if slash else address, strict=False)
    except ValueError:
        raise Syntax(f"`{_brief(word)}` has no address") from None


def _is_spec(text: str) -> bool:
    """Whether it is a domain-spec: it ends in a macro, or in a label that can be a top-level domain."""
    if not text or not _TEXT.fullmatch(text):
        return False
    if _ENDS_IN_MACRO.fullmatch(text):
        return True
    _, dot, last = text.removesuffix(".").rpartition(".")
    return bool(dot) and _is_top(last)


def _is_top(label: str) -> bool:
    """`toplabel` of RFC 7208 §7.1."""
    letters = label.replace("-", "x")
    return letters.isalnum() and not label.isdigit() and "-" not in (label[0], label[-1])


def expanded(spec: str, value: Callable[[str], str]) -> str:
    """A domain-spec with its macros replaced (RFC 7208 §7.3); `value` says what a letter, in lower case, stands for."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return {"%": "%", "_": " ", "-": "%20"}[found[1]]
        parts = re.split(f"[{re.escape(found[5] or '.')}]", value(found[2].lower()))
        parts = parts[::-1] if found[4] else parts
        text = ".".join(parts[-int(found[3]) :] if found[3] else parts)
        return quote(text, safe="") if found[2].isupper() else text

    return _PIECE.sub(one, spec)


def _brief(word: str) -> str:
    return word if len(word) <= 60 else f"{word[:59]}…"
