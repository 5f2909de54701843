"""The YAML reader: what plain scalars mean, where things stand, and what hostile files cost."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from spec_tools import Load

from mailprov.declaration.yamltext import read
from mailprov.errors import SpecError


def value(text: str) -> Any:
    return read(text, "mail.yaml").root


def diagnostic(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(text, "mail.yaml")
    return str(caught.value.errors[0])


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-5", -5),
        ("110", 110),
        ("1.5", 1.5),
        ("-0.25", -0.25),
    ],
)
def test_scalars_with_a_meaning(text: str, meaning: object) -> None:
    found = value(f"a: {text}")["a"]
    assert found == meaning
    assert type(found) is type(meaning)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "no", "on", "off", "y", "n", "True", "TRUE", "Null", "0123", "00", "1e3", "1.5e3", "0x10", "0o17"),
        *("1_000", "2030-06-01", "22:30", "1:2:3", ".5", "5.", "+5", ".inf", ".nan", "١٢", "9" * 19, "=", "1.2.3.4"),
    ],
)
def test_everything_else_is_text(text: str) -> None:
    assert value(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("text", ['"true"', "'5'", '"null"', '""', "'~'"])
def test_quoted_is_text(text: str) -> None:
    assert value(f"a: {text}") == {"a": text[1:-1]}


def test_keys_are_text() -> None:
    assert value("1: a\ntrue: b\nnull: c\n") == {"1": "a", "true": "b", "null": "c"}


def test_places() -> None:
    document = read("a: 1\nbé:\n  - x\n  - {k: v, q: [1, 22]}\nc:\n", "f")
    places = {
        (): "f:1:1",
        ("a",): "f:1:4",
        ("bé",): "f:3:3",
        ("bé", 0): "f:3:5",
        ("bé", 1, "q"): "f:4:15",
        ("bé", 1, "q", 1): "f:4:19",
        ("bé", 7): "f:3:3",
        ("bé", 1, "nothing", 5): "f:4:5",
    }
    assert {path: str(document.origin(path)) for path in places} == places
    assert str(document.origin(("bé", 1, "q"), of_key=True)) == "f:4:12"
    assert str(document.origin(("c",), of_key=True)) == "f:5:1"


def test_a_byte_order_mark_is_accepted_and_shifts_nothing() -> None:
    document = read("\ufeffa: 1", "f")
    assert document.root == {"a": 1}
    assert str(document.origin(("a",))) == "f:1:4"


def test_windows_line_ends() -> None:
    assert value("a: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


def test_aliases_share_their_value() -> None:
    assert value("a: &x [1, 2]\nb: *x\nc: &y 5\nd: *y\n") == {"a": [1, 2], "b": [1, 2], "c": 5, "d": 5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 10_000, "nested more than 64 levels"),
        ("- " * 10_000, "nested more than 64 levels"),
        ("? " * 10_000, "a key must be plain text"),
        ("{" * 500, "a key must be plain text"),
        ("a:\n" + "".join(" " * i + "a:\n" for i in range(1, 200)), "nested more than 64 levels"),
        ("x0: &x0 [1]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 80)), "nested more than 64 levels"),
        ("a: &a [*a]", "`*a` contains itself"),
        ("a: &a {b: {c: *a}}", "`*a` contains itself"),
        ("a: *b", "`*b` refers to nothing"),
        ("{{ x }}: 1", "a key must be plain text"),
        ("[a]: 1", "a key must be plain text"),
        ("a: &a x\n*a : 1", "a key must be plain text"),
        ("a: 1\n---\nb: 1", "a second document"),
        ("a: !!str x", "tags (`!…`) are not allowed"),
        ("a: ! x", "tags (`!…`) are not allowed"),
        ("a: !local {}", "tags (`!…`) are not allowed"),
        ("a: !!python/name:os.system []", "tags (`!…`) are not allowed"),
        ("a: x\x00", "U+0000"),
        ("a: x\x1b[31m", "U+001B"),
        ("a: x\x85", "U+0085"),
        ("a: x # \u202e", "U+202E"),
        ("a: \ud800", "U+D800"),
        ('a: "\\x1b"', "U+001B"),
        ('a: "\\u200f"', "U+200F"),
        ('"a\\0": 1', "U+0000"),
        ("a: |\n  x\n", "line break"),
        ('a: "x\\ny"', "line break"),
        ("a: b\na: c", "`a` stands twice: here and in line 1"),
        ("a: {<<: {b: 1}}", "merge keys"),
        ("@a", "put a text that begins with @"),
        ("a: 'b", "not valid YAML"),
        ("%YAML 9.9\n---\na: 1", "not valid YAML"),
        ("a: 1\n b: 2", "not valid YAML"),
    ],
)
def test_refused(text: str, words: str) -> None:
    assert words in diagnostic(text)


def test_a_quoted_merge_key_is_a_key() -> None:
    assert value('"<<": 1') == {"<<": 1}


def test_many_complaints_at_once_but_not_endlessly() -> None:
    with pytest.raises(SpecError) as caught:
        read("\n".join(f"a: {i}" for i in range(1000)), "f")
    assert len(caught.value.errors) == 100


def bomb(width: int = 9, levels: int = 12) -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(rows)


def test_a_bomb_of_aliases() -> None:
    assert "aliases grow this file by more than" in diagnostic(bomb())


HOSTILE = {
    "bomb": lambda: bomb().encode(),
    "depth": lambda: b"[" * 10_000,
    "deep mappings": lambda: b"a: {" * 10_000,
    "indentation": lambda: b"".join(b" " * i + b"a:\n" for i in range(3000)),
    "50 MB": lambda: b"# " + b"x" * 50_000_000,
    "100 MB of nothing": lambda: b"\n" * 100_000_000,
    "one long key": lambda: b"x" * 5_000_000 + b": 1",
    "many keys": lambda: b"".join(b"key%d: 1\n" % i for i in range(50_000)),
    "many bad users": lambda: b"mailprov: 1\nusers:\n" + b"- {adress: x}\n" * 20_000,
    "many duplicates": lambda: b"a: 1\n" * 100_000,
    "many anchors": lambda: b"mailprov: 1\nhosts:\n" + b"".join(b"  h%d: &a%d {}\n" % (i, i) for i in range(20_000)),
    "control characters": lambda: b"\x01" * 1_000_000,
    "random bytes": lambda: bytes(range(256)) * 4000,
    "quotes": lambda: b"'" * 1_000_000,
    "dashes": lambda: b"- " * 500_000,
    "commas": lambda: b"a: [" + b"," * 1_000_000,
    "colons": lambda: b":" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_little(name: str, tmp_path: Path) -> None:
    """An error within 200 MB, in a process of its own; a minute is there to notice a bomb, not to time anything."""
    path = tmp_path / "mail.yaml"
    path.write_bytes(HOSTILE[name]())
    script = """
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from mailprov.errors import SpecError
        from mailprov.declaration import load
        try:
            load(Path(sys.argv[1]), environ={}, now=datetime.now(UTC))
        except SpecError as error:
            str(error)
            status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's memory too
            print("refused", next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("refused"), done.stderr[-2000:]
    assert int(done.stdout.split()[1]) < 200 * 1024


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"mailprov: 1\nhosts: {}\n# caf\xe9\n", "mail.yaml:3:6: the byte 0xE9 is not UTF-8"),
        ("mailprov: 1".encode("utf-16"), "this file is UTF-16"),
        (b"\xff\xfe", "this file is UTF-16"),
        (b"", "this file is empty"),
        (b"\xef\xbb\xbf  \n", "this file is empty"),
        (b"PK\x03\x04\xff", "is not UTF-8"),
        (b"just words", "this is not a mailprov file"),
        (b"42", "this is not a mailprov file"),
    ],
)
def test_files_that_are_something_else(data: bytes, words: str, load_text: Load) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(data)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mailprov: 1\nhosts: {a: 'b}\ndomains: []\n", ("2:12: not valid YAML", "check the indentation")),
        ("mailprov: 1\nhosts:\n  a:\n    address： 192.0.2.1\n    hostname: b\n", ("`：` at 4:12", "write :")),
        ("mailprov: 1\nhosts: {a: {address: 192.0.2.1，hostname: b}}\n", ("`，` at 2:31", "write ,")),
        ("mailprov: 1\nusers: ［{address: a@b}]\n", ("`［` at 2:8", "write [")),
        ("mailprov: 1\nhosts:\n\u3000a: b\n c: d\n", ("at 3:1", "write a blank")),
        ("mailprov: 1\ndomains：\n  - a\n", ("`：` at 2:8", "write :")),
    ],
)
def test_what_an_input_method_writes_is_named(load_text: Load, text: str, said: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(text)
    for words in said:
        assert words in str(caught.value)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    from spec_tools import NOW

    from mailprov.declaration import load

    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "is not a regular file"),
        (tmp_path / "pipe", "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path / "absent", "No such file"),
        (Path("a" * 5000), "cannot be read"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(SpecError) as caught:
            load(path, environ={}, now=NOW)
        assert words in str(caught.value)


SCRAPS = st.sampled_from(
    [
        "a",
        ":",
        " ",
        "\n",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&x",
        "*x",
        "!t",
        "'",
        '"',
        "#",
        "|",
        ">",
        "\t",
        "?",
        "<<",
        "~",
    ]
)


@given(st.one_of(st.text(), st.lists(SCRAPS, max_size=40).map("".join)))
@example("\ufeff")
@example("---\n...\n---")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document = read(text, "f")
    except SpecError as error:
        assert error.errors
        assert all(each.origin.line >= 1 and each.origin.column >= 1 for each in error.errors)
        str(error)
    else:
        document.origin(())
