"""What Postfix counts of an alias is what counts: how many addresses it becomes in the end."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from spec_tools import SMALL, Load

from mailprov.errors import SpecError


def declared(aliases: Iterable[tuple[str, Iterable[str]]]) -> str:
    lines = (f"  - {{address: {name}@example.com, to: [{', '.join(to)}]}}\n" for name, to in aliases)
    return SMALL + "aliases:\n" + "".join(lines)


def people(count: int, first: int = 0) -> list[str]:
    return [f"p{number}@example.org" for number in range(first, first + count)]


def refused(aliases: Iterable[tuple[str, Iterable[str]]], load_text: Load) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_text(declared(aliases))
    return [each.what for each in caught.value.errors]


def test_a_list_of_600_that_holds_a_list_of_600(load_text: Load) -> None:
    lists = [("inner", people(600)), ("outer", [*people(599, 600), "inner@example.com"])]
    (said,) = refused(lists, load_text)
    assert said.startswith("outer@example.com becomes 1,199 addresses (inner@example.com alone is 600)")


@pytest.mark.parametrize("way", ["inner@example.com", "INNER+note@example.com", "nobody@example.com"])
def test_every_way_to_a_list_counts(way: str, load_text: Load) -> None:
    text = declared([("inner", people(600)), ("outer", [*people(401, 600), way])])
    with pytest.raises(SpecError, match=r"outer@example.com becomes 1,001 addresses"):
        load_text(text.replace("catch_all: alice@", "catch_all: inner@"))
    load_text(declared([("inner", people(600)), ("outer", [*people(400, 600), way])]))


def test_who_is_in_two_lists_counts_twice(load_text: Load) -> None:
    lists = [("a", people(501)), ("b", people(501)), ("both", ["a@example.com", "b@example.com"])]
    (said,) = refused(lists, load_text)
    assert said.startswith("both@example.com becomes 1,002 addresses")


def test_lists_that_double_at_every_level(load_text: Load) -> None:
    lists = [("x0", people(2))]
    lists += [(f"x{level}", [f"x{level - 1}@example.com", f"x{level - 1}+b@example.com"]) for level in range(1, 300)]
    (said,) = refused(lists, load_text)
    assert said.startswith("x9@example.com becomes 1,024 addresses (x8@example.com alone is 512)")


def test_a_long_way_to_one_mailbox(load_text: Load) -> None:
    chain = [(f"x{step}", [f"x{step + 1}@example.com"]) for step in range(1000)]
    (said,) = refused([*chain, ("x1000", people(1))], load_text)
    assert said.startswith("x1@example.com leads on 1,000 times")
    load_text(declared([*chain[:998], ("x998", people(1))]))


def test_a_circle_is_told_once(load_text: Load) -> None:
    (said,) = refused([("a", [*people(990), "b@example.com"]), ("b", ["a@example.com"])], load_text)
    assert "in a circle" in said
