"""The guide: both languages say the same, its pages can be read and printed, and it shows what is the reader's own."""

from __future__ import annotations

import io
import json
import plistlib
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pypdfium2
import pytest
import segno
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from PIL import Image
from profile_makers import LI, LONG, LONG_NAME, MADE, host, means, profile, typesetter, user, words

from mailprov import profiles
from mailprov.declaration import logo
from mailprov.model import LANGUAGES, Listener, Services
from mailprov.profiles import guide
from mailprov.providers import catalogue
from mailprov.render import render

PEOPLE = {
    "chinese": profile(user()),
    "long": profile(user(LONG, LONG_NAME, "imap", "submission", quota=None)),
    "fetches only": profile(user("bob@example.com", "", "pop3")),
    "starttls": profile(user("eve@example.com", "Eve"), host(Services(Listener(110), Listener(143), Listener(587)))),
}
PEOPLE |= {
    name: found
    for name in ("qq", "tencent-exmail", "gmail", "outlook", "icloud")
    if (found := profiles.hosted.of_user(user(), its := catalogue()[name], profiles.hosted.servers(its)))
}
PEOPLE["restricted"] = profile(replace(user(), expire=7, allow_from=(ip_network("10.0.0.0/8"),)))
TITLES = {"en": "Your mailbox, step by step", "zh": "邮箱设置指南"}
PROGRAMS = ("Outlook", "Thunderbird", "iPhone", "Foxmail")


# --- the language files


def marks(node: Any) -> list[str]:
    return sorted(re.findall(r"\{([a-z_]+)\}", json.dumps(node, ensure_ascii=False)))


def shape(node: Any) -> Any:
    """What must be alike in every language: keys, numbers of items, conditions and settings, but no words."""
    if isinstance(node, dict):
        return {key: value if key == "if" else shape(value) for key, value in node.items()}
    return [shape(item) for item in node] if isinstance(node, list) else marks(node)


def test_every_language_says_the_same_of_the_same() -> None:
    first, *others = (shape(words(tag)) for tag in LANGUAGES)
    for other in others:
        assert other == first


def conditions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node.get("if", ())
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from conditions(item)


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_condition_that_never_holds_is_a_mistake(tag: str) -> None:
    occasions = [
        guide.GuideContext(MADE),
        guide.GuideContext(MADE, "desk", "x.mobileconfig", code=b"<svg/>"),
    ]
    own = profiles.Profile("a@x", "", PEOPLE["long"].incoming, PEOPLE["long"].outgoing, self_signed=True)
    held = {fact for each in (*PEOPLE.values(), own) for occasion in occasions for fact in guide._facts(each, occasion)}
    assert set(conditions(words(tag))) <= held


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, str):
        yield node


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("who", PEOPLE)
def test_no_mark_is_left_over(tag: str, who: str) -> None:
    made = guide.content(PEOPLE[who], words(tag), guide.GuideContext(MADE, "desk", "x.mobileconfig"))
    assert not [text for text in texts({**made, "words": {}}) if re.search(r"\*\*|\{[a-z_]+\}", text)]


def told(who: str, tag: str = "en") -> str:
    made = guide.content(PEOPLE[who], words(tag), guide.GuideContext(MADE))
    return " ".join(texts({**made, "words": {}}))


@pytest.mark.parametrize("tag", LANGUAGES)
def test_nobody_is_told_what_is_not_so(tag: str) -> None:
    whole, receives, restricted = (told(who, tag) for who in ("chinese", "fetches only", "restricted"))
    sending = {"en": "write mail", "zh": "收发"}[tag]
    assert sending in whole
    assert sending not in receives
    assert {"en": "only receives", "zh": "只能收信"}[tag] in receives
    assert {"en": "your phone's", "zh": "手机热点"}[tag] in whole
    assert {"en": "your phone's", "zh": "手机热点"}[tag] not in restricted
    deleted = {"en": "Old mail is deleted", "zh": "旧邮件会被删除"}[tag]
    assert (deleted in whole, deleted in restricted) == (False, True)
    assert (" value 14 " in whole, " value 14 " in restricted, " value 7 " in restricted) == (True, False, True)


@given(st.text() | st.sampled_from(["{address}", "**b**", "{name}"]))
def test_a_name_is_not_read_for_marks(name: str) -> None:
    made = guide.content(profile(user(name=name)), words("en"), guide.GuideContext(MADE))
    assert made["data"][0][1] == name or not name
    assert not name or ["value", name] in made["greeting"]


