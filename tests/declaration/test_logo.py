"""A company's logo: pictures are taken, and nothing that is broken, large, moving, or refers to something outside."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mailprov.declaration import load, logo
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.errors import SpecError

DECLARED = "mailprov: 1\ndomains: [{name: x.cn, hosted_by: qq}]\nhandout: {logo: logo.png}\n"


def png(mode: str = "RGB", size: tuple[int, int] = (30, 10), **more: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG", **more)
    return out.getvalue()


def svg(inside: str, attributes: str = 'viewBox="0 0 10 10"') -> bytes:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {names} {attributes}>{inside}</svg>".encode()


GOOD = {
    **{mode: png(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    "svg": svg('<defs><linearGradient id="a"/></defs><rect fill="url(#a)" width="9" height="9"/><use href="#a"/>'),
    "with a prologue": b'\xef\xbb\xbf<?xml version="1.0" encoding="gbk"?>\n' + svg("<title>例子</title>"),
    "a picture in it": svg('<image xlink:href="data:image/png;base64,AAAA"/>'),
    "a program's notes": svg('<g xmlns:i="urn:i" i:file="C:\\logo.svg" i:href="http://example.com"/>'),
}
BAD = {
    "text": b"hello",
    "nothing": b"",
    "jpeg": b"\xff\xd8\xff\xe0",
    "cut off": png()[:-5],
    "a wrong sum": png()[:40] + b"\xff" + png()[41:],
    "a bomb": png("1", (20_000, 20_000)),
    "no lines": logo._PNG
    + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"")),
            (b"IEND", b""),
        )
    ),
    "a script": svg("<script>alert(1)</script>"),
    "an event": svg('<g onload="alert(1)"/>'),
    "another page": svg('<foreignObject><p xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>'),
    "a picture elsewhere": svg('<image href="https://example.com/a.png"/>'),
    "a file": svg('<image xlink:href="file:///etc/passwd"/>'),
    "a path": svg('<use href="other.svg#a"/>'),
    "a link": svg('<a href="javascript:alert(1)"><g/></a>'),
    "a picture in a picture": svg('<image href="data:image/svg+xml;base64,AAAA"/>'),
    "a fill elsewhere": svg('<g fill="url(https://example.com/#a)"/>'),
    "a style": svg("<g style=\"fill: URL( 'https://example.com/' )\"/>"),
    "a style sheet": svg("<style>@import 'https://example.com/a.css';</style>"),
    "a font": svg("<style>@font-face{src:url(//example.com/a)}</style>"),
    "hidden in CSS": svg('<g style="fill: \\75rl(https://example.com)"/>'),
    "an entity": b'<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("&a;"),
    "a style sheet beside": b'<?xml-stylesheet href="https://example.com"?>' + svg(""),
    "no size": svg("", ""),
    "no svg": b"<html/>",
    "not closed": svg("<g>"),
    "deep": svg("<g>" * 200 + "</g>" * 200),
    "latin": svg("<title>\u00e9</title>").decode().encode("latin-1"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_picture_is_taken(name: str) -> None:
    found = logo.checked(GOOD[name])
    assert found.form == ("png" if GOOD[name].startswith(b"\x89") else "svg")
    assert b"gbk" not in found.data


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        logo.checked(BAD[name])
    assert caught.value.fix


@given(st.binary(max_size=60).map(lambda tail: logo._PNG + tail) | st.text().map(lambda text: f"<svg {text}".encode()))
def test_no_bytes_stumble(data: bytes) -> None:
    with suppress(InvalidValue):
        logo.checked(data)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "logo.png cannot be read"), (b"GIF89a", "logo.png: this is neither"), (bytes(300_000), "larger than 256")],
)
def test_the_place_is_told(tmp_path: Path, content: bytes | None, words: str) -> None:
    (tmp_path / "mail.yaml").write_text(DECLARED)
    if content is not None:
        (tmp_path / "logo.png").write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "mail.yaml", environ={}, now=datetime.now(UTC))
    (found,) = caught.value.errors
    assert (found.origin.line, words in found.what) == (3, True), found.what


def test_what_guides_say(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(png())
    more = ", company: 例子公司, helpdesk: ext. 4400, language: zh}"
    people = "users: [{address: a@x.cn, language: en}, {address: b@x.cn}, {from_csv: staff.csv}]\n"
    (tmp_path / "mail.yaml").write_text(
        "mailprov: 1\ndomains: [{name: x.cn, hosted_by: qq}]\nhandout: {logo: logo.png" + more + "\n" + people, "utf-8"
    )
    rows = "邮箱,语言\nc@x.cn,中文\nd@x.cn,English\ne@x.cn,zh-CN\nf@x.cn,\n"
    (tmp_path / "staff.csv").write_text(rows, "utf-8")
    spec = load(tmp_path / "mail.yaml", environ={}, now=datetime.now(UTC))
    told = spec.handout
    assert (told.company, told.helpdesk, told.language) == ("例子公司", "ext. 4400", "zh")
    assert told.logo is not None and told.logo.form == "png"
    assert [user.language for user in spec.users] == ["en", "", "zh", "en", "zh", ""]


def test_a_language_without_guides_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mail.yaml").write_text(
        "mailprov: 1\ndomains: [{name: x.cn, hosted_by: qq}]\nhandout: {language: fr}\n"
        "users: [{address: a@x.cn, language: 中文}, {from_csv: staff.csv}]\n",
        "utf-8",
    )
    (tmp_path / "staff.csv").write_text("邮箱,语言\nc@x.cn,Klingon\n", "utf-8")
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "mail.yaml", environ={}, now=datetime.now(UTC))
    places = [(Path(each.origin.file).name, each.origin.line) for each in caught.value.errors]
    assert places == [("mail.yaml", 3), ("mail.yaml", 4), ("staff.csv", 2)]
