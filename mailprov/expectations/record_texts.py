"""Names and values of DNS records, as a zone file has them (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Final

from mailprov.declaration import addresses
from mailprov.declaration.diagnostics import InvalidValue, brief


def record_name(text: str) -> str:
    """The canonical name of a record: a domain's, below it labels with an underscore (RFC 8552) and what is below these
    (mail._domainkey). Raises InvalidValue."""
    labels = text.lower().removesuffix(".").split(".")
    below = max((at + 1 for at, label in enumerate(labels) if label.startswith("_")), default=0)
    if not all(_LABEL.fullmatch(label) for label in labels[:below]):
        raise InvalidValue(f'"{brief(text)}" is not the name of a record', "for example _dmarc.example.com")
    return ".".join((*labels[:below], addresses.domain(".".join(labels[below:]))))


def value_fault(kind: str, text: str) -> InvalidValue | None:
    """What is wrong with `text` as a value of a record of this type; None where nothing is."""
    if _VALUES[kind](text):
        return None
    return InvalidValue(f"`{brief(text)}` is no value of {kind}", f"for example {_EXAMPLES[kind]}")


_LABEL: Final = re.compile("[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_HOST: Final = r"(?:[A-Za-z0-9_-]{1,63}\.)+|\."
_NUMBER: Final = "[0-9]{1,5}"


def _is_address(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False


_VALUES: Final[Mapping[str, Callable[[str], bool]]] = {
    "MX": lambda text: re.fullmatch(rf"{_NUMBER} (?:{_HOST})", text) is not None,
    "SRV": lambda text: re.fullmatch(rf"{_NUMBER} {_NUMBER} {_NUMBER} (?:{_HOST})", text) is not None,
    "CNAME": lambda text: re.fullmatch(_HOST, text) is not None,
    "TXT": lambda text: text.isprintable(),
    "A": lambda text: _is_address(text, 4),
    "AAAA": lambda text: _is_address(text, 6),
}
_EXAMPLES: Final = {
    "MX": "10 mail.example.com.",
    "SRV": "0 1 993 mail.example.com.",
    "CNAME": "www.example.com.",
    "TXT": "v=DMARC1; p=none",
    "A": "192.0.2.10",
    "AAAA": "2001:db8::10",
}
"""a value of each type, as a zone file has it: with whole names, which end with a dot"""
