"""This machine as a host: real processes, and a sudo that plays its part."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_servers import declare

from mailprov.connection import Host
from mailprov.connection.connect import open_host
from mailprov.connection.local import LocalHost
from mailprov.connection.sudo import Refused
from mailprov.errors import ConnectError, HostError
from mailprov.model import Completed, Secret


@pytest.fixture
def host() -> Host:
    return LocalHost(declare(address="local"), root=True)


def test_a_command_runs(host: Host) -> None:
    assert host.name == "mail1"
    done = host.run(("sh", "-c", "cat; echo no >&2; exit 3"), stdin=b"yes\n")
    assert done == Completed(3, b"yes\n", b"no\n")
    assert host.run(("printf", "%s", "$HOME; `id`'\n")) == Completed(0, b"$HOME; `id`'\n", b"")
    host.close()


def test_many_megabytes_go_both_ways_at_once(host: Host) -> None:
    data = os.urandom(20 * 1024 * 1024)
    assert host.run(("cat",), stdin=data) == Completed(0, data, b"")


def test_a_command_may_leave_its_stdin_unread(host: Host) -> None:
    assert host.run(("true",), stdin=bytes(20 * 1024 * 1024)) == Completed(0, b"", b"")


def test_a_command_may_close_its_output_and_work_on(host: Host) -> None:
    assert host.run(("sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 4")) == Completed(4, b"", b"")


def test_a_child_left_behind_holds_nothing_up(host: Host) -> None:
    began = time.monotonic()
    done = host.run(("sh", "-c", "sleep 8 & echo done"), stdin=bytes(1024 * 1024))
    assert done.stdout == b"done\n"
    assert time.monotonic() - began < 5


def test_a_signal_has_the_status_that_a_shell_gives_it(host: Host) -> None:
    assert host.run(("sh", "-c", "kill -9 $$")).status == 137


def test_a_short_command_is_not_waited_for(host: Host) -> None:
    began = time.monotonic()
    for _ in range(20):
        host.run(("true",), stdin=b"x")
    assert time.monotonic() - began < 2


def test_lines_are_reported_harmless(host: Host) -> None:
    lines: list[str] = []
    host.run(("printf", r"\033[31mone\033[0m\r\ntwo\a\n\nlast"), on_line=lines.append)
    assert lines == ["one", "two", "", "last"]


@pytest.mark.parametrize(("limit", "redirect"), [("64 MiB to stdout", ""), ("1 MiB to stderr", ">&2")])
def test_output_is_bounded(host: Host, limit: str, redirect: str) -> None:
    with pytest.raises(HostError, match=f"more than {limit}"):
        host.run(("sh", "-c", f"yes {redirect}"))


def test_silence_ends_the_command(host: Host, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectError, match=r"nothing came from the host for 0\.5 s during `sh -c`"):
        host.run(("sh", "-c", 'echo $$ > "$1"; exec sleep 300', "sh", str(tmp_path / "pid")), timeout=0.5)
    assert time.monotonic() - began < 2
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_command_that_does_not_exist(host: Host) -> None:
    with pytest.raises(HostError, match="cannot run /nonexistent"):
        host.run(("/nonexistent",))


def test_no_file_is_left_open(host: Host) -> None:
    host.run(("true",))
    before = list(Path("/proc/self/fd").iterdir())
    for _ in range(5):
        host.run(("cat",), stdin=b"x")
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


def test_who_is_not_root_must_become_it() -> None:
    with pytest.raises(ConnectError, match="must be root"):
        LocalHost(declare(address="local"), root=False)


def test_the_door_leads_here() -> None:
    host = open_host(declare(address="local", become=True))
    assert isinstance(host, LocalHost)


# --- sudo, played by a script (the real one: test_sudo.py) ----------------------------------------------------------

FAKE = """#!/bin/sh
# Options as mailprov gives them: [-k -S -p PROMPT] or [-n], then -- env SSH_CONNECTION=... command
echo "argv: $*" >> "$0.log"
tries=0
while [ "$1" != -- ]; do
    case $1 in
        -S) ask=yes ;;
        -p) prompt=$2; shift ;;
    esac
    shift
done
shift
if [ "$ask" = yes ] && [ ! -e "$0.nopasswd" ]; then
    while :; do
        printf %s "$prompt" >&2
        IFS= read -r word || { echo "sudo: no password was provided" >&2; exit 1; }
        [ "$word" = right ] && break
        echo "guess: $word" >> "$0.log"
        echo "Nope, my friend." >&2
        tries=$((tries + 1))
        [ $tries = 3 ] && { echo "sudo: 3 incorrect password attempts" >&2; exit 1; }
    done
elif [ "$ask" != yes ] && [ ! -e "$0.nopasswd" ]; then
    echo "sudo: a password is required" >&2; exit 1
fi
exec "$@"
"""


@pytest.fixture
def fake_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    sudo = tmp_path / "sudo"
    sudo.write_text(FAKE)
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    yield sudo
    assert "right" not in (tmp_path / "sudo.log").read_text()


def becoming(password: str | None = None) -> Host:
    secret = Secret(password) if password is not None else None
    return LocalHost(declare(address="local", become=True, become_password=secret), root=False)


@pytest.mark.parametrize("free", [False, True])
def test_the_password_reaches_sudo_and_never_the_command(fake_sudo: Path, free: bool) -> None:
    if free:
        fake_sudo.with_name("sudo.nopasswd").touch()
    data = os.urandom(1024 * 1024)
    assert becoming("right").run(("cat",), stdin=data) == Completed(0, data, b"")
    assert becoming("right").run(("sh", "-c", "cat; exit 5")) == Completed(5, b"", b"")


def test_a_wrong_password_is_guessed_once(fake_sudo: Path) -> None:
    with pytest.raises(Refused, match="refuses the become password"):
        becoming("wrong").run(("cat",), stdin=b"a\nb\nc\n")
    assert fake_sudo.with_name("sudo.log").read_text().count("guess: ") == 1


def test_a_password_that_nobody_declared(fake_sudo: Path) -> None:
    with pytest.raises(Refused, match="none was declared"):
        becoming().run(("true",))


def test_sudo_without_a_password(fake_sudo: Path) -> None:
    fake_sudo.with_name("sudo.nopasswd").touch()
    lines: list[str] = []
    assert becoming().run(("sh", "-c", "cat; exit 1"), stdin=b"in\n", on_line=lines.append) == Completed(
        1, b"in\n", b""
    )
    assert lines == ["in"]


def test_no_sudo_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="has no sudo"):
        becoming().run(("true",))