# --- PDF


@pytest.fixture(scope="module", params=[(who, tag) for who in PEOPLE for tag in LANGUAGES], ids="-".join)
def printed(request: pytest.FixtureRequest) -> Iterator[tuple[str, str, pypdfium2.PdfDocument]]:
    """A person, a language, and that guide."""
    who, tag = request.param
    files = profiles.person(PEOPLE[who], means(tag, helpdesk="IT 服务台 4400"))
    document = pypdfium2.PdfDocument(files[f"guide.{tag}.pdf"])
    yield who, tag, document
    document.close()


def said(document: pypdfium2.PdfDocument) -> str:
    """All words, without blanks and ends of lines."""
    return "".join("".join(page.get_textpage().get_text_bounded() for page in document).split())


def test_the_words_can_be_read_out(printed: tuple[str, str, pypdfium2.PdfDocument]) -> None:
    who, tag, document = printed
    text, person = said(document), PEOPLE[who]
    for server in (*person.incoming, *person.outgoing):
        assert f"{server.host}{server.port}" in text
    wanted = [TITLES[tag], person.address, person.name, *PROGRAMS, "IT 服务台 4400", MADE.isoformat()]
    assert [word for word in wanted if "".join(word.split()) not in text] == []


def test_the_pages_are_full_and_few(printed: tuple[str, str, pypdfium2.PdfDocument]) -> None:
    _, _, document = printed
    assert 2 <= len(document) <= 4
    for page in document:
        assert (round(page.get_width()), round(page.get_height())) == (595, 842)  # A4
        dots = bytes(page.render(scale=1, grayscale=True).buffer)
        inked = sum(dot < 200 for dot in dots) / len(dots)
        assert 0.01 < inked < 0.4


def test_nothing_is_set_beyond_the_margins(printed: tuple[str, str, pypdfium2.PdfDocument]) -> None:
    _, _, document = printed
    for page in document:
        words_on_page = page.get_textpage()
        for number in range(words_on_page.count_chars()):
            left, _, right, _ = words_on_page.get_charbox(number)
            assert left >= 50 and right <= 595 - 50, words_on_page.get_text_range(number, 20)


def test_fonts_are_in_the_file_and_every_ideograph_has_a_shape(
    printed: tuple[str, str, pypdfium2.PdfDocument],
) -> None:
    _, _, document = printed
    names = set()
    for page in document:
        for found in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_TEXT]):
            font = pypdfium2.raw.FPDFTextObj_GetFont(found.raw)
            assert pypdfium2.raw.FPDFFont_GetIsEmbedded(font) == 1
            size = pypdfium2.raw.FPDFFont_GetBaseFontName(font, None, 0)
            name = (pypdfium2.raw.ctypes.c_char * size)()
            pypdfium2.raw.FPDFFont_GetBaseFontName(font, name, size)
            names.add(name.value.decode().partition("+")[2] or name.value.decode())
    assert names and all(name.startswith("NotoSansCJK") for name in names), names


def test_the_printed_code_is_read(printed: tuple[str, str, pypdfium2.PdfDocument]) -> None:
    who, _, document = printed
    image = document[0].render(scale=2, grayscale=True).to_pil()
    found = zxingcpp.read_barcodes(image, formats=zxingcpp.BarcodeFormat.QRCode)
    person = PEOPLE[who]
    if person.sends is None:
        assert not found
    else:
        assert json.loads(found[0].text)[3][0][1][0] == person.address


@settings(max_examples=25)
@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=200)
    | st.sampled_from(
        ["#panic()", "*x* _y_ $z$ `a`", "\\ #include", "𠮷野家", "مرحبا", "👩‍👩‍👧‍👦", "ﷺ" * 40, "W" * 200]
    )
)
def test_any_name_is_typeset(name: str) -> None:
    made = guide.content(profile(user(name=name)), words("zh"), guide.GuideContext(MADE))
    document = pypdfium2.PdfDocument(typesetter()(made))
    assert 2 <= len(document) <= 4


def test_the_same_guide_is_the_same_file() -> None:
    made = guide.content(PEOPLE["chinese"], words("zh"), guide.GuideContext(MADE))
    assert typesetter()(made) == typesetter()(made)


