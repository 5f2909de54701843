"""Answers of kinds of which there is nothing to say at a question: each is taken over under the question's name."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from mailprov.errors import HostError
from mailprov.model import Backup, Change, Command, Effect, Item, Key, Query, Risk, State, Step

T = TypeVar("T", bound=Item)


def equal(desired: Item, live: Item, made: str) -> bool:
    """For `same`: equal in everything that is managed."""
    return desired == live


def unlike_asked(live: Item, asked: str, made: str) -> bool:
    """For `moved`: it is not what was asked for."""
    return live.fingerprint != asked


def nothing_made(live: Item) -> str:
    """For `made`: the declaration says all."""
    return ""


def never_behind(desired: Item, live: Item, read_again: bool, ours: bool) -> None:
    """For `behind`: it runs nothing."""


def never_runs(item: Item) -> bool:
    """For `runs`: it is no service."""
    return False


def no_paths(item: Item) -> tuple[str, ...]:
    """For `paths`: no file is its own."""
    return ()


def nothing_in_the_way(before: Item | None, after: Item | None, there: State) -> tuple[tuple[str, str], ...]:
    """For `obstacles`."""
    return ()


def as_itself(key: Key) -> Key:
    """For `former`."""
    return key


def no_details(live: Item, desired: Item | None) -> None:
    """For `detail_query`: the answer tells all."""


def without_details(live: T, desired: T | None, text: str) -> T:
    """For `with_details`."""
    return live


def no_foresight(missing: Sequence[str]) -> tuple[Query, ...]:
    """For `foresight`: it brings nothing along."""
    return ()


def nothing_foreseen(
    changes: Sequence[Change], sections: Mapping[str, str], host: str
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """For `foreseen`."""
    return tuple(changes), ()


def no_risk_queries(change: Change) -> tuple[Query, ...]:
    """For `risk_queries`."""
    return ()


def no_risks(change: Change, sections: Mapping[str, str]) -> tuple[Risk, ...]:
    """For `risks`: nobody would miss anything."""
    return ()


def content(text: str, path: str) -> bytes:
    """The bytes of a file in an answer to the question `content`. Raises HostError where that is not base64."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise HostError("the host's answer is garbled", where=path, why=str(error)) from error


def lines(content: bytes) -> list[str]:
    """Those of a text; what is no UTF-8 in it is marked as such."""
    return content.decode("utf-8", "replace").splitlines()


def unified(path: str, before: Sequence[str] | None, after: Sequence[str]) -> tuple[str, ...]:
    """A unified diff of the text at a path; None: there was no file."""
    old = "/dev/null" if before is None else path
    return tuple(difflib.unified_diff(before or (), after, old, path, n=2, lineterm=""))


def no_kept_query(item: Item) -> Query | None:
    """For `kept_query`: the copy has nothing to show."""
    return None


def without_kept(item: T, text: str) -> T:
    """For `with_kept`."""
    return item


def never_off(item: Item) -> bool:
    """For `off`: it is there or it is not."""
    return False


def never_restored(backup: Backup, live: Item | None) -> None:
    """For `restored`: it is no thing of its own on the way back."""


def nothing_lasts(do: Command) -> tuple[str, ...]:
    """For `lasting`."""
    return ()


def no_effects(before: Item | None, after: Item | None) -> Mapping[str, Effect]:
    """For `effects`: whoever reads it does so by itself."""
    return {}


def no_steps(effects: Mapping[str, Effect]) -> tuple[Step, ...]:
    """For `pending` and `activation`: it starts nothing."""
    return ()
