"""Names of folders that are safe on every file system, whatever an address is made of."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[a-z0-9_@+-]")
LONGEST = 200
"""bytes of a name: file systems end at 255, and programs add to names"""


def folder_of(address: str) -> str:
    """The folder for what belongs to `address`: itself where that is harmless, and different for different ones.

    What is not a lower-case letter, digit or one of `. _ @ + -` is written as %XX of its UTF-8, and so is a dot at
    either end or after another; a long name ends in a digest.
    """
    parts: list[str] = []
    for place, mark in enumerate(address):
        dot = mark == "." and 0 < place < len(address) - 1 and address[place - 1] != "."
        if dot or _PLAIN.match(mark):
            parts.append(mark)
        else:
            parts += [f"%{byte:02X}" for byte in mark.encode("utf-8", "surrogatepass")]
    name = "".join(parts) or "%"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{name[: LONGEST - 33]}~{digest}"
