"""How each kind of thing is managed: one file a kind, all of them pure.

A resource holds its item, its questions to a host, the reader of the answers, what a difference looks like to people,
and the steps, each with its undo. It sees no other resource, no host, no spec and no role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from mailprov.model import Change, Delta, Effect, Item, Key, Question, Step

T = TypeVar("T", bound=Item)


class Resource(Protocol[T]):
    """What every module in this folder offers (a module is the implementation; there is nothing to inherit)."""

    @property
    def KIND(self) -> str:
        """The kind of its items' keys."""

    def questions(self, desired: Sequence[T]) -> tuple[Question, ...]:
        """What must be asked to know the live items."""

    def read(self, sections: Mapping[str, str]) -> Mapping[Key, T]:
        """The live items in an answer. What is absent on the host is absent here."""

    def same(self, desired: T, live: T, made: str) -> bool:
        """Whether nothing needs doing. `made` is what the host made of it at the last apply; "" where nothing was."""

    def moved(self, live: T, asked: str, made: str) -> bool:
        """Whether the host moved since the last apply, which asked for the fingerprint `asked`."""

    def made(self, live: T) -> str:
        """What the host alone can tell of it, since it made it there; "" where the declaration says all."""

    def delta(self, before: T | None, after: T | None) -> Delta:
        """How they differ: as data where something depends on it, and for people to read; no secrets."""

    def effects(self, before: T | None, after: T | None) -> Mapping[str, Effect]:
        """What the difference needs of which service."""

    def steps(self, changes: Sequence[Change]) -> tuple[Step, ...]:
        """The acts, each with its undo, that make all these changes."""


class Closer(Protocol[T]):
    """A resource that can show how an item differs, at the price of one more answer."""

    def closer(self, live: T, desired: T | None) -> Question | None:
        """What more to ask about an item that differs; None: nothing."""

    def closely(self, live: T, desired: T | None, text: str) -> T:
        """`live` with the answer to `closer` in it."""
