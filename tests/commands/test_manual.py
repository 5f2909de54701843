"""mailprov(1) has every command and option, and programs that read manual pages find no fault with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mailprov.commands.manual import escaped, manual
from mailprov.commands.root import cli, every
from mailprov.errors import Exit

PAGE = Path(__file__).parents[2] / "docs/mailprov.1"


@pytest.fixture(scope="module")
def shown() -> str:
    """The page as a reader sees it, in one line."""
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(("mandoc", "-Tutf8", "-Owidth=200", PAGE), capture_output=True, check=True)
    # a terminal's bold and underlined: a letter, a backspace, and a letter in the same place
    return " ".join(re.sub(".\b", "", done.stdout.decode()).split())


def commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        yield from commands(f"{path} {name}", below)


def test_every_command_and_option_is_there(shown: str) -> None:
    for name, command in every().items():
        for path, each in commands(f"mailprov {name}", command):
            _, found, rest = shown.partition(f"{path} {path} ")
            assert found, path
            for option in each.params:
                if isinstance(option, click.Option) and not option.hidden:
                    assert option.opts[-1] in rest, f"{path} {option.opts[-1]}"


def test_it_says_what_apropos_and_scripts_look_for(shown: str) -> None:
    assert "NAME mailprov - turn Debian hosts into mail servers from one YAML file SYNOPSIS" in shown
    _, _, status = shown.partition("EXIT STATUS ")
    for code in Exit:
        assert f"{code.value} " in status


@pytest.mark.parametrize("reader", ["mandoc -Tlint -Wstyle", "man --warnings -l", "groff -ww -man -Tutf8"])
def test_readers_of_manual_pages_find_no_fault(reader: str) -> None:
    """Examples keep their lines, and may be longer than 80 bytes."""
    if shutil.which(reader.split()[0]) is None:
        pytest.skip(f"{reader.split()[0]} is not installed")
    environ = os.environ | {"MANPAGER": "cat", "LC_ALL": "C.UTF-8"}
    done = subprocess.run((*reader.split(), PAGE), capture_output=True, text=True, check=False, env=environ)
    said = (done.stdout if "lint" in reader else "") + done.stderr
    assert [line for line in said.splitlines() if "longer than 80 bytes" not in line] == []


def test_no_text_is_read_as_a_macro() -> None:
    assert escaped(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert escaped("'br") == "\\(aqbr"
    assert escaped(r"\fB --yes") == "\\efB \\-\\-yes"
    assert escaped("邮箱") == "\\[u90AE]\\[u7BB1]"


def test_a_page_depends_on_nothing_but_what_it_is_made_from() -> None:
    one, other = (manual(cli, every(), "1.2.3", "2026-01-02") for _ in range(2))
    assert one == other and one.isascii()
    assert one.startswith('.TH MAILPROV 1 "2026-01-02" "mailprov 1.2.3" ')


def test_making_the_page_changes_no_help_page() -> None:
    """click keeps the help option that it made for a command first: made without our settings, it has no `-h`."""
    made = (
        "from click.testing import CliRunner\n"
        "from mailprov.commands.manual import manual\n"
        "from mailprov.commands.root import cli, every\n"
        "manual(cli, every(), '1', '2026-01-02')\n"
        "print(CliRunner().invoke(cli, ['dns', '--help']).output)"
    )
    done = subprocess.run((sys.executable, "-c", made), capture_output=True, check=True, text=True)
    assert "-h, --help" in done.stdout
