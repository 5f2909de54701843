"""One encoder per destination: text from a declaration becomes safe there, or is refused.

The declaration is validated before it comes here; an encoder trusts none of that. Each raises EncodeError, and each is
fuzzed against a reader of its destination's syntax.

The plural ones do a whole table in one pass, and take and refuse exactly what the singular ones do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from mailprov.errors import Exit, MailprovError, brief, visible


class EncodeError(MailprovError):
    """A text that its destination has no way to hold."""

    exit = Exit.INVALID


class Encoded(str):
    """A text that an encoder here has made safe for one destination; templates take nothing else."""

    __slots__ = ()


_WORD = re.compile(r"[A-Za-z0-9_./:@+-]+")
_ADDRESS = re.compile(r"[a-z0-9_.+-]*@[a-z0-9.-]+")
_TARGET = re.compile(r"[A-Za-z0-9_.+=~-]*@[a-z0-9.-]+")
_NAME = re.compile(r"[A-Za-z0-9_]+(?:/[A-Za-z0-9_]+)*")
_SECRET = re.compile(r"\{[A-Z0-9.-]+\}[A-Za-z0-9./$,=+-]+")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANKS = {ord(blank): f"&#{ord(blank)};" for blank in "\t\n\r"}
_EXTRA = re.compile(r"[A-Za-z0-9_.,:/*=-]+")


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


def xml(text: str) -> Encoded:
    """Text between tags, or in a quoted attribute, of XML and of HTML.

    Refused is what XML 1.0 §2.2 has no way to write; blanks that a reader would normalize (§2.11, §3.3.3) are written
    as references.
    """
    if found := _NOT_XML.search(text):
        raise EncodeError(f"XML cannot hold U+{ord(found[0]):04X}", where=ascii(text[:80]))
    return Encoded(escape(text).translate(_BLANKS))


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses that `address` takes, looked at all at once, for as many tables as they come in.

    Raises EncodeError for the first one that it does not take.
    """

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        _all(self.texts, _ADDRESS, address)


def _all(texts: Sequence[str], pattern: re.Pattern[str], one: Callable[[str], Encoded], begin: str = "") -> None:
    """Raise what `one` raises for the first of `texts` that it refuses; none may begin with `begin`."""
    # What fits either pattern has no line end, so that two texts cannot make up what is looked for here.
    joined = "\n".join(("", *texts, ""))
    if all(map(pattern.fullmatch, texts)) and not (
        ".." in joined or ".\n" in joined or (begin and f"\n{begin}" in joined)
    ):
        return
    for text in texts:
        one(text)


def map_row(key: str, values: tuple[str, ...]) -> Encoded:
    """One line of a Postfix lookup table, `key value, value` (postmap(1)), without its newline."""
    if not values:
        raise EncodeError("a map entry needs a value", where=ascii(key[:80]))
    return Encoded(f"{address(key)} {', '.join(value if value == 'OK' else target(value) for value in values)}")


def map_rows(table: Mapping[str, tuple[str, ...]]) -> list[str]:
    """`map_row` of each key and its values."""
    Addresses(tuple(table))
    if not all(table.values()):
        return [map_row(key, values) for key, values in table.items()]
    _all([value for values in table.values() for value in values if value != "OK"], _TARGET, target, "-")
    return [f"{key} {', '.join(values)}" for key, values in table.items()]


def present_rows(keys: Addresses) -> list[str]:
    """`map_row(key, ("OK",))` of each key."""
    return [f"{key} OK" for key in keys.texts]


def own_rows(keys: Addresses) -> list[str]:
    """`map_row(key, (key,))` of each key."""
    # What `address` takes, `target` takes, too, but for a hyphen in front.
    for text in keys.texts:
        if text[0] == "-":
            target(text)
    return [f"{key} {key}" for key in keys.texts]


def login_row(key: str, user: str, password: str) -> Encoded:
    """One line of a Postfix table of logins, `key user:password`, without its newline (SASL_README of Postfix).

    The table is read as text: blanks around a value are lost, and the user ends at the first colon.
    """
    value = f"{user}:{password}"
    if not user or not password or ":" in user or value != value.strip() or not value.isprintable():
        raise EncodeError("this login cannot stand in a table of Postfix", where=ascii(user[:80]))
    return Encoded(f"{key} {value}")


class PasswdTail(Encoded):
    """What follows the password in a row of a passwd-file; many rows have the same."""

    __slots__ = ()


