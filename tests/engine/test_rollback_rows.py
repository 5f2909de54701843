"""What a kept copy of a table holds, lines that are no rows included: its digest is of all of them."""

from __future__ import annotations

import pytest
from simulated_host import every_part, sha256

from mailprov.engine import rollback
from mailprov.resources.accounts import Accounts
from mailprov.resources.maps import Map
from mailprov.standard import REGISTRY

LINES = ["# somebody's comment", "a@example.com:x:::managed:::", "no row"]


@pytest.mark.parametrize("lines", [LINES, LINES[1:2], LINES[:1], []])
def test_a_copy_is_known_by_all_that_is_in_it(lines: list[str]) -> None:
    content = "".join(f"{line}\n" for line in sorted(lines))
    item = Accounts("/etc/accounts", "", kept="/kept/1")
    (made,) = rollback.told(REGISTRY, {item.key: item}, {"kept0": every_part(content, 1)}).values()
    assert isinstance(made, Accounts) and made.rows is not None
    assert made.digest == sha256(content)
    assert list(made.rows.reveal()) == [line.split(":")[0] for line in lines if line.startswith("a@")]


def test_so_is_that_of_a_map() -> None:
    content = "# comment\na@example.com b@example.com\n"
    item = Map("/etc/map", "", kept="/kept/1")
    (made,) = rollback.told(REGISTRY, {item.key: item}, {"kept0": every_part(content, 1)}).values()
    assert isinstance(made, Map) and made.rows is not None
    assert made.rows.digest() == sha256(content)  # type: ignore[union-attr]
