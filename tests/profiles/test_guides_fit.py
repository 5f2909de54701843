"""Guides as people see them, on a phone and on paper, in every language: nothing is cut off, and nothing is missing.

MAILPROV_PICTURES=FOLDER keeps the guides and what the browser showed of them there, to be looked at.
"""

from __future__ import annotations

import io
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from browser import Browser, browser
from PIL import Image, ImageFont
from profile_makers import LI, LONG_NAME, MADE, host, profile, typesetter, user, words

from mailprov import profiles
from mailprov.declaration import logo
from mailprov.model import LANGUAGES, Listener, Logo, Services
from mailprov.profiles import guide, qr
from mailprov.profiles.typeset import _font_folder
from mailprov.providers import catalogue
from mailprov.render import render

pytestmark = pytest.mark.xdist_group("guides")  # one browser shows them all

PHONES = (390, 320)
DESK = 1024
MEASURES = (Path(__file__).parent / "guide_measures.js").read_text(encoding="utf-8")
POINTS = 72 / 25.4
"""in a millimetre"""
RISE = 5
"""points: a line is as high as its capitals, and ideographs and accents are higher"""


def picture(width: int, height: int) -> Logo:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "#0a58ca").save(out, "PNG")
    return logo.checked(out.getvalue())


# --- whose guides

TLS = Services(Listener(), Listener(tls=993), Listener(tls=465), 25)
LOCAL = "maximiliane-alexandrina.von-und-zu-schmidt-rottluff-hohenlohe-la"  # 64 characters, and it may not have more
AT = "international-headquarters.subsidiary.example-corporation.com"
GATEWAY = "mail-gateway-for-employees.international-headquarters.subsidiary.example-corporation.co.uk"
DESK_TEXT = (
    "IT 服务台 4400, weekdays 8:00–18:00 (Central European Time), it-service-desk-for-all-employees@"
    f"{AT}, room 4.12, https://helpdesk.international-headquarters.example.com/tickets/new?category=mail&priority=normal"
)
COMPANY = "Beispiel-Maschinenbau- und Anlagentechnik-Gesellschaft mit beschränkter Haftung & Co. Kommanditgesellschaft"
NAMELESS = replace(
    profile(
        user(f"{'a' * 64}@{'b' * 63}.{'m' * 63}.{'d' * 55}.com", "W" * 120),
        host(hostname=f"{'x' * 63}.{'w' * 63}.{'z' * 60}.com"),
    ),
    self_signed=True,
    restricted=True,
    expire=30,
)
"""as long as anything may be, and without a place to break at"""


def hosted(provider: str, name: str = "Jane Example") -> profiles.Profile:
    its = catalogue()[provider]
    found = profiles.hosted.of_user(user(f"{LOCAL}@{its.domains[0]}", name), its, profiles.hosted.servers(its))
    assert found is not None
    return found


PEOPLE: Mapping[str, tuple[profiles.Profile, Mapping[str, Any]]] = {
    "pop3 only": (profile(user("bob@example.com", "Bob", "pop3", "submission")), {"logo": picture(300, 300)}),
    "everything": (profile(user()), {"company": "例子公司", "logo": picture(100, 600), "helpdesk": "4400"}),
    "receives": (profile(user("bob@example.com", "", "pop3")), {"logo": picture(1200, 100)}),
    "imap only": (profile(user(LI, "张伟", "imap", "submission"), host(TLS)), {"company": "Example & Co."}),
    "long": (
        profile(user(f"{LOCAL}@{AT}", LONG_NAME), host(hostname=GATEWAY)),
        {"company": COMPANY, "logo": picture(1200, 100), "helpdesk": DESK_TEXT},
    ),
    "long chinese": (
        replace(profile(user(f"{LOCAL}@xn--fiqs8sirgfmhnhi3b.xn--55qx5d", "欧阳娜娜·阿卜杜热合曼·艾力" * 4)), expire=7),
        {
            "company": "北京某某国际信息技术与通信工程（集团）股份有限公司上海分公司" * 3,
            "helpdesk": "信息技术服务台" * 20,
        },
    ),
    "unbroken": (NAMELESS, {"company": "C" * 120, "logo": picture(1200, 100), "helpdesk": "h" * 200}),
    "qq": (hosted("qq", "韩梅梅"), {"helpdesk": DESK_TEXT}),
    "netease-163": (hosted("netease-163", "韩梅梅"), {}),
    "gmail": (hosted("gmail"), {"company": COMPANY}),
    "outlook": (hosted("outlook"), {"company": COMPANY, "logo": picture(100, 600)}),
    "icloud": (hosted("icloud"), {}),
}