# --- HTML


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("who", PEOPLE)
def test_the_page_holds_the_same(who: str, tag: str) -> None:
    person = PEOPLE[who]
    made = guide.html(guide.content(person, words(tag), guide.GuideContext(MADE, code=b"<svg/>")), render)
    page = lxml_html.document_fromstring(made)
    assert page.get("lang") == tag
    text = page.text_content()
    assert [word for word in (TITLES[tag], person.address, person.name, *PROGRAMS) if word not in text] == []
    rows = [[cell.text_content() for cell in row] for row in page.iter("tr")]
    for server in (*person.incoming, *person.outgoing):
        assert any(row[2:4] == [server.host, str(server.port)] for row in rows)
    # It needs no other file, and nobody elsewhere learns that it was opened.
    assert not list(page.iter("script", "link", "iframe"))
    assert all(node.get("src", "").startswith("data:") for node in page.iter("img"))
    assert b"http" not in made


@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"))
    | st.sampled_from(["<script>alert(1)</script>", "</title><img src=x onerror=y>", "{{ 7*7 }}", "'\"`&"])
)
def test_a_name_stays_text_in_html(name: str) -> None:
    made = guide.html(guide.content(profile(user(name=name)), words("en"), guide.GuideContext(MADE)), render)
    page = lxml_html.document_fromstring(made.decode(), parser=lxml_html.HTMLParser(encoding="utf-8"))
    plain = lxml_html.document_fromstring(
        guide.html(guide.content(profile(user(name="x")), words("en"), guide.GuideContext(MADE)), render)
    )
    breaks = {"wbr", "span"}  # where a long word may break
    if name:
        tags = [[node.tag for node in each.iter() if node.tag not in breaks] for each in (page, plain)]
        assert tags[0] == tags[1]


def test_no_password_is_anywhere() -> None:
    files = profiles.person(PEOPLE["chinese"], means("en", "zh"))
    assert LI in files["mpoprc"].decode()
    for content in files.values():
        assert b"{SHA512-CRYPT}" not in content
    assert not re.search(rb"(?m)^\s*(password|pass)\b", files["mpoprc"] + files["fetchmailrc"] + files["mbsyncrc"])


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_phone_shows_a_row_as_lines_with_the_names_of_its_columns(tag: str) -> None:
    """At 390 px six columns do not fit. That everything does there, test_guides_fit looks at in a browser."""
    made = guide.html(guide.content(PEOPLE["long"], words(tag), guide.GuideContext(MADE, code=b"<svg/>")), render)
    page = lxml_html.document_fromstring(made)
    (servers,) = page.find_class("servers")
    heads = [head.text_content() for head in servers.iter("th")]
    for row in servers.iter("tr"):
        cells = list(row.iter("td"))
        assert [cell.get("data-column", "") for cell in cells] == ([*heads[: len(cells) - 1], ""] if cells else [])
    assert "attr(data-column)" in next(page.iter("style")).text_content()


@pytest.mark.parametrize("length", [9, 40])
def test_a_name_in_a_page_is_copied_as_it_is(length: int) -> None:
    """Where it may break is marked, and nothing is put into it."""
    name = f"{'a-b' * 20}"[:length] + "@xn--fsqu00a.cn"
    made = guide.html(guide.content(profile(user(name)), words("en"), guide.GuideContext(MADE)), render)
    (row,) = lxml_html.document_fromstring(made).xpath("//dt[text()='Mail address']/following-sibling::dd[1]")
    assert row.text_content() == name
    assert bool(row.findall(".//wbr")) == (length == 40)


@pytest.mark.parametrize("tag", LANGUAGES)
def test_thunderbird_is_told_to_people_of_one_protocol(tag: str) -> None:
    """Nothing begins with "otherwise" where nothing came before."""
    found = {"en": "When the settings are found, compare", "zh": "自动找到了设置，请与"}[tag]
    choose = {"en": "When the settings are found, choose", "zh": "自动找到了设置，请选择"}[tag]
    assert found in told("long", tag) and choose not in told("long", tag)
    assert choose in told("chinese", tag) and found not in told("chinese", tag)
    assert not [step for step in ("Otherwise", "否则") if step in told("long", tag)]


