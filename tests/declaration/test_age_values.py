"""Age values in the text of a declaration: found with their places, exchanged without touching anything else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.declaration.age_values import AgeValue, age_values, exchanged
from mailprov.declaration.yamltext import read
from mailprov.encrypted import armour
from mailprov.errors import FileError, SpecError

OLD, NEW = (armour.MAGIC + letter * count for letter, count in ((b"o", 90), (b"n", 200)))
LINES = armour.armoured(OLD).splitlines()
ARMOUR = re.compile(rf"{armour.HEADER}.*?{armour.FOOTER}", re.S)


def block(mark: str, indent: int, ending: str = "\n") -> str:
    return mark + "".join(f"{ending}{' ' * indent}{line}" for line in LINES)


STYLES = {
    "literal": block("|", 4),
    "literal, chomped, with a comment": block("|-  # hers", 6),
    "literal, indented by a number": block("|2+", 4),
    "folded": block(">-", 3),
    "anchored": block("&anna |", 4),
    "CRLF": block("|", 4, "\r\n"),
    "plain": "\n    ".join(LINES),
    "single quotes": "'" + "\n     ".join(LINES) + "'",
    "double quotes": '"' + "\n   ".join(LINES) + '"',
    "escapes": '"' + "\\n".join(LINES) + '\\n"',
    "escapes and continued lines": '"' + "\\n\\\n     ".join(LINES) + '"',
}
"""an age text as it may stand behind `  age: `"""


def around(value: str, flow: bool = False) -> str:
    inner = f"{{age: {value}, }}" if flow else f"\n  age: {value}"
    return f"# Ä comment 中\na: [1, {{b: é}}]  # another\nsecret: {inner}\n\n# the last\nz: {{age: {{file: x/y.age}}}}"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("head", ["", "\ufeff"], ids=["", "BOM"])
def test_in_every_style_only_the_value_changes(style: str, head: str) -> None:
    text = head + around(STYLES[style])
    value, file = age_values(text, "mail.yaml")
    assert armour.unarmoured(value.text) == OLD
    assert (value.origin.line, value.origin.column, file.file) == (4, 3, "x/y.age")
    made = exchanged(text, "mail.yaml", {value: NEW})
    assert ARMOUR.sub("", made) == ARMOUR.sub("", text)
    assert armour.unarmoured(read(made, "f").root["secret"]["age"]) == NEW
    assert armour.unarmoured(age_values(made, "mail.yaml")[0].text) == NEW
    # there and back again: not a character is lost
    assert exchanged(made, "mail.yaml", {age_values(made, "mail.yaml")[0]: OLD}) == text


@pytest.mark.parametrize("style", ["single quotes", "double quotes", "escapes", "escapes and continued lines"])
def test_within_braces(style: str) -> None:
    text = around(STYLES[style], flow=True)
    value, _ = age_values(text, "mail.yaml")
    assert value.flow
    made = exchanged(text, "mail.yaml", {value: NEW})
    assert ARMOUR.sub("", made) == ARMOUR.sub("", text)


def test_what_is_read_has_no_line_break_anywhere() -> None:
    """So no place where a text goes has to fear one: an armour that is misplaced is no address, no name, no path."""
    found = read(around(STYLES["literal"]) + f"\nname: {block('|', 4)}\n", "mail.yaml")
    assert found.root["secret"]["age"] == found.root["name"] == armour.one_line(armour.armoured(OLD))
    for other in ("hunter2", armour.HEADER.lower(), "x" + LINES[0]):
        with pytest.raises(SpecError, match="line break"):
            read(f"a: |\n  {other}\n  b\n", "mail.yaml")
    with pytest.raises(SpecError, match="invisible character"):
        read(f'a: "{LINES[0]}\\t"\n', "mail.yaml")


def test_a_long_one_is_no_missing_quotation_mark() -> None:
    long = armour.armoured(armour.MAGIC + bytes(60_000))
    text = "age: |\n" + "".join(f"  {line}\n" for line in long.splitlines())
    assert armour.unarmoured(read(text, "mail.yaml").root["age"])[-60_000:] == bytes(60_000)
    with pytest.raises(SpecError, match="is a quotation mark missing"):
        read(text + f"  {'A' * armour.LONGEST}\n", "mail.yaml")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\n  age: TODO  # hers\nb: 1\n", "a:\n  age: |  # hers\n    {}\nb: 1\n"),
        ("a:\n  age:\nb: 1\n", "a:\n  age: |\n    {}\nb: 1\n"),
        ("a:\n  age: ''", "a:\n  age: |\n    {}"),
        ("- - age: TODO\n", "- - age: |\n      {}\n"),
        ("a:\r\n  age: TODO # x\r\nb: 1\r\n", "a:\r\n  age: | # x\r\n    {}\r\nb: 1\r\n"),
        ("  a: {b: {age: TODO}} # x\n", '  a: {b: {age: "{}"}} # x\n'),
        ("- {b: 1, age: }\n", '- {b: 1, age: "{}"}\n'),
        ('a: {age: "TODO", b: 2}\n', 'a: {age: "{}", b: 2}\n'),
    ],
)
def test_a_place_is_filled_in(before: str, after: str) -> None:
    (value,) = age_values(before, "mail.yaml")
    made = exchanged(before, "mail.yaml", {value: NEW})
    shape = re.compile(rf"\s*{armour.HEADER}.*?{armour.FOOTER}", re.S)
    assert shape.sub("{}", made) == re.sub(r"\s*\{\}", "{}", after)
    assert armour.unarmoured(age_values(made, "mail.yaml")[0].text) == NEW
    assert max(map(len, made.splitlines())) < 120
    ending = "\r\n" if "\r\n" in before else "\n"
    assert made.count("\n") == made.count(ending)


@pytest.mark.parametrize("text", ["a:\n  age: |\n    some\n    text\n", 'a: {age: "some\n  text"}\n'])
def test_what_is_no_age_text_is_not_overwritten(text: str) -> None:
    values = age_values(text, "mail.yaml")
    with pytest.raises(FileError, match="this value is no age text") as raised:
        exchanged(text, "mail.yaml", {values[0]: NEW})
    assert raised.value.where.startswith("mail.yaml:")


def test_a_layout_that_nobody_has_thought_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is put there is read again before anything is written."""
    from mailprov.declaration import age_values as module

    text = around(STYLES["literal"])
    (value, _) = age_values(text, "mail.yaml")
    put = module._put
    for damage in (
        lambda end, new: (end, new + "\n  b: 1"),
        lambda end, new: (end + 5, new),
        lambda end, new: (end, new.replace("\n    Y", "\n    Z", 1)),
    ):
        monkeypatch.setattr(module, "_put", lambda *given, damage=damage: damage(*put(*given)))
        with pytest.raises(FileError, match="cannot be exchanged"):
            exchanged(text, "mail.yaml", {value: NEW})


