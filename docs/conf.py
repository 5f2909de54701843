"""The documentation site, made by Sphinx (`make site`): https://www.sphinx-doc.org/en/master/usage/configuration.html

Its pages are those of the repository, read from its root, so that one link is right on a forge and on the site. What
the site alone needs is here: which page follows which, the search, and the pages of folders that others link to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish
from sphinx.util.osutil import relative_uri

from mailprov import __version__

ROOT: Final = Path(__file__).resolve().parent.parent

project = "mailprov"
version = release = __version__
html_title = f"mailprov {__version__}"
html_show_copyright = False
language = "en"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
# Folders that have no page are not walked through.
exclude_patterns = [
    ".*",
    "benchmarks",
    "build",
    "dist",
    "examples",
    "mailprov",
    "schemas",
    "script",
    "templates",
    "tests",
]
myst_heading_anchors = 4
# `--option` in a sentence is no dash.
smartquotes = False

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = html_use_index = False
html_search_language = "mailprov"
_FONTS: Final = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', "
    "'Microsoft YaHei', 'Noto Sans SC', Arial, sans-serif"
)
html_theme_options = {"light_css_variables": {"font-stack": _FONTS}}

# --- which page follows which

NAVIGATION: Final = {
    "Tutorial": ("docs/tutorial",),
    "How-to": (
        "docs/daily-tasks",
        "docs/sending",
        "docs/signing",
        "docs/deliverability",
        "docs/sieve",
        "docs/gitops",
        "docs/secrets",
        "docs/testing",
        "docs/connection",
        "docs/doctor",
    ),
    "Reference": ("docs/yaml", "docs/commands", "docs/providers", "docs/reports"),
    "Explanation": (
        "docs/explanation",
        "What it is, and its limits <README>",
        "ARCHITECTURE",
        "docs/decisions/README",
    ),
    "中文": ("docs/index.zh-CN", "docs/tutorial.zh-CN", "docs/daily-tasks.zh-CN", "docs/gitops.zh-CN"),
    "What was tried": ("docs/fault-matrix", "docs/faults-random", "docs/load-test", "docs/benchmarks"),
    "The project": ("CHANGELOG", "CONTRIBUTING", "docs/releasing"),
}
_WIDE: Final = r"[\u3001-\u303f\u4e00-\u9fff\uff01-\uff60]"
_TREE: Final = "\n```{{toctree}}\n:hidden:\n:caption: {}\n\n{}\n```\n"


def follow(app: Sphinx, name: str, source: list[str]) -> None:
    """Say which pages follow: where a forge would show it as text, it is not written into the page itself."""
    if name == root_doc:
        entries = {title: [_absolute(page) for page in pages] for title, pages in NAVIGATION.items()}
        source[0] += "".join(_TREE.format(title, "\n".join(pages)) for title, pages in entries.items())
    elif name == "docs/decisions/README":
        source[0] += "\n```{toctree}\n:glob:\n:maxdepth: 1\n\n0*\n```\n"
    elif name.endswith(".zh-CN"):
        # Between ideographs the end of a line is no blank, and browsers show one.
        source[0] = re.sub(rf"(?<={_WIDE})\n *(?={_WIDE})", "", source[0])


def _absolute(page: str) -> str:
    return re.sub(r"([^ <]+)(>?)$", r"/\1\2", page)


# --- folders

FOLDERS: Final = ("examples/gitops", "benchmarks/peers")
"""linked to by pages; each is a page here that shows its files"""
_KINDS: Final = {".yaml": "yaml", ".yml": "yaml", ".sh": "sh", ".py": "python", ".md": "markdown", ".cfg": "ini"}


def lead_to_folders(app: Sphinx, document: nodes.document) -> None:
    """Turn links to folders into links to what the site has of them."""
    here = app.env.docname
    for link in [*document.findall(addnodes.pending_xref)]:
        target = link["reftarget"].rstrip("/")
        folder = (ROOT / here).parent.joinpath(target).resolve()
        if link["reftype"] != "myst" or not target or not folder.is_dir():
            continue
        name = folder.relative_to(ROOT).as_posix()
        page = f"{name}/README" if name not in FOLDERS else f"{name}/index"
        uri = relative_uri(app.builder.get_target_uri(here), app.builder.get_target_uri(page))
        link.replace_self(nodes.reference("", "", *link.children, internal=True, refuri=uri))


def folders(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Pages that show all files of a folder, and the first page where a web server looks for it."""
    for name in FOLDERS:
        title = name.replace("/", "/<wbr>")
        body = f"<section><h1>{title}</h1>{''.join(_files(app, ROOT / name))}</section>"
        yield f"{name}/index", {"title": name, "body": body}, "page.html"


