"""Templates to PDF. The only file that imports typst, which is an extra with its font: mailprov[profiles]."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mailprov import extras
from mailprov.assets import folder
from mailprov.errors import MailprovError

if TYPE_CHECKING:
    from typst import Compiler

_FONT = "manimgx_fonts_cjk"
"""a package that is one font file: Noto Sans CJK, every weight, every script of East Asia and Latin"""


class Typesetter:
    """PDF files from one template of `templates/`; threads may share it.

    Raises MailprovError, here already, where typst or its font is not installed.
    """

    def __init__(self, template: str, now: datetime) -> None:
        self._template = folder("templates") / template
        self._now = now.replace(microsecond=0)
        self._fonts = _font_folder()
        self._own = threading.local()
        self._compiler()

    def __call__(self, values: Mapping[str, object]) -> bytes:
        """A PDF file. `values` reach the template as JSON, and nothing in them is read as markup."""
        given = {"values": json.dumps(values, ensure_ascii=False)}
        made = self._compiler().compile(sys_inputs=given, format="pdf", timestamp=self._now)
        if not isinstance(made, bytes):
            raise MailprovError("a document was made that is no PDF", where=self._template.name)
        return made

    def _compiler(self) -> Compiler:
        """One a thread: a compiler does one thing at a time."""
        found: Compiler | None = getattr(self._own, "compiler", None)
        if found is None:
            try:
                import typst
            except ImportError:
                raise _missing("typst") from None
            # Fonts of this machine would make the same declaration look different elsewhere.
            found = typst.Compiler(str(self._template), font_paths=[str(self._fonts)], ignore_system_fonts=True)
            self._own.compiler = found
        return found


def _font_folder() -> Path:
    found = importlib.util.find_spec(_FONT)
    if found is None or not found.submodule_search_locations:
        raise _missing("its font")
    return Path(next(iter(found.submodule_search_locations)))


def _missing(what: str) -> MailprovError:
    return MailprovError(f"making PDF files needs {what}, which is not installed", fix=extras.install("profiles"))
