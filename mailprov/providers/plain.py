"""Texts as they are compared."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """`text` in one case and width (NFKC), with single blanks, without a dot at its end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".")