@dataclass(frozen=True, slots=True)
class Guide:
    """One guide: its content, its files, and the file that the browser loads."""

    name: str
    said: Mapping[str, Any]
    page: Path
    pdf: bytes


def made(who: str, tag: str, folder: Path) -> Guide:
    person, more = PEOPLE[who]
    payload = qr.payload(person)
    code = qr.images(payload).svg if payload else b""
    context = guide.GuideContext(MADE, file=f"{person.address}.mobileconfig", code=code, **more)
    said = guide.content(person, words(tag), context)
    page = folder / f"{who}.{tag}.html"
    page.write_bytes(guide.html(said, render))
    return Guide(page.stem, said, page, typesetter()(said))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser"), _font_folder()) as started:
        yield started


@pytest.fixture(scope="module", params=[(who, tag) for who in PEOPLE for tag in LANGUAGES], ids="-".join)
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Guide:
    who, tag = request.param
    return made(who, tag, kept() or tmp_path_factory.mktemp("guide"))


def kept() -> Path | None:
    """Where pictures are wanted."""
    folder = os.environ.get("MAILPROV_PICTURES")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def keep(name: str, data: bytes) -> None:
    if folder := kept():
        (folder / name).write_bytes(data)


# --- on a screen


def test_nothing_is_cut_off_on_a_screen(one: Guide, shown: Browser) -> None:
    for width in (*PHONES, DESK):
        shown.show(one.page, width)
        assert shown.ask("innerWidth") == width
        assert shown.ask(MEASURES) == [], f"at {width} px"
        if kept():
            keep(f"{one.name}.{width}.png", shown.picture())


