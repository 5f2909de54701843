"""The cells of a staff list: text → what it means, or Wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Final, TypeVar

from mailprov.declaration import addresses, hashes, values
from mailprov.declaration.diagnostics import InvalidValue, brief
from mailprov.declaration.unseen import unseen
from mailprov.model import LANGUAGES, PROTOCOLS, Password, Protocol_, Secret

K = TypeVar("K")
T = TypeVar("T")

MAX_PASSWORD: Final = 512
_KEPT: Final = 10_000
_SUSPECT: Final = frozenset("=+-@#")
_PLAIN: Final = re.compile(r"[A-Za-z\u4e00-\u9fff](?:[A-Za-z .'\u4e00-\u9fff-]{0,98}[A-Za-z\u4e00-\u9fff])?")
"""what most names look like, in NFC already"""
_ROUNDED: Final = re.compile(r"[0-9](?:\.[0-9]+)?[Ee]\+?[0-9]{1,2}")
_ERROR: Final = re.compile(r"#(?:N/A|REF!|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|#+)")
_DAYS: Final = re.compile(r"([0-9]{1,9})(?:\.0)? ?(?:d|days?|天|日)?")
_MOBILE: Final = re.compile(r"\+?[0-9][0-9 ()./-]{3,30}")
_APART: Final = re.compile(r"[\s,;|/、，；]+")
_IDEOGRAPH: Final = re.compile(r"[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]")
_QUOTED: Final = re.compile("""[`"]([^`"]{3,})[`"]""")
_UNLIMITED: Final = frozenset({"不限", "无限", "不限制", "无限制", "无限容量"})
_NEVER: Final = frozenset({"never", "no", "永不", "不删除", "永久", "永久保留", "否"})
_LANGUAGES: Final = {
    **dict.fromkeys(("en", "english", "英文", "英语"), "en"),
    **dict.fromkeys(("zh", "cn", "chinese", "simplified chinese", "中文", "简体中文", "汉语"), "zh"),
}
_MEANT: Final[dict[str, str]] = {"pop": "pop3", "imap4": "imap", "smtp": "submission"}
NOBODY: Final[frozenset[Protocol_]] = frozenset()


class Known(dict[K, T]):
    """What texts mean that come again and again: each is read once, so that equal cells share one value."""

    def __init__(self, read: Callable[[K], T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: K) -> T:
        if len(self) >= _KEPT:
            self.clear()  # these do not come again
        value = self[text] = self._read(text)
        return value


def words(text: str) -> str:
    """A name, a department or a title. Raises Wrong where a spreadsheet would see a formula, or shows an error."""
    if _PLAIN.fullmatch(text):
        return text
    found = values.display_name(text)
    if found[:1] in _SUSPECT:
        if found[0] != "#":
            raise InvalidValue(f"this begins with `{found[0]}`, as a spreadsheet's formula does", "delete the sign")
        if _ERROR.fullmatch(found):
            raise InvalidValue(f"{brief(found)} is an error of a spreadsheet", "write the text itself")
    return found


def full_name(first: str, last: str) -> str:
    """One name from two: without a blank and the family name first, where they are written in ideographs."""
    first, last = words(first), words(last)
    if _IDEOGRAPH.search(first + last):
        return last + first
    return f"{first} {last}".strip()


def quota(text: str) -> int | None:
    """Bytes, None is unlimited. Raises Wrong, also where the unit is missing."""
    plain = unicodedata.normalize("NFKC", text).strip()
    return None if plain in _UNLIMITED else values.quota(plain)


def expire(text: str) -> int | None:
    """Days, None is never: 90d, 90 days, 90天, or the number alone. Raises Wrong."""
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    if plain in _NEVER:
        return None
    found = _DAYS.fullmatch(plain)
    return values.days(f"{found[1]}d" if found else plain)


def protocols(text: str) -> frozenset[Protocol_]:
    """The protocols that `text` lists. Raises Wrong."""
    found: set[Protocol_] = set()
    for word in parts(unicodedata.normalize("NFKC", text).casefold()):
        known = next((name for name in PROTOCOLS if name == word), None)
        if known is None:
            close = [_MEANT[word]] if word in _MEANT else get_close_matches(word[:100], PROTOCOLS, 1, 0.6)
            fix = f"did you mean `{close[0]}`?" if close else f"choose from {', '.join(PROTOCOLS)}"
            raise InvalidValue(f"`{brief(word)}` is not one of {', '.join(PROTOCOLS)}", fix)
        found.add(known)
    return frozenset(found)


def parts(text: str) -> Iterator[str]:
    """The words of a cell with several, set apart by blanks, commas, semicolons, bars or slashes."""
    return (source_file for source_file in _APART.split(text) if source_file)


def language(text: str) -> str:
    """The tag of a language that there are guides in: en, zh-CN, English, 中文; nothing stays. Raises Wrong."""
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    found = _LANGUAGES.get(plain) or _LANGUAGES.get(re.split("[-_]", plain)[0])
    if plain and found is None:
        raise InvalidValue(f"there is no guide in `{brief(plain, 20)}`", f"choose from {', '.join(LANGUAGES)}")
    return found or ""


def mobile(text: str) -> str:
    """A phone number, as it is written. Raises Wrong, also where a spreadsheet has rounded it."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if not plain:
        return ""
    _refuse_rounded(plain)
    if not _MOBILE.fullmatch(plain):
        raise InvalidValue(
            f"`{brief(plain, 40)}` is not a phone number", "digits, and a + in front where it is international"
        )
    return plain


