"""Mail providers as their clients see them: what is documented of each, and what is often said of them wrongly."""

from __future__ import annotations

from mailprov.providers.catalogue import catalogue, named, of_mx, search, serving
from mailprov.providers.corrections import Correction, corrected
from mailprov.providers.words import CREDENTIALS, Credential, MxRecord, Protocol, Provider, Server, Words

__all__ = [
    "CREDENTIALS",
    "Correction",
    "Credential",
    "MxRecord",
    "Protocol",
    "Provider",
    "Server",
    "Words",
    "catalogue",
    "corrected",
    "named",
    "of_mx",
    "search",
    "serving",
]
