"""Small texts with a meaning of their own: sizes, people's names, paths on a host."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache
from typing import Final

from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.unseen import unseen

_UNITS: Final = {
    unit.lower(): base**power
    for base, mark in ((1024, "iB"), (1000, "B"))
    for power, unit in enumerate((f"K{mark}", f"M{mark}", f"G{mark}", f"T{mark}"), start=1)
}
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")
_SMALLEST: Final = 1024
_LARGEST: Final = 2**60
_DAYS: Final = re.compile(r"([0-9]{1,9}) ?d")
MOST_DAYS: Final = 36_500
_TIME: Final = re.compile("([0-9]{1,9}) ?(|d|days?|w|weeks?|m|months?|y|years?)")
_PERIODS: Final = {"": 1, "d": 1, "w": 7, "m": 30, "y": 365}
_NO_LIMIT: Final = frozenset({"0", "-1", "none", "no", "never", "infinite", "infinity", "inf", "unlimited", "off", "~"})
BYTES: Final = 2**20
"""a number alone is one of bytes from here on"""
_HOST_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+")


@lru_cache(maxsize=1024)
def quota(text: str) -> int | None:
    """Bytes; None is unlimited. Units are binary (KiB…TiB) and decimal (KB…TB), in any case. Raises Wrong."""
    if text.lower() == "unlimited":
        return None
    found = _SIZE.fullmatch(text)
    if not found:
        raise InvalidValue("this is not a size", quota_fix(text) or "for example 2GiB, 500MB or unlimited")
    number, unit = found[1], found[2]
    if unit.lower() not in _UNITS:
        raise InvalidValue(f'"{text}" has no unit that is known here', quota_fix(text) or "write 2GiB, or 500MB")
    size = Fraction(number) * _UNITS[unit.lower()]
    if not size:
        raise InvalidValue(f"{text} is out of range", quota_fix(text))
    if size.denominator != 1:
        raise InvalidValue(f"{text} is not a whole number of bytes", "choose a smaller unit")
    if not _SMALLEST <= size <= _LARGEST:
        raise InvalidValue(f"{text} is out of range", "choose from 1KiB to 1048576TiB")
    return int(size)


def quota_fix(text: str) -> str:
    """What somebody may have meant who wrote `text` as a quota, as a question; "" where nobody knows."""
    plain = re.sub(r"[\s_']", "", text.lower())
    plain = plain.replace(",", "" if plain.count(",") > 1 else ".")
    if plain in _NO_LIMIT:
        return "did you mean `unlimited`?"
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([a-z]*)", plain)
    if not found:
        return ""
    number, unit = Fraction(found[1]), found[2]
    if not number:
        return "did you mean `unlimited`?"
    if unit in _UNITS:
        size = number * _UNITS[unit]
    elif unit in ("b", "byte", "bytes") or (not unit and number >= BYTES):
        size = number
    else:
        # Whoever writes 2048 alone counts in MiB, whoever writes 2 in GiB.
        usual = "g" if number < 100 else "m"
        likely = f"{unit[0] if unit[:1] in tuple('kmgt') else usual}".upper() + "iB"
        size = number * _UNITS[likely.lower()]
        if number.denominator == 1 and size <= _LARGEST:
            return f"did you mean {number}{likely}?"
    return f"did you mean {_size(int(size))}?" if _SMALLEST <= size <= _LARGEST else ""


def _size(count: int) -> str:
    """So many bytes in the largest unit of which it is a whole number; of KiB, to the nearest one, where there is
    none."""
    for unit in ("TiB", "GiB", "TB", "GB", "MiB", "MB", "KiB", "KB"):
        if not count % _UNITS[unit.lower()]:
            return f"{count // _UNITS[unit.lower()]}{unit}"
    return f"{round(count / 1024)}KiB"


def days(text: str) -> int:
    """How many days `text` (90d) is. Raises Wrong."""
    found = _DAYS.fullmatch(text)
    if not found:
        raise InvalidValue("this is not a number of days", days_fix(text))
    if not 1 <= int(found[1]) <= MOST_DAYS:
        raise InvalidValue(
            f"{text} is out of range", f"choose from 1d to {MOST_DAYS}d; leave it out to keep mail for ever"
        )
    return int(found[1])


def days_fix(text: str) -> str:
    """What somebody may have meant who wrote `text` as a number of days."""
    found = _TIME.fullmatch(" ".join(text.lower().split()))
    if text.strip().lower() in _NO_LIMIT or (found and not int(found[1])):
        return "leave it out to keep mail for ever"
    count = int(found[1]) * _PERIODS[found[2][:1]] if found else 0
    return f"did you mean {count}d?" if 1 <= count <= MOST_DAYS else "for example 90d"


def display_name(text: str) -> str:
    """A person's name in NFC, without blanks at its ends. Raises Wrong for what cannot be seen or is too long."""
    name = unicodedata.normalize("NFC", text).strip()
    if not (name.isascii() and name.isprintable()) and (found := unseen(name)):
        raise InvalidValue(f"the invisible character U+{ord(found):04X} is not allowed in a name", "delete it")
    if len(name) > 200:
        raise InvalidValue("this name has more than 200 characters", "shorten it")
    return name


def host_path(text: str) -> str:
    """An absolute path on a mail host, as it is, safe in every configuration file. Raises Wrong."""
    if not text.startswith("/"):
        raise InvalidValue("this path must be absolute", "begin it with /: it is a path on the mail host")
    if ".." in text.split("/") or not _HOST_PATH.fullmatch(text) or len(text) > 500:
        raise InvalidValue("this path is not allowed", "letters, digits and . _ @ + - between slashes, without ..")
    return text