def _files(app: Sphinx, folder: Path) -> Iterator[str]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        name, kind = path.relative_to(folder).as_posix(), _KINDS.get(path.suffix, "text")
        shown = app.builder.highlighter.highlight_block(path.read_text(encoding="utf-8"), kind)
        yield f'<h2 id="{escape(name)}">{escape(name)}</h2><div class="highlight-{kind}">{shown}</div>'


# --- tables of keys


def fold_keys(app: Sphinx, document: nodes.document) -> None:
    """Name the tables of keys for site.css, which makes cards of them on a phone; a key may go on after its dots."""
    for table in document.findall(nodes.table):
        heads = [entry.astext() for entry in next(table.findall(nodes.thead)).findall(nodes.entry)]
        if heads != ["key", "value", "default", "meaning"]:
            continue
        table["classes"].append("keys")
        for row in table.findall(nodes.row):
            for key in row[0].findall(nodes.literal):
                first, *rest = re.split(r"(?<=\.)", key.astext())
                key[:] = [nodes.Text(first)]
                for part in rest:
                    key += [nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]


# --- Chinese


class EnglishAndChinese(SearchEnglish):
    """Every two ideographs that stand together are a word, in the index and in what somebody looks for.

    Sphinx knows one language for a site, and for Chinese wants jieba, whose last release is of 2020. So a word is
    found wherever it stands, and with it, seldom, two neighbours that are no word.
    """

    lang = "mailprov"
    language_name = "English"  # that of the stemmer in the browser
    js_splitter_code = """
var splitQuery = (query) => (query.match(/[\\u4e00-\\u9fff]+|[\\p{L}\\p{N}_]+/gu) || []).flatMap((part) =>
  /[\\u4e00-\\u9fff]/.test(part)
    ? part.length === 1 ? [part] : Array.from({ length: part.length - 1 }, (_, at) => part.slice(at, at + 2))
    : part.split(/[\\u4e00-\\u9fff]+/u).filter((word) => word)
);
"""
    _parts = re.compile(r"[\u4e00-\u9fff]+|[^\W\u4e00-\u9fff]+")

    def split(self, input: str) -> list[str]:
        """The words of a text; an ideograph alone is one, too."""
        return [word for part in self._parts.findall(input) for word in _words(part)]


def _words(part: str) -> Iterator[str]:
    if not "\u4e00" <= part[0] <= "\u9fff":
        yield part
        return
    yield from part
    yield from (part[at : at + 2] for at in range(len(part) - 1))


CHINESE: Final = {
    "Back to top": "回到顶部",
    "Home": "首页",
    "Next": "下一页",
    "On this page": "本页内容",
    "Previous": "上一页",
    "Search": "搜索",
}


def speak_chinese(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: object) -> None:
    """Say of Chinese pages that they are: to browsers, which choose fonts by that, and in what is around the text."""
    if name.endswith(".zh-CN"):
        context["language"] = "zh-CN"
        context["_"] = context["gettext"] = _in_chinese


def _in_chinese(text: str, **words: object) -> str:
    found = CHINESE.get(text.strip(), text)
    return found % words if words else found


# --- all of it

REDIRECT: Final = '<!doctype html>\n<meta charset="utf-8">\n<title>mailprov</title>\n' + (
    '<meta http-equiv="refresh" content="0; url=docs/index.html">\n<a href="docs/index.html">mailprov</a>\n'
)


def begin(app: Sphinx, error: Exception | None) -> None:
    """Write the page that leads to the first one from where a web server begins."""
    if error is None and app.builder.name == "html":
        (Path(app.outdir) / "index.html").write_text(REDIRECT, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Hand all this to Sphinx."""
    app.add_search_language(EnglishAndChinese)
    app.connect("source-read", follow)
    app.connect("doctree-read", lead_to_folders)
    app.connect("doctree-read", fold_keys)
    app.connect("html-collect-pages", folders)
    app.connect("html-page-context", speak_chinese)
    app.connect("build-finished", begin)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
