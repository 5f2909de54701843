"""sudo on a real Debian: what it says, what it passes on, and that no password leaves its way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_servers import declare

from mailprov.connection.session import SshHost
from mailprov.connection.ssh import connect
from mailprov.connection.sshconfig import SshConfig
from mailprov.connection.sudo import Refused
from mailprov.errors import ConnectError
from mailprov.lab import LabHost
from mailprov.model import Completed, Secret

pytestmark = pytest.mark.host

PASSWORD = "canary pass'wörd$(id)"
SUDOERS = {
    "free": "free ALL=(ALL) NOPASSWD: ALL",
    "asked": "asked ALL=(ALL) ALL",
    "cached": "cached ALL=(ALL) ALL\nDefaults:cached timestamp_type=global",
    "insulted": 'insulted ALL=(ALL) ALL\nDefaults:insulted badpass_message="Nein.", passwd_tries=5, lecture=always',
    "terminal": "terminal ALL=(ALL) NOPASSWD: ALL\nDefaults:terminal requiretty",
    # Without log_output: sudo 1.9.13 then loses the end of a long output, over SSH or not.
    "pty": "pty ALL=(ALL) ALL\nDefaults:pty use_pty",
    "narrow": "narrow ALL=(ALL) NOPASSWD: /usr/bin/id",
    "stranger": "",
}

_PREPARE = r"""
set -e
while read -r user; do
    useradd --create-home --shell /bin/bash "$user"
    printf '%s:%s\n' "$user" "$PASSWORD" | chpasswd
    install -d -m 700 -o "$user" "/home/$user/.ssh"
    install -m 600 -o "$user" /root/.ssh/authorized_keys "/home/$user/.ssh/authorized_keys"