def test_aliases_are_the_value_that_they_mean() -> None:
    text = f"a: &one\n  age: {block('&text |', 4)}\nb: *one\nc: {{age: *text}}\n"
    (value,) = age_values(text, "mail.yaml")
    root = read(exchanged(text, "mail.yaml", {value: NEW}), "mail.yaml").root
    assert {armour.unarmoured(root[key]["age"]) for key in "abc"} == {NEW}


KEYS = st.sampled_from(["a", "age", "b", "file", "中"])
PLAIN = st.sampled_from(["x", "1", "'q # q'", '"é # x"', "[1, {age: x}]", "{age: {file: f}, b: 2}"])


@given(
    st.lists(st.tuples(KEYS, PLAIN | st.sampled_from(sorted(STYLES.values())), st.booleans()), max_size=8), st.data()
)
def test_any_document(members: list[tuple[str, str, bool]], data: st.DataObject) -> None:
    """Each value that is an age text can be exchanged alone, and all of them together; nothing else moves."""
    text = "".join(
        f"k{number}:  # {key}\n  {key}: {value}\n" + "\n# between\n" * spaced
        for number, (key, value, spaced) in enumerate(members)
    )
    values = [value for value in age_values(text, "f") if value.text.startswith(armour.HEADER)]
    assert len(values) == sum(key == "age" and value in STYLES.values() for key, value, _ in members)
    chosen: list[AgeValue] = data.draw(st.lists(st.sampled_from(values), unique=True)) if values else []
    made = exchanged(text, "f", dict.fromkeys(chosen, NEW)) if chosen else text
    assert ARMOUR.sub("", made) == ARMOUR.sub("", text)
    after = age_values(made, "f")
    assert [value.origin.column for value in after] == [value.origin.column for value in age_values(text, "f")]
    back = [value for value in after if value.text.startswith(armour.HEADER) and armour.unarmoured(value.text) == NEW]
    assert len(back) == len(chosen)
    assert (exchanged(made, "f", dict.fromkeys(back, OLD)) if back else made) == text
