"""The documentation site: it is made without a warning, every link leads somewhere, it loads nothing from elsewhere,
and in a browser nothing is cut off, on a phone or on a desk.

MAILPROV_PICTURES=FOLDER keeps what the browser showed there, to be looked at.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browser import Browser, browser
from lxml import html

from mailprov.profiles.typeset import _font_folder

ROOT = Path(__file__).resolve().parents[2]
MEASURES = (Path(__file__).parent / "site_measures.js").read_text(encoding="utf-8")
TYPEWRITER = """
document.head.append(Object.assign(document.createElement("style"), {textContent: "code, pre {letter-spacing: .1em}"}))
"""
"""The browser has one font, and it has no letters of one width: with this, code is as wide as with those."""
PHONE, DESK = 390, 1280
CHINESE = ("index", "tutorial", "daily-tasks", "gitops")

pytestmark = pytest.mark.xdist_group("site")  # it is made once


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made by the command that `make site` has, in another folder."""
    folder = tmp_path_factory.mktemp("site")
    target = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nsite:")[2].partition("\n\n")[0]
    (line,) = (line for line in target.splitlines() if "sphinx-build" in line)
    words = shlex.split(line.replace("build/", f"{folder}/"))
    assert {"-W", "-n"} <= set(words)
    done = subprocess.run(
        (sys.executable, "-m", "sphinx", *words[1:]),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> Mapping[Path, Any]:
    """Every page of it, parsed."""
    return {path: html.parse(str(path)).getroot() for path in sorted(site.rglob("*.html"))}


# --- what is there


def test_every_page_of_the_repository_is_there(site: Path, pages: Mapping[Path, Any]) -> None:
    sources = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    wanted = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in sources}
    folders = {"examples/gitops/index.html", "benchmarks/peers/index.html"}
    assert {path.relative_to(site).as_posix() for path in pages} == wanted | folders | {"index.html", "search.html"}


def test_navigation_has_its_groups(site: Path, pages: Mapping[Path, Any]) -> None:
    tree = pages[site / "docs/index.html"].find_class("sidebar-tree")[0]
    captions = [text.strip() for text in tree.xpath(".//p[contains(@class, 'caption')]//text()") if text.strip()]
    assert captions == ["Tutorial", "How-to", "Reference", "Explanation", "中文", "What was tried", "The project"]


def test_chinese_pages_say_that_they_are(site: Path, pages: Mapping[Path, Any]) -> None:
    for path, page in pages.items():
        if path.name != "index.html" or path.parent != site:
            assert page.get("lang") == ("zh-CN" if path.stem.endswith(".zh-CN") else "en"), path
    for name in CHINESE:
        page = pages[site / f"docs/{name}.zh-CN.html"]
        around = " ".join(page.xpath("//div[@class='related-pages']//text() | //aside//text()"))
        assert not re.search(r"\b(Next|Previous|On this page|Home)\b", around)
        assert "本页内容" in around


def test_the_beginning_leads_to_the_first_page(site: Path, pages: Mapping[Path, Any]) -> None:
    (refresh,) = pages[site / "index.html"].xpath("//meta[@http-equiv='refresh']/@content")
    assert refresh == "0; url=docs/index.html"


# --- links


@cache
def anchors(path: Path) -> frozenset[str]:
    return frozenset(html.parse(str(path)).getroot().xpath("//@id | //a/@name"))


def wrong(page: Path, link: str) -> str:
    """What is wrong with a link from a page of the site to the site."""
    parts = urlsplit(link)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return f"{page.name}: {link} is no file"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target):
        return f"{page.name}: {link} is no place there"
    return ""


def test_every_link_leads_somewhere(site: Path, pages: Mapping[Path, Any]) -> None:
    links = {(path, link) for path, page in pages.items() for link in page.xpath("//@href | //@src")}
    own = [(path, link) for path, link in links if not urlsplit(link).scheme]
    assert len(own) > 1000
    assert [said for path, link in own if (said := wrong(path, link))] == []
    assert {urlsplit(link).scheme for _, link in links} <= {"", "https", "http", "data"}


