"""Small texts with a meaning of their own: sizes, people's names, paths on a host."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache
from typing import Final

from mailprov.spec.desk import Wrong

_UNITS: Final = {
    unit.lower(): base**power
    for base, mark in ((1024, "iB"), (1000, "B"))
    for power, unit in enumerate((f"K{mark}", f"M{mark}", f"G{mark}", f"T{mark}"), start=1)
}
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")
_SMALLEST: Final = 1024
_LARGEST: Final = 2**60
_DAYS: Final = re.compile(r"([0-9]{1,9}) ?d")
_MOST_DAYS: Final = 36_500
_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_HOST_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+")


@lru_cache(maxsize=1024)
def quota(text: str) -> int | None:
    """Bytes; None is unlimited. Units are binary (KiB…TiB) and decimal (KB…TB), in any case. Raises Wrong."""
    if text.lower() == "unlimited":
        return None
    found = _SIZE.fullmatch(text)
    if not found:
        raise Wrong("this is not a size", "for example 2GiB, 500MB or unlimited")
    number, unit = found[1], found[2]
    if unit.lower() not in _UNITS:
        # Whoever writes 2048 alone counts in MiB, whoever writes 2 in GiB.
        usual = "G" if Fraction(number) < 100 else "M"
        likely = unit[:1].upper() if unit[:1].upper() in set("KMGT") and len(unit) == 1 else usual
        raise Wrong(f'"{text}" has no unit that is known here', f"did you mean {number}{likely}iB?")
    size = Fraction(number) * _UNITS[unit.lower()]
    if size.denominator != 1:
        raise Wrong(f"{text} is not a whole number of bytes", "choose a smaller unit")
    if not _SMALLEST <= size <= _LARGEST:
        raise Wrong(f"{text} is out of range", "choose from 1KiB to 1048576TiB")
    return int(size)


def days(text: str) -> int:
    """How many days `text` (90d) is. Raises Wrong."""
    found = _DAYS.fullmatch(text)
    if not found:
        raise Wrong("this is not a number of days", "for example 90d")
    if not 1 <= int(found[1]) <= _MOST_DAYS:
        raise Wrong(f"{text} is out of range", f"choose from 1d to {_MOST_DAYS}d; leave it out to keep mail for ever")
    return int(found[1])


def display_name(text: str) -> str:
    """A person's name in NFC, without blanks at its ends. Raises Wrong for what cannot be seen or is too long."""
    name = unicodedata.normalize("NFC", text).strip()
    if found := _UNSEEN.search(name):
        raise Wrong(f"the invisible character U+{ord(found[0]):04X} is not allowed in a name", "delete it")
    if len(name) > 200:
        raise Wrong("this name has more than 200 characters", "shorten it")
    return name


def host_path(text: str) -> str:
    """An absolute path on a mail host, as it is, safe in every configuration file. Raises Wrong."""
    if not text.startswith("/"):
        raise Wrong("this path must be absolute", "begin it with /: it is a path on the mail host")
    if ".." in text.split("/") or not _HOST_PATH.fullmatch(text) or len(text) > 500:
        raise Wrong("this path is not allowed", "letters, digits and . _ @ + - between slashes, without ..")
    return text
