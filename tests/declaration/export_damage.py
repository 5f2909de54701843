"""What befalls exports on their way: each damage makes another export of one, with chance to choose where."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from exports import Export, Row

Damage = Callable[[Export, Random], Export]
SEP: Final = ("sep=", "")
"""a line by which Excel says what sets fields apart"""
_IDEOGRAPH: Final = "[\u4e00-\u9fff]"


def _headings(change: Callable[[str], str]) -> Damage:
    """A damage to every heading."""
    return lambda export, _: replace(export, header=tuple(map(change, export.header)))


def _one(change: Callable[[str, Random], str]) -> Damage:
    """A damage to one heading."""

    def damage(export: Export, chance: Random) -> Export:
        return _with(export, at := chance.randrange(len(export.header)), change(export.header[at], chance))

    return damage


def _telling(change: Callable[[str, Random], str]) -> Damage:
    """A damage to the headings that tell who has left."""

    def damage(export: Export, chance: Random) -> Export:
        for at in export.states:
            export = _with(export, at, change(export.header[at], chance))
        return export

    return damage


def _with(export: Export, at: int, heading: str) -> Export:
    return replace(export, header=(*export.header[:at], heading, *export.header[at + 1 :]))


def _inserted(text: str) -> Callable[[str, Random], str]:
    def change(heading: str, chance: Random) -> str:
        at = chance.randrange(len(heading) + 1)
        return heading[:at] + text + heading[at:]

    return change


def _lost(heading: str, chance: Random) -> str:
    at = chance.randrange(len(heading))
    return heading[:at] + heading[at + 1 :]


def _swapped(heading: str, chance: Random) -> str:
    at = chance.randrange(max(1, len(heading) - 1))
    return heading[:at] + heading[at : at + 2][::-1] + heading[at + 2 :]


def _shuffled(export: Export, chance: Random) -> Export:
    order = list(range(len(export.header)))
    chance.shuffle(order)

    def ordered(row: Row) -> Row:
        return tuple(row[at] for at in order)

    return replace(export, header=ordered(export.header), rows=tuple(map(ordered, export.rows)))


def _wider(export: Export, heading: str, cell: str) -> Export:
    return replace(export, header=(*export.header, heading), rows=tuple((*row, cell) for row in export.rows))


def _gap(export: Export, chance: Random) -> Export:
    at = chance.randrange(1, len(export.header))

    def apart(row: Row) -> Row:
        return (*row[:at], "", *row[at:])

    return replace(export, header=apart(export.header), rows=tuple(map(apart, export.rows)))


def _twice(export: Export, chance: Random) -> Export:
    at = chance.randrange(len(export.header))
    return _with(export, at, export.header[at - 1])


def _doubled(export: Export, chance: Random) -> Export:
    """A column comes again at the right, empty."""
    return _wider(export, chance.choice(export.header), "")


def _without_heading(export: Export, chance: Random) -> Export:
    """A heading is gone, and all behind it stand too far to the left; a number at the end of rows tells."""
    export, at = _wider(export, "ID", "7"), chance.randrange(len(export.header))
    return replace(export, header=(*export.header[:at], *export.header[at + 1 :]))


def _and_a_blank_row(export: Export, _: Random) -> Export:
    blank = tuple("" for _ in export.header)
    return replace(_wider(_wider(export, "", ""), " ", ""), rows=(*(_wider(export, "", "").rows), blank, blank))


HARMLESS: Final[dict[str, Damage]] = {
    "capitals": _headings(str.upper),
    "small letters": _headings(str.lower),
    "blanks around": _headings(lambda heading: f"  {heading} "),
    "wide blanks around": _headings(lambda heading: f"\u3000{heading}\u00a0"),
    "blanks between ideographs": _headings(lambda heading: re.sub(f"(?<={_IDEOGRAPH})(?={_IDEOGRAPH})", " ", heading)),
    "wide letters": _headings(
        lambda heading: "".join(chr(ord(char) + 0xFEE0) if "a" <= char.lower() <= "z" else char for char in heading)
    ),
    "asterisks": _headings(lambda heading: f"*{heading}"),
    "asterisks behind": _headings(lambda heading: f"{heading} *"),
    "required": _headings(lambda heading: f"{heading} [Required]"),
    "required, in brackets": _headings(lambda heading: f"{heading} (required)"),
    "必填": _headings(lambda heading: f"{heading}(必填)"),
    "选填": _headings(lambda heading: f"{heading}（选填）"),
    "colons": _headings(lambda heading: f"{heading}："),
    "byte order mark twice": _headings(lambda heading: f"\ufeff{heading}"),
    "unseen": _headings(lambda heading: f"{heading[:1]}\u200b{heading[1:]}\u2060"),
    "all in quotation marks": lambda export, _: replace(export, quoting=csv.QUOTE_ALL),
    "semicolons": lambda export, _: replace(export, separator=";"),
    "tabs": lambda export, _: replace(export, separator="\t"),
    "old Mac": lambda export, _: replace(export, line_end="\r"),
    "Unix": lambda export, _: replace(export, line_end="\n"),
    "sep=": lambda export, _: replace(export, above=(SEP,), separator=";"),
    "blank lines above": lambda export, _: replace(export, above=(("", ""), ("", ""))),
    "shuffled": _shuffled,
    "empty columns and rows": _and_a_blank_row,
    "a gap": _gap,
}
"""after these an export says what it said before"""

HARMFUL: Final[dict[str, Damage]] = {
    "none": lambda export, _: export,
    "a title above": lambda export, _: replace(export, above=(("员工通讯录", ""),)),
    "a date above": lambda export, _: replace(export, above=(("Exported:", "2024-03-31"), ("", ""))),
    "a merged title": lambda export, _: replace(export, above=(("Status", *("" for _ in export.header[1:])),)),
    "a letter lost": _one(_lost),
    "a letter more": _one(_inserted("x")),
    "a letter of a state lost": _telling(_lost),
    "a letter of a state more": _telling(_inserted("x")),
    "letters of a state swapped": _telling(_swapped),
    "a line feed": _one(_inserted("\n")),
    "a NUL": _one(_inserted("\0")),
    "a quotation mark": _one(_inserted('"')),
    "an empty heading": _one(lambda *_: ""),
    "an empty state": _telling(lambda *_: ""),
    "an unknown heading": _one(lambda *_: "Zodiac"),
    "unknown states": _telling(lambda heading, chance: f"Zodiac {chance.randrange(10**6)}"),
    "unknown states, Chinese": _telling(lambda heading, chance: f"星座{chance.randrange(10**6)}"),
    "states with a format": _telling(lambda heading, _: f"{heading} (e.g. 2024-12-31; 员工离开公司的日期)"),
    "states with a number": _telling(lambda heading, _: f"3. {heading}_1"),
    "states with a unit": _telling(lambda heading, _: f"HR/{heading}"),
    "states with words": _telling(lambda heading, _: f"{heading}（按人事系统） / as HR has it"),
    "headings twice": lambda export, _: replace(export, above=(export.header,)),
    "one twice": _twice,
    "one again": _doubled,
    "one lost": _without_heading,
    "wide commas": lambda export, _: replace(export, header=("，".join(export.header),)),
    "no header": lambda export, _: replace(export, header=()),
    "header last": lambda export, _: replace(export, header=export.rows[0], rows=(*export.rows, export.header)),
}