@pytest.mark.parametrize(
    ("mistake", "found"),
    [
        ("<div style='width: 500px'>wide</div>", "the page is"),
        ("<pre style='overflow: hidden; width: 9em'>" + "cut off " * 9 + "</pre>", "cut off by its own box"),
        ("<p style='margin-left: -3em'>left</p>", "beyond the screen"),
        ("<p style='height: 0; margin: 0'>over</p><p style='margin: 0'>under</p>", "one over the other"),
        ("<p style='width: 6em'><b class='name'>something-with</b></p>", "a line ends with a name's hyphen"),
        (
            "<p>some words <b style='display: inline-block; width: 100%'>and</b>, a comma</p>",
            "a line begins with a mark",
        ),
        ("<p style='width: 1em; overflow-wrap: anywhere'><code>995</code></p>", "a word is broken"),
        ("<img src='data:image/png;base64,AAAA' alt=''>", "a picture is not shown"),
    ],
)
def test_a_mistake_would_be_seen(mistake: str, found: str, shown: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><meta name=viewport content='width=device-width'>{mistake}", encoding="utf-8")
    shown.show(page, 390)
    assert any(said.startswith(found) for said in shown.ask(MEASURES))


# --- on paper

Box = tuple[float, float, float, float]
"""left, bottom, right, top, in points from the left lower corner"""


def rows(text: pypdfium2.PdfTextPage) -> list[Box]:
    """Where something stands on a page, piece by piece of its lines."""
    return [text.get_rect(number) for number in range(text.count_rects())]


def wrong(page: pypdfium2.PdfPage, across: float, top: float, bottom: float) -> Iterator[str]:
    """What is wrong with a page that has margins of so many millimetres."""
    width, height = page.get_size()
    if (round(width), round(height)) != (595, 842):
        yield f"this is no A4: {width} x {height}"
    text = page.get_textpage()
    for box in (boxes := rows(text)):
        beside = box[0] < across * POINTS - 1 or box[2] > width - across * POINTS + 1
        if beside or box[1] < bottom * POINTS - RISE or box[3] > height - top * POINTS + RISE:
            yield f"beyond the margin: {text.get_text_bounded(*box)}"
    for here, there in neighbours(boxes):
        wide = min(here[2], there[2]) - max(here[0], there[0])
        high = min(here[3], there[3]) - max(here[1], there[1])
        if wide > 1 and high > min(here[3] - here[1], there[3] - there[1]) / 2:
            yield f"one over the other: {text.get_text_bounded(*here)} / {text.get_text_bounded(*there)}"


def neighbours(boxes: list[Box]) -> Iterator[tuple[Box, Box]]:
    """Those at the same height, two by two."""
    upwards = sorted(boxes, key=lambda box: box[1])
    for place, low in enumerate(upwards):
        for high in upwards[place + 1 :]:
            if high[1] >= low[3]:
                break
            yield low, high


def plain(text: str) -> str:
    """Without what a line's end changes: blanks, and a hyphen there, which is read out as another sign."""
    return re.sub(r"[\s\x02\xad\ufffe-]", "", unicodedata.normalize("NFKC", text))


def everything(node: Any) -> Iterator[str]:
    """Every text of a guide, the words of its layout apart: those hold texts that this guide does not need."""
    if isinstance(node, Mapping):
        node = [value for key, value in node.items() if key not in ("words", "tag", "region", "logo", "code", "first")]
    if isinstance(node, list):
        for item in node:
            yield from everything(item)
    elif isinstance(node, str | int) and node not in ("text", "label", "value"):
        yield str(node)


def missing(one: Guide, document: pypdfium2.PdfDocument) -> list[str]:
    """Texts of the guide that cannot be read out of the document."""
    read = plain("".join(page.get_textpage().get_text_bounded() for page in document))
    return [text for text in everything(one.said) if plain(text) not in read]


def lonely(one: Guide, page: pypdfium2.PdfPage, foot: float) -> str:
    """The heading at the end of a page, above its foot of so many millimetres; "" where there is none."""
    names = one.said["words"]
    titles = [names[key] for key in ("before", "yours", "servers", "quick", "advice", "clients", "trouble")]
    titles += [client["title"] + client["system"] for client in one.said["clients"]]
    text = page.get_textpage()
    body = [box for box in rows(text) if box[1] > foot * POINTS]
    assert body, "this page is empty"
    _, low, _, high = min(body, key=lambda box: box[1])
    last = plain(text.get_text_bounded(0, low, page.get_width(), high))
    return last if last in map(plain, titles) else ""


def check_printed(one: Guide, data: bytes, *margins: float, foot: float) -> None:
    with pypdfium2.PdfDocument(data) as document:
        for page in document:
            assert list(wrong(page, *margins)) == []
            assert lonely(one, page, foot) == ""
        assert missing(one, document) == []


def test_the_pdf_is_whole(one: Guide) -> None:
    keep(f"{one.name}.pdf", one.pdf)
    foot = 19 + 4 * (len(one.said["address"]) // 80)
    check_printed(one, one.pdf, 19, 17, 5, foot=foot)


def test_the_page_is_printed_whole(one: Guide, shown: Browser) -> None:
    shown.show(one.page, DESK)
    data = shown.print()
    keep(f"{one.name}.printed.pdf", data)
    check_printed(one, data, 16, 16, 16, foot=16)


# --- every sign has a shape


@cache
def font() -> ImageFont.FreeTypeFont:
    (file,) = _font_folder().glob("*.ttc")
    faces = (ImageFont.truetype(file, 20, index=number) for number in range(10))
    return next(face for face in faces if face.getname()[0] == "Noto Sans CJK SC")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_font_has_every_sign_of_the_guides(tag: str) -> None:
    """What it lacks would be an empty box on paper."""
    box = bytes(font().getmask("\U0010ffff"))
    told = [provider.name for provider in catalogue().values()]
    told += [text for provider in catalogue().values() for text in (provider.enable, *provider.notes)]
    signs = set("".join([*everything({**words(tag), "w": words(tag)["words"]}), *(getattr(t, tag) for t in told)]))
    assert [sign for sign in sorted(signs) if sign.strip() and bytes(font().getmask(sign)) == box] == []