def employee_id(text: str) -> str:
    """An employee's number or code. Raises Wrong, also where a spreadsheet has rounded it."""
    plain = words(text)
    _refuse_rounded(plain)
    return plain


def _refuse_rounded(text: str) -> None:
    if _ROUNDED.fullmatch(text):
        fix = "format the column as text in the spreadsheet, and enter the number again: its last digits are lost"
        raise InvalidValue(f"{text} is a number that a spreadsheet has rounded", fix)
    if _ERROR.fullmatch(text):
        raise InvalidValue(f"{text} is an error of a spreadsheet", "write the number itself")


def contact(text: str) -> str:
    """An address elsewhere. Raises Wrong."""
    plain = text.strip()
    return addresses.target(plain, ()) if plain else ""


def unquoted(wrong: InvalidValue, cell: str) -> InvalidValue:
    """The same fault, told without the text of its cell."""
    plain = unicodedata.normalize("NFKC", cell).casefold()
    told = _QUOTED.sub(lambda found: "this" if found[1].casefold().rstrip("…") in plain else found[0], wrong.what)
    shown = len(plain.strip()) > 5 and plain.strip() in wrong.fix.casefold()
    return InvalidValue(told, "" if shown else wrong.fix)


def managed(text: str, source: str) -> Password:
    """The password whose hash is always this one. Raises Wrong, whose words hold none of it."""
    return Password("managed", source, Secret(hashes.checked(text.strip())))


def initial(text: str, source: str) -> Password | None:
    """The password that is set once: this one, or that of this hash; None for asterisks, which mean an unknown one.

    Raises Wrong, whose words hold none of it.
    """
    if not text.strip("*"):
        return None
    if hashes.is_hash(text):
        return Password("initial", source, Secret(hashes.checked(text)))
    hashes.refuse_bare(text)
    found = plaintext(text)
    if hashes.is_digest(text):
        fix = "if it is one, its password must be set anew; if it is a password, choose one of another form"
        raise InvalidValue("this looks like a hash in hexadecimal, not like a password", fix)
    if text != text.strip():
        raise InvalidValue("this password begins or ends with a blank", "delete the blank")
    if _ROUNDED.fullmatch(text):
        raise InvalidValue(
            "this password is a number that a spreadsheet has rounded", "enter it again in a column of text"
        )
    return Password("initial", source, plaintext=found)


def plaintext(text: str) -> Secret:
    """The password itself. Raises Wrong, whose words hold none of it, where it is too long or cannot be typed."""
    if len(text) > MAX_PASSWORD:
        raise InvalidValue(f"this password has more than {MAX_PASSWORD} characters", "choose a shorter one")
    if found := unseen(text):
        if unicodedata.category(found) == "Cc":
            raise InvalidValue("this password holds control characters", "delete them")
        raise InvalidValue(f"this password holds the invisible character U+{ord(found):04X}", "delete it")
    return Secret(text)


def scheme(text: str, fields_password: str) -> None:
    """Raise Wrong where a cell says that the password beside it is a hash, and it is none that says so itself."""
    named = unicodedata.normalize("NFKC", text).strip().casefold()
    clear = named in ("", "none", "plain", "plaintext", "clear", "cleartext", "clear text", "-")
    if not clear and fields_password.strip("*") and not hashes.is_hash(fields_password):
        what = "this line says that its password is a hash"
        raise InvalidValue(what, "write it as {SCHEME}HASH, or empty both cells: a password is generated then")
