"""What a host says is bounded and harmless before anybody sees it; and the host that is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.connection import Host
from mailprov.connection.fake import FakeHost
from mailprov.connection.output import LINE_LIMIT, STDERR_LIMIT, STDOUT_LIMIT, Output, excerpt, printable
from mailprov.errors import ConnectError, HostError
from mailprov.model import Completed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("例子 ünï", "例子 ünï"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\x", "x"),
        ("\x9b2Jx", "x"),
        ("a\tb\x00\x08c\rd", "a bc d"),
        ("\u202eevil\u2066", "evil"),
        ("two\nlines", "two lines"),
        ("\x1b", ""),
        ("\x1b[", ""),
        ("\ud800x", "x"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(), max_size=200))
def test_printable_is_printable_and_changes_nothing_twice(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable() or shown == ""
    assert printable(shown) == shown


def test_long_text_is_cut() -> None:
    assert printable("x" * 100, 10) == "x" * 10 + "…"
    assert excerpt(b"first\n\x1b[31m second \n\n\xff\n") == "first; second; \ufffd"
    assert len(excerpt(b"x" * 10_000)) == 301


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_lines_do_not_depend_on_how_they_arrive(parts: list[bytes]) -> None:
    def lines(chunks: list[bytes]) -> list[str]:
        seen: list[str] = []
        output = Output("host", seen.append)
        for chunk in chunks:
            output.feed_stdout(chunk)
        assert output.completed(0, b"").stdout == b"".join(chunks)
        return seen

    whole = b"".join(parts)
    assert lines(parts) == lines([whole])
    assert len(lines([whole])) == whole.count(b"\n") + (not whole.endswith(b"\n") and whole != b"")


def test_a_line_without_end_costs_no_more_than_its_length() -> None:
    seen: list[str] = []
    output = Output("host", seen.append)
    began = time.monotonic()
    for _ in range(1000):
        output.feed_stdout(b"x" * 32_768)
    assert not seen
    output.completed(0, b"")
    assert time.monotonic() - began < 3
    assert [len(line) for line in seen] == [LINE_LIMIT + 1]


def test_the_bounds() -> None:
    output = Output("mail1")
    output.feed_stdout(bytes(STDOUT_LIMIT))
    output.feed_stderr(bytes(STDERR_LIMIT))
    with pytest.raises(HostError, match="64 MiB to stdout") as caught:
        output.feed_stdout(b"x")
    assert caught.value.where == "mail1"
    with pytest.raises(HostError, match="1 MiB to stderr"):
        output.feed_stderr(b"x")


@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_comes_before_the_mark_is_dropped(size: int) -> None:
    seen: list[str] = []
    output = Output("host", seen.append, mark=b"MARK")
    data = b"Welcome!\nMAR\nMARK\none\nMARK\ntwo"
    assert not output.begun
    for start in range(0, len(data), size):
        output.feed_stdout(data[start : start + size])
    assert output.begun
    output.feed_stderr(b"a PROMPT b")
    assert output.completed(1, b"a b") == Completed(1, b"one\nMARK\ntwo", b"a b")
    assert seen == ["one", "MARK", "two"]


def test_without_the_mark_there_is_no_output() -> None:
    seen: list[str] = []
    output = Output("host", seen.append, mark=b"MARK")
    output.feed_stdout(b"Welcome!\n")
    assert (output.completed(1, b"").stdout, seen) == (b"", [])
    with pytest.raises(HostError, match="1 MiB to stdout"):
        output.feed_stdout(bytes(STDERR_LIMIT))


# --- the host that is none ------------------------------------------------------------------------------------------


def test_a_fake_host_answers_in_order() -> None:
    fake = FakeHost("mail1", b"one\n", Completed(3, b"", b"no"), ConnectError("gone"), lambda call: call.stdin[::-1])
    host: Host = fake
    lines: list[str] = []
    assert host.name == "mail1"
    assert host.run(("a",), on_line=lines.append) == Completed(0, b"one\n", b"")
    assert host.run(("b",)).status == 3
    with pytest.raises(ConnectError, match="gone"):
        host.run(("c",))
    assert host.run(("d",), stdin=b"abc").stdout == b"cba"
    assert host.run(("e",), stdin=b"de", timeout=5).stdout == b"ed"
    host.close()
    assert lines == ["one"]
    assert [call.argv[0] for call in fake.calls] == list("abcde")
    assert (fake.calls[-1].stdin, fake.calls[-1].timeout, fake.closed) == (b"de", 5, True)


def test_a_fake_host_does_not_make_answers_up() -> None:
    host = FakeHost("mail1", b"one")
    host.run(("a",))
    with pytest.raises(LookupError, match="no answer left"):
        host.run(("b",))
