"""Characters that nobody sees, and that make two texts look alike which are not."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800"
    r"\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""controls, formats (Cf), and whatever else is Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt)"""
_JOINING: Final = frozenset(
    {
        *("ARABIC", "SYRIAC", "MANDAIC", "NKO", "MONGOLIAN", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA"),
        *("TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "KHMER", "MYANMAR", "TIBETAN", "LAO", "THAI"),
    }
)
"""scripts in which U+200C and U+200D are part of how a word is written"""
_VIRAMA: Final = 9
"""the combining class of signs that take a vowel away; a joiner behind one is seen, also at a word's end"""
_JOINERS: Final = "\u200c\u200d"


def unseen(text: str) -> str:
    """The first character in `text` that nobody sees and that does nothing where it stands; "" where there is none.

    Joiners stay between letters of scripts that need them and in emoji, variation selectors behind what they vary.
    """
    if not _UNSEEN.search(text):
        return ""
    for found in _UNSEEN.finditer(text):
        if not _is_meant(text, found.start()):
            return found[0]
    return ""


def without_unseen(text: str) -> str:
    """`text` without any of them, tabs and line breaks as blanks."""
    return _UNSEEN.sub(lambda found: " " if found[0] in "\t\n\r" else "", text)


def _is_meant(text: str, at: int) -> bool:
    char, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if not before:
        return False
    if char in _JOINERS:
        if _is_joining(before) and (_is_joining(after) or unicodedata.combining(before) == _VIRAMA):
            return True
        return char == "\u200d" and _is_pictured(before) and _is_pictured(after)
    if "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        return unicodedata.name(before, "").startswith("CJK") or (_is_pictured(before) and char <= "\ufe0f")
    return "\u180b" <= char <= "\u180f" and unicodedata.name(before, "").startswith("MONGOLIAN")


def _is_joining(char: str) -> bool:
    return bool(char) and char.isprintable() and unicodedata.name(char, "").partition(" ")[0] in _JOINING


def _is_pictured(char: str) -> bool:
    return bool(char) and (char == "\ufe0f" or unicodedata.category(char) in ("So", "Sk", "Sm"))
