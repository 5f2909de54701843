"""A company's logo: is it a picture that guides can carry, and nothing more than a picture?"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, ParseError, fromstring

from mailprov.declaration.diagnostics import InvalidValue, brief
from mailprov.model import Logo

LARGEST: Final = 256 * 1024
"""bytes: it is in every guide of everybody"""
MOST_PIXELS: Final = 4_000_000
DEEPEST: Final = 100
"""elements in one another"""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG colour type → samples of a pixel (PNG, third edition, §11.2.1)"""
_SVG: Final = "{http://www.w3.org/2000/svg}"
_PROLOGUE: Final = re.compile(r"^\s*<\?xml\b[^>]*\?>\s*")
_DRAWN: Final = ("/svg", "/xlink", "/namespace")
"""ends of the namespaces whose attributes have an effect: SVG's, XLink's and XML's own"""
_MORE: Final = frozenset({"script", "foreignobject", "iframe", "handler", "animate", "set", "animatetransform"})
_INSIDE: Final = re.compile(r"#|data:image/(?:png|jpeg|gif);base64,")
_URL: Final = re.compile(r"(?i)url\(\s*[\"']?(?!\s*[\"']?#)|@import|image-set\(|\bsrc\(|\\")
_ATTRIBUTE: Final = re.compile(r"(?i)on[a-z]+")


def checked(data: bytes) -> Logo:
    """The logo that this file's content is. Raises InvalidValue for anything but a sound PNG or SVG picture."""
    if data.startswith(_PNG):
        _check_png(data)
        return Logo(data, "png")
    if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return Logo(_check_svg(data), "svg")
    raise InvalidValue("this is neither a PNG nor an SVG picture", "save the logo as PNG")


# --- PNG


def _check_png(data: bytes) -> None:
    """Each chunk whole, and all the lines there: a program that draws it must not stumble."""
    broken = InvalidValue("this PNG picture is damaged", "save it anew")
    try:
        chunks = list(_chunks(data))
    except (struct.error, ValueError):
        raise broken from None
    kinds = [kind for kind, _ in chunks]
    if not kinds or kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or b"IDAT" not in kinds or len(chunks[0][1]) != 13:
        raise broken
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if b"acTL" in kinds:
        raise InvalidValue("this PNG picture moves", "save one picture of it")
    if not 0 < width * height <= MOST_PIXELS:
        raise InvalidValue(f"this picture has {width} × {height} pixels", f"make it smaller: {MOST_PIXELS:,} at most")
    if colour not in _SAMPLES or depth not in (1, 2, 4, 8, 16) or (colour == 3 and b"PLTE" not in kinds):
        raise broken
    wanted = height * ((width * depth * _SAMPLES[colour] + 7) // 8 + 1)
    unpacked = zlib.decompressobj()
    try:
        lines = len(unpacked.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"), 2 * wanted))
    except zlib.error:
        raise broken from None
    if not unpacked.eof or (not interlaced and lines != wanted):
        raise broken


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Raises struct.error or ValueError where one is cut off or not as it was written."""
    at = len(_PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(kind + content) != check:
            raise ValueError
        yield kind, content
        at += 12 + length


# --- SVG


def _check_svg(data: bytes) -> bytes:
    """The same picture as UTF-8. Raises InvalidValue where it runs or loads anything."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidValue("this SVG picture is not UTF-8", "save it anew, or as PNG") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text or "<?xml-stylesheet" in text:
        raise InvalidValue("this SVG picture has a document type or a style sheet of its own", "save it as plain SVG")
    text = _PROLOGUE.sub("", text, count=1)  # it may name an encoding that this text no longer has
    try:
        root = fromstring(text)  # noqa: S314 - without a document type there are no entities
    except (ParseError, ValueError):
        raise InvalidValue("this SVG picture is damaged", "save it anew, or as PNG") from None
    if root.tag != f"{_SVG}svg":
        raise InvalidValue("this is no SVG picture", "save the logo as SVG or PNG")
    if not root.get("viewBox") and not (root.get("width") and root.get("height")):
        raise InvalidValue("this SVG picture says nothing of its size", "give it a viewBox, or save it as PNG")
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InvalidValue("this SVG picture is nested too deeply", "save it as PNG")
        for element in level:
            _check_element(element)
        level = [below for element in level for below in element]
    return text.encode()


def _check_element(element: Element) -> None:
    space, _, name = element.tag.rpartition("}")
    if name.lower() in _MORE or "xhtml" in space:
        raise InvalidValue(f"this SVG picture holds `{brief(name)}`, which is more than a picture", "save it as PNG")
    for key, value in element.attrib.items():
        space, _, plain = key.lower().rpartition("}")
        if space and not space.endswith(_DRAWN):
            continue  # a drawing program's own notes
        if _ATTRIBUTE.fullmatch(plain):
            raise InvalidValue(f"this SVG picture runs a script (`{brief(plain)}`)", "save it as PNG")
        if (plain in ("href", "src", "base") and not _INSIDE.match(value.strip())) or _URL.search(value):
            raise _leads_outside(value)
    if name.lower() == "style" and _URL.search("".join(element.itertext())):
        raise _leads_outside("".join(element.itertext()))


def _leads_outside(text: str) -> InvalidValue:
    return InvalidValue(
        f"this SVG picture refers to something outside itself: {brief(text.strip(), 60)}",
        "put it into the picture, or save it as PNG",
    )