def passwd_tail(owner: str, extra: Iterable[tuple[str, str]] = ()) -> PasswdTail:
    """The fields `uid:gid:gecos:home:shell:extra` of passwd_row, with the colon before them."""
    fields = " ".join(f"{_name(key)}={_extra(value)}" for key, value in extra)
    return PasswdTail(f":::{_name(owner)}:::{fields}")


def passwd_row(name: str, password: str, owner: str, extra: tuple[tuple[str, str], ...] = ()) -> Encoded:
    """One line of a Dovecot passwd-file, without its newline.

    `user:password:uid:gid:gecos:home:shell:extra` (Dovecot manual, "Passwd-file"). `password` is empty, or a hash
    with its scheme. Dovecot ignores the gecos field; `owner` is kept there.
    """
    if password and not _SECRET.fullmatch(password):
        raise EncodeError("this password hash cannot stand in a passwd-file", where=ascii(name[:80]))
    return Encoded(f"{address(name)}:{password}{passwd_tail(owner, extra)}")


def passwd_rows(names: Addresses, passwords: Sequence[str], tails: Sequence[PasswdTail]) -> list[str]:
    """`passwd_row` of each name, its password and its tail."""
    if not all(map(_SECRET.fullmatch, filter(None, passwords))):
        wrong = next(n for n, text in enumerate(passwords) if text and not _SECRET.fullmatch(text))
        raise EncodeError("this password hash cannot stand in a passwd-file", where=ascii(names.texts[wrong][:80]))
    return [f"{name}:{password}{tail}" for name, password, tail in zip(names.texts, passwords, tails, strict=True)]


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise EncodeError("this name cannot stand in a passwd-file", where=ascii(text[:80]))
    return text


def _extra(value: str) -> str:
    if not _EXTRA.fullmatch(value):
        raise EncodeError("this value cannot stand in a passwd-file", where=ascii(value[:80]))
    return value


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")


def csv_cell(text: str) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula (CWE-1236); its writer still has to quote it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_text(cell: str) -> str:
    """The text that `csv_cell` made this cell of."""
    return cell[1:] if cell.startswith("'") else cell


# --- Markdown, as forges show it in a comment (CommonMark, with tables)
#
# A forge looks for names of people, references and links after it has taken the escapes away: only a character between
# keeps it from finding them. Nothing here is refused: what cannot be shown is written as its number.

_UNSEEN = "&#8203;"
"""a space without width: `@`, and then this, mentions nobody"""
_MARKUP = re.compile(
    r"(?P<mention>(?<![A-Za-z0-9])@)|(?P<reference>[#!~$%^&](?=[\w\"]))|(?P<link>(?i:www(?=\.))|:(?=//))"
    r"|(?P<mark>[][`*_{}~!#$^&|\\<>])"
)
_NUMBERED = frozenset("|\\<>&")
"""what a table, or HTML, would take for its own although a backslash stands before it"""
_LONGEST = 300
"""characters of a text that stands in a line"""


def markdown(text: str) -> Encoded:
    """Text within a line of Markdown, or in a cell of a table; what is too long for a line is cut, with an ellipsis."""
    return Encoded(_MARKUP.sub(_plain, brief(visible(text), _LONGEST)))


def _plain(found: re.Match[str]) -> str:
    text = found[0]
    if found["link"]:
        return text + _UNSEEN
    mark = "@" if text == "@" else f"&#{ord(text)};" if text in _NUMBERED else f"\\{text}"
    return mark if found["mark"] else mark + _UNSEEN


def markdown_code(text: str) -> Encoded:
    """A name as code, so that it can be copied as it is; as text where its characters could end the code or a cell."""
    shown = brief(visible(text), _LONGEST)
    if not shown.strip() or {*shown} & {*"`|\\"}:
        return markdown(text)
    return Encoded(f"` {shown} `" if shown[0] == shown[-1] == " " else f"`{shown}`")


def markdown_summary(text: str) -> Encoded:
    """A name within a line of HTML, as code: no forge looks for people there."""
    return Encoded(f"<code>{escape(brief(visible(text), _LONGEST))}</code>")


def markdown_diff(rows: Sequence[str]) -> Encoded:
    """Rows of a diff as a block of code, which none of them can end.

    None begins with anything but a mark of a diff or a space: a forge that reads commands from the beginnings of lines
    finds none.
    """
    shown = ["\t".join(map(visible, row.split("\t"))) for row in rows]
    lines = [row if row.startswith(("+", "-", "~", "@", " ")) else f" {row}" for row in shown]
    longest = max((len(run) for row in shown for run in re.findall("`+", row)), default=0)
    fence = "`" * max(3, longest + 1)
    return Encoded("\n".join([f"{fence}diff", *lines, fence]))
