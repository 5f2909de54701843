"""Characters that nobody sees: where they do nothing they are refused, where they are part of the writing they stay."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest
from spec_tools import SMALL, Load

from mailprov.declaration.addresses import domain
from mailprov.declaration.cells import initial
from mailprov.declaration.diagnostics import InvalidValue
from mailprov.declaration.staff import preview
from mailprov.declaration.unseen import unseen, without_unseen
from mailprov.declaration.values import display_name
from mailprov.errors import SpecError

HONEST = (
    *("می\u200cخواهم", "کارد\u200cها", "क\u094d\u200dष", "क\u094d\u200c", "ක\u0dca\u200dෂ"),
    *("e\u0301", "王伟", "O'Brien"),
    *("👨\u200d👩\u200d👧", "❤\ufe0f", "👩🏽\u200d🚀", "葛\U000e0100", "ᠠ\u180bᠠ", "A\u00a0B", "陳\u3000大文"),
)
HIDDEN = (
    *("\u061c", "\u200b", "\u200c", "\u200d", "\u200e", "\u202e", "\u2060", "\u2064", "\u2066", "\ufeff", "\u00ad"),
    *("\u034f", "\u115f", "\u3164", "\uffa0", "\u180e", "\ufe0f", "\U000e0041", "\U000e0100", "\ufff9", "\u2800"),
)


@pytest.mark.parametrize("text", HONEST)
def test_what_is_part_of_the_writing_stays(text: str, load_text: Load) -> None:
    assert not unseen(text)
    assert display_name(text) == unicodedata.normalize("NFC", text)
    spec = load_text(SMALL.replace("{address: alice", f"{{name: {text}, address: alice"))
    assert spec.users[0].name == display_name(text)


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize("text", ["A{}B", "{}王伟", "伟A{}"])
def test_what_does_nothing_is_refused(text: str, hidden: str, load_text: Load, tmp_path: Path) -> None:
    name, code = text.format(hidden), f"U+{ord(hidden):04X}"
    for read in (display_name, domain, lambda cell: initial(cell, "x")):
        with pytest.raises(InvalidValue) as caught:
            read(name if read is not domain else f"{name}.example")
        assert code in caught.value.what
    with pytest.raises(SpecError) as error:
        load_text(SMALL.replace("{address: alice", f'{{name: "{name}", address: alice'))
    assert code in str(error.value)
    (tmp_path / "staff.csv").write_text(f"address,name,department\na@b.example,{name},{name}\n", encoding="utf-8")
    assert [code in each.what for each in preview(tmp_path / "staff.csv", "", "").errors] == [True, True]


def test_every_format_character_is_known() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if unicodedata.category(char) in ("Cf", "Cc") and unicodedata.name(char, "")[:6] not in ("ARABIC", "SYRIAC"):
            assert unseen(f"A{char}B") == char, hex(code)
            assert without_unseen(f"A{char}B") in ("AB", "A B")