@pytest.mark.parametrize("tag", LANGUAGES)
def test_phones_in_china_come_before_google(tag: str) -> None:
    for who in ("chinese", "long"):
        text = told(who, tag)
        names = {"en": ("Huawei", "Xiaomi", "OPPO", "vivo", "QQ邮箱"), "zh": ("华为", "小米", "OPPO", "vivo", "QQ邮箱")}
        assert max(text.index(name) for name in (*names[tag], "网易邮箱大师")) < text.index("Google Play")


# --- what providers want to be logged in with

CREDENTIALS = {
    "chinese": ("your password", "密码"),
    "qq": ("your authorization code", "授权码"),
    "tencent-exmail": ("your password", "密码"),
    "gmail": ("your app password", "应用专用密码"),
    "icloud": ("your app password", "应用专用密码"),
}


def steps(who: str, tag: str) -> str:
    """All steps of all programs, as they are read."""
    made = guide.content(PEOPLE[who], words(tag), guide.GuideContext(MADE))
    return "\n".join("".join(text for _, text in step) for client in made["clients"] for step in client["steps"])


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("who", CREDENTIALS)
def test_each_is_told_what_to_type(who: str, tag: str) -> None:
    secret = CREDENTIALS[who][LANGUAGES.index(tag)]
    assert {"en": f"Type {secret} and finish", "zh": f"输入{secret}，完成设置"}[tag] in steps(who, tag)
    made = guide.content(PEOPLE[who], words(tag), guide.GuideContext(MADE))
    provider = PEOPLE[who].provider
    assert bool(made["before"]) == (provider is not None)
    if provider is not None:
        assert [["text", getattr(provider.enable, tag)]] in made["before"]
        sent = {"en": "comes to you another way", "zh": "另行告知"}[tag]
        assert sent not in " ".join(row[2] for row in made["data"])


@pytest.mark.parametrize("tag", LANGUAGES)
def test_nobody_types_a_password_where_none_is_taken(tag: str) -> None:
    assert "OAuth2" in steps("outlook", tag)
    assert not [word for word in ("Type your password", "your password", "，输入密码") if word in steps("outlook", tag)]
    files = profiles.person(PEOPLE["outlook"], means(tag))
    kept = {"autoconfig.xml", f"guide.{tag}.html", f"guide.{tag}.pdf", "thunderbird-android.png"}
    assert files.keys() == kept
    assert b"OAuth2" in files["autoconfig.xml"] and b"password-cleartext" not in files["autoconfig.xml"]


def test_a_user_name_is_what_the_provider_takes() -> None:
    files = profiles.person(PEOPLE["icloud"], means("en"))
    text = files["autoconfig.xml"].decode()
    assert re.findall("<username>(.*?)</username>", text) == ["li.lei", LI]
    assert "\nUser li.lei\n" in files["mbsyncrc"].decode()
    made = guide.content(PEOPLE["icloud"], words("en"), guide.GuideContext(MADE))
    assert ["User name", "li.lei", "for receiving; for sending it is your whole mail address"] in made["data"]


# --- whose guide it is

PICTURES = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z" fill="#f00"/></svg>',
    "png": segno.make_qr("logo").png_data_uri(scale=4),
}


@pytest.mark.parametrize("form", PICTURES)
def test_the_company_is_at_the_top(form: str) -> None:
    data = PICTURES[form]
    picture = logo.checked(data if isinstance(data, bytes) else b64decode(data.partition(",")[2]))
    context = replace(means("zh"), company="<例子> & Söhne", logo=picture)
    files = profiles.person(PEOPLE["chinese"], context)
    page = lxml_html.document_fromstring(files["guide.zh.html"])
    (brand,) = page.find_class("brand")
    assert brand.text_content() == "<例子> & Söhne"
    assert brand.find("img").get("src").startswith(f"data:image/{form}")
    assert b"http://" not in files["guide.zh.html"]
    with pypdfium2.PdfDocument(files["guide.zh.pdf"]) as document:
        assert "<例子>&Söhne" in said(document)
        top = document[0].render(scale=1).to_pil().convert("L").crop((53, 48, 120, 82))
        assert any(count for shade, count in enumerate(top.histogram()) if shade < 100)
    assert plistlib.loads(files[f"{LI}.mobileconfig"])["PayloadOrganization"] == "<例子> & Söhne"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_picture_that_is_taken_can_be_printed(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (400, 40)).save(out, "PNG")
    made = guide.content(PEOPLE["chinese"], words("en"), guide.GuideContext(MADE, logo=logo.checked(out.getvalue())))
    assert typesetter()(made).startswith(b"%PDF")