done
"""


@pytest.fixture(scope="module")
def machine(every_machine: LabHost) -> LabHost:
    machine = every_machine
    users = "".join(f"{user}\n" for user in SUDOERS).encode()
    machine.run(("env", f"PASSWORD={PASSWORD}", "sh", "-c", _PREPARE), stdin=users)
    text = "\n".join(SUDOERS.values()) + "\n"
    machine.run(
        ("sh", "-c", "cat > /etc/sudoers.d/test; chmod 440 /etc/sudoers.d/test; visudo -c"), stdin=text.encode()
    )
    return machine


def become(machine: LabHost, user: str, password: str | None = None) -> SshHost:
    spec = declare(
        address=machine.address,
        become=True,
        become_password=Secret(password) if password is not None else None,
        user=user,
        port=22,
        identity_file=machine.identity_file,
        known_hosts=machine.known_hosts,
    )
    return connect(spec, config=SshConfig(home=Path("/nonexistent"), user="me"))


WAYS = [("free", None), ("free", PASSWORD), ("asked", PASSWORD), ("cached", PASSWORD), ("pty", PASSWORD)]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{'password' if way[1] else 'nothing'}")
def host(machine: LabHost, request: pytest.FixtureRequest) -> Iterator[SshHost]:
    with become(machine, *request.param) as host:
        yield host


def test_the_command_is_roots(host: SshHost, machine: LabHost) -> None:
    for _ in range(3):
        assert host.run(("id", "-u")).stdout == b"0\n"
    *_, address, port = host.run(("sh", "-c", "echo $SSH_CONNECTION")).stdout.decode().split()
    assert (address, port) == (machine.address, "22")


def test_stdin_and_output_pass_unchanged(host: SshHost) -> None:
    data = os.urandom(5 * 1024 * 1024)  # more than a window of SSH
    assert host.run(("cat",), stdin=data).stdout == data
    done = host.run(("sh", "-c", "cat; echo error >&2; exit 7"))
    assert (done.status, done.stdout) == (7, b"")
    assert done.stderr.endswith(b"error\n")
    assert b"mailprov-begins" not in done.stderr


def test_hostile_words_pass_unchanged(host: SshHost) -> None:
    words = ("'", '"', "$HOME", "`id`", "a\nb", "\\", "*", "", "--", "-n", "日本")
    done = host.run(("printf", r"%s\0", *words))
    assert done.stdout == b"".join(word.encode() + b"\0" for word in words)


def test_lines_of_the_command_only(host: SshHost) -> None:
    lines: list[str] = []
    host.run(("printf", r"a\nb\n"), on_line=lines.append)
    assert lines == ["a", "b"]


def test_the_password_is_seen_nowhere(machine: LabHost) -> None:
    look = "cat /proc/*/cmdline /proc/*/environ; env; set; cat; journalctl --no-pager"
    for user in ("asked", "free", "cached", "pty"):
        with become(machine, user, PASSWORD) as host:
            done = host.run(("bash", "-c", look))
            assert b"canary" not in done.stdout + done.stderr


def test_nothing_stays_behind_for_the_next(machine: LabHost) -> None:
    with become(machine, "asked", PASSWORD) as host:
        host.run(("true",))
    with become(machine, "asked") as host, pytest.raises(Refused):
        host.run(("true",))


@pytest.mark.parametrize(
    ("user", "password", "what"),
    [
        ("asked", None, "sudo asks for a password, and none was declared"),
        ("asked", "canary-wrong", "sudo refuses the become password"),
        ("insulted", "canary-wrong", "sudo refuses the become password"),
        ("terminal", None, "insists on a terminal"),
        ("narrow", None, "may not become root by sudo|asks for a password"),
        ("narrow", PASSWORD, "may not become root by sudo"),
        ("stranger", None, "sudo asks for a password|may not become root"),
        ("stranger", PASSWORD, "may not become root by sudo"),
    ],
)
def test_refusals(machine: LabHost, user: str, password: str | None, what: str) -> None:
    with become(machine, user, password) as host:
        with pytest.raises(Refused, match=what) as caught:
            host.run(("cat",), stdin=b"first\nsecond\nthird\n")
        error = caught.value
        assert error.why and error.fix and error.where == f"mail1 ({user}@{machine.address}:22)"
        assert "canary" not in str(error)
        # The session is as good as before.
        with pytest.raises(Refused):
            host.run(("true",))


def test_a_wrong_password_counts_once(machine: LabHost) -> None:
    machine.run(("journalctl", "--rotate", "--vacuum-time=1ms"))
    with become(machine, "asked", "wrong") as host, pytest.raises(Refused):
        host.run(("cat",), stdin=b"first\nsecond\nthird\n")
    log = machine.run(("journalctl", "--no-pager", "-t", "sudo")).stdout.decode()
    assert "1 incorrect password attempt" in log


def test_no_sudo_on_the_host(machine: LabHost) -> None:
    machine.run(("mv", "/usr/bin/sudo", "/usr/bin/odus"))
    try:
        with become(machine, "free") as host, pytest.raises(Refused, match="the host has no sudo"):
            host.run(("true",))
    finally:
        machine.run(("mv", "/usr/bin/odus", "/usr/bin/sudo"))


ECHO = """#!/bin/bash
IFS= read -r first
echo "$first"; echo "note: $first" >&2
%s
"""


@pytest.mark.parametrize(
    "then",
    [
        "exit 1",
        'echo "Sorry, try again: $first" >&2; exit 1',
        "kill -9 $$",
        'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    ],
)
def test_a_sudo_that_shows_what_it_reads_shows_no_password(machine: LabHost, then: str) -> None:
    machine.run(("mv", "/usr/bin/sudo", "/usr/bin/odus"))
    try:
        machine.write("/usr/bin/sudo", (ECHO % then).encode(), 0o755)
        with become(machine, "asked", PASSWORD) as host:
            try:
                done = host.run(("sh", "-c", "echo well"))
                said = f"{done.stdout!r} {done.stderr!r}"
                assert done.stdout == b"well\n"
            except ConnectError as error:
                said = f"{error} {error.__cause__ or ''}"
    finally:
        machine.run(("mv", "/usr/bin/odus", "/usr/bin/sudo"))
    assert "note: " in said and "canary" not in said, said


def test_root_needs_no_sudo(machine: LabHost) -> None:
    with become(machine, "root") as host:
        assert host.run(("sh", "-c", "echo ${SUDO_USER-none}")) == Completed(0, b"none\n", b"")


def test_a_noisy_login_shell_is_not_taken_for_the_command(machine: LabHost) -> None:
    machine.run(("sh", "-c", "echo 'echo Welcome; echo Mind the step >&2' > /home/free/.bashrc"))
    with become(machine, "free") as host:
        done = host.run(("echo", "x"))
    machine.run(("rm", "/home/free/.bashrc"))
    assert done.stdout == b"x\n"


def test_a_command_under_sudo_that_falls_silent(machine: LabHost) -> None:
    with become(machine, "asked", PASSWORD) as host, pytest.raises(ConnectError, match="nothing came") as caught:
        host.run(("sleep", "300"), timeout=2)
    assert not isinstance(caught.value, Refused)
