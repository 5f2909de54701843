"""A text that never shows itself."""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn


class Secret:
    """A text that never shows itself: str(), repr() and format() all give `<secret>`."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The secret itself. Call it only where it is written to its destination."""
        return self.__text

    def digest(self) -> str:
        """SHA-256 of the secret in hex: for comparing secrets that cannot be guessed (keys, salted hashes)."""
        return hashlib.sha256(self.__text.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.__text.encode(), other.__text.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self.__text))

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