def test_a_wrong_link_would_be_seen(site: Path) -> None:
    page = site / "docs/index.html"
    assert wrong(page, "yaml.html#tls") == "" == wrong(page, "../README.html")
    assert wrong(page, "yaml.html#nowhere").endswith("is no place there")
    assert wrong(page, "nowhere.html").endswith("is no file")


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: Mapping[Path, Any]) -> None:
    for path, page in pages.items():
        loaded = page.xpath(
            "//@src | //link/@href | //@srcset | //object/@data | //form/@action | //*/@xlink:href",
            namespaces={"xlink": "http://www.w3.org/1999/xlink"},
        )
        assert [link for link in loaded if urlsplit(link).netloc] == [], path
    for path in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*['\"]?\s*(?:https?:)?//", text), path


# --- in a browser


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser"), _font_folder()) as started:
        yield started


def looked_at(site: Path, pages: Mapping[Path, Any]) -> list[Path]:
    """All pages; but decisions, of which there are many, are all alike: the longest stands for them."""
    decisions = {path for path in pages if re.fullmatch(r"\d{4}-.*", path.stem)}
    longest = max(decisions, key=lambda path: path.stat().st_size)
    return [path for path in pages if path != site / "index.html" and path not in decisions - {longest}]


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_is_cut_off_on_a_screen(width: int, site: Path, pages: Mapping[Path, Any], shown: Browser) -> None:
    found = {}
    for path in looked_at(site, pages):
        shown.show(path, width)
        assert shown.ask("innerWidth") == width
        shown.ask(TYPEWRITER)
        name = path.relative_to(site).with_suffix("").as_posix()
        if said := shown.ask(MEASURES):
            found[name] = said
        loaded = shown.ask("performance.getEntriesByType('resource').map((each) => each.name)")
        assert [each for each in loaded if not each.startswith(("file:", "data:"))] == [], name
        if folder := os.environ.get("MAILPROV_PICTURES"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, f"{name.replace('/', '.')}.{width}.png").write_bytes(shown.picture(whole=False))
    assert found == {}


@pytest.mark.parametrize(
    ("mistake", "found"),
    [
        ("<div style='width: 900px'>wide</div>", "the page is"),
        ("<pre style='overflow: hidden; width: 9em'>" + "cut off " * 9 + "</pre>", "cut off by its own box"),
        ("<p style='margin-left: -3em'>left</p>", "beyond the screen"),
        ("<img src='nowhere.png' alt=''>", "a picture is not shown"),
    ],
)
def test_a_mistake_would_be_seen(mistake: str, found: str, shown: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    text = f"<!DOCTYPE html><meta name=viewport content='width=device-width'><article>{mistake}</article>"
    page.write_text(text, encoding="utf-8")
    shown.show(page, PHONE)
    assert any(said.startswith(found) for said in shown.ask(MEASURES))


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("rollback", "docs/tutorial.html"),
        ("fingerprints", "docs/connection.html"),
        ("入职", "docs/daily-tasks.zh-CN.html"),
        ("忘记密码", "docs/daily-tasks.zh-CN.html"),
        ("回滚", "docs/tutorial.zh-CN.html"),
        ("mailprov 指纹", "docs/tutorial.zh-CN.html"),
    ],
)
def test_the_search_finds(words: str, page: str, site: Path, shown: Browser) -> None:
    """Without a web server, and Chinese where no blank is between words."""
    shown.show(site / "search.html", DESK, query=f"q={words}")
    assert "found" in shown.until("document.querySelector('.search-summary')?.textContent")
    found = shown.ask("[...document.querySelectorAll('#search-results a')].map((each) => each.pathname)")
    assert any(each.endswith(f"/{page}") for each in found), found
