"""SSH against a real OpenSSH server on a lab host: what works, and how fast."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_line import SlowLine
from ssh_servers import Proxy, declare, known_as

from mailprov.connection import Host
from mailprov.connection.connect import open_host
from mailprov.connection.session import SshHost, quote
from mailprov.connection.ssh import connect, scan
from mailprov.connection.sshconfig import SshConfig
from mailprov.errors import ConnectError, HostError
from mailprov.lab import LabHost
from mailprov.model import Completed, HostSpec

pytestmark = pytest.mark.host

Declare = Callable[..., HostSpec]
NOBODY = SshConfig(home=Path("/nonexistent"), user="nobody")


@pytest.fixture(scope="module")
def machine(every_machine: LabHost) -> LabHost:
    return every_machine


@pytest.fixture
def spec(machine: LabHost, declare: Declare) -> HostSpec:
    return declare(
        address=machine.address,
        user="root",
        port=machine.port,
        identity_file=machine.identity_file,
        known_hosts=machine.known_hosts,
    )


@pytest.fixture
def host(spec: HostSpec) -> Iterator[SshHost]:
    with connect(spec, config=NOBODY) as host:
        yield host


@pytest.fixture(scope="module")
def lasting(machine: LabHost) -> Iterator[SshHost]:
    """One session for all of hypothesis's examples."""
    way = {"port": machine.port, "identity_file": machine.identity_file, "known_hosts": machine.known_hosts}
    with connect(declare(address=machine.address, user="root", **way), config=NOBODY) as host:
        yield host


def test_a_command_runs_as_root_and_knows_its_connection(host: SshHost, machine: LabHost) -> None:
    assert host.run(("id", "-u")) == Completed(0, b"0\n", b"")
    done = host.run(("sh", "-c", 'echo "$SSH_CONNECTION"; cat; echo no >&2; exit 3'), stdin=b"yes\n")
    assert done.status == 3
    assert done.stderr == b"no\n"
    *_, address, port = done.stdout.splitlines()[0].decode().split()
    assert (address, port, done.stdout.splitlines()[1]) == (machine.address, "22", b"yes")


def test_the_door_leads_there(spec: HostSpec) -> None:
    host: Host = open_host(spec, config=NOBODY)
    assert host.name == "mail1"
    assert host.run(("true",)).status == 0
    host.close()
    host.close()


def test_many_megabytes_go_both_ways_at_once(host: SshHost) -> None:
    data = os.urandom(5 * 1024 * 1024)
    assert host.run(("cat",), stdin=data) == Completed(0, data, b"")


def test_a_command_may_leave_its_stdin_unread(host: SshHost) -> None:
    assert host.run(("true",), stdin=bytes(5 * 1024 * 1024)) == Completed(0, b"", b"")
    assert host.run(("sh", "-c", "exec <&-; sleep 0.2; echo here"), stdin=bytes(5 * 1024 * 1024)).stdout == b"here\n"
    assert host.run(("echo", "still here")).stdout == b"still here\n"


def test_a_command_may_close_its_output_and_work_on(host: SshHost) -> None:
    assert host.run(("sh", "-c", "exec >&- 2>&-; sleep 0.5; exit 4")) == Completed(4, b"", b"")


def test_a_child_left_behind_holds_nothing_up(host: SshHost) -> None:
    began = time.monotonic()
    assert host.run(("sh", "-c", "sleep 300 & echo done")).stdout == b"done\n"
    assert time.monotonic() - began < 5


def test_a_command_that_a_signal_ends_has_a_status(host: SshHost) -> None:
    assert host.run(("sh", "-c", "kill -9 $$")).status == 255
    assert host.run(("/nonexistent",)).status == 127


def test_lines_are_reported_as_they_come_and_harmless(host: SshHost) -> None:
    seen: list[tuple[float, str]] = []
    script = r"printf '\033]0;owned\007\033[2J\033[31mone\033[0m\r\n'; sleep 0.5; printf 'tw\303\266 \377\b\000\nlast'"
    began = time.monotonic()
    done = host.run(("sh", "-c", script), on_line=lambda line: seen.append((time.monotonic() - began, line)))
    assert [line for _, line in seen] == ["one", "twö \ufffd", "last"]
    assert seen[1][0] - seen[0][0] > 0.3
    assert b"\033]0;owned\007" in done.stdout


@pytest.mark.parametrize(("limit", "redirect"), [("64 MiB to stdout", ""), ("1 MiB to stderr", ">&2")])
def test_output_is_bounded(host: SshHost, limit: str, redirect: str) -> None:
    with pytest.raises(HostError, match=f"more than {limit}"):
        host.run(("sh", "-c", f"yes {redirect}"))
    with pytest.raises(ConnectError):
        host.run(("true",))


def test_silence_ends_the_session(host: SshHost) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectError, match="nothing came from the host for 1 s during `sleep 300`"):
        host.run(("sleep", "300"), timeout=1)
    assert time.monotonic() - began < 3
    with pytest.raises(ConnectError, match="was lost"):
        host.run(("true",))


def test_progress_is_no_silence(host: SshHost) -> None:
    assert host.run(("sh", "-c", "for i in 1 2 3 4 5; do sleep 0.4; echo $i; done"), timeout=1).status == 0


def test_a_noisy_login_shell_is_carried_as_it_is(host: SshHost, machine: LabHost) -> None:
    machine.run(("sh", "-c", "cd; cp .bashrc quiet; (echo 'echo Hello from .bashrc'; cat quiet) > .bashrc"))
    try:
        assert host.run(("echo", "x")).stdout.endswith(b"x\n")
    finally:
        machine.run(("mv", "/root/quiet", "/root/.bashrc"))


def test_commands_may_run_side_by_side(host: SshHost) -> None:
    import threading

    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(host.run(("sh", "-c", f"sleep 0.2; echo {n}")).stdout))
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [f"{n}\n".encode() for n in range(5)]


# --- quoting --------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(
        st.one_of(
            st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])),
            st.text(st.sampled_from("'\"\\$`!*?[]{}()<>|&;#~=%^ \t\n\r-\x1b")),
            st.binary(max_size=8).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
        ),
        max_size=6,
    )
)
def test_hostile_words_arrive_as_they_are(lasting: SshHost, words: list[str]) -> None:
    done = lasting.run(("printf", r"%s\0", *words))
    sent = [word.encode("utf-8", "surrogateescape") for word in words] or [b""]
    assert done.stdout == b"".join(word + b"\0" for word in sent)


@pytest.mark.parametrize("argv", [(), ("a\0b",), ("echo", "\0")])
def test_what_cannot_be_quoted_is_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote(argv)


# --- speed ----------------------------------------------------------------------------------------------------------


def test_connecting_and_asking_once_takes_at_most_eight_round_trips(
    machine: LabHost, declare: Declare, tmp_path: Path
) -> None:
    with Proxy((machine.address, 22)) as proxy, SlowLine(("127.0.0.1", proxy.port), delay=0.25) as line:
        known = known_as(machine, tmp_path, f"[127.0.0.1]:{line.port}")
        way = {"port": line.port, "identity_file": machine.identity_file, "known_hosts": known}
        with connect(declare(address="127.0.0.1", user="root", **way), config=NOBODY) as host:
            connected = line.round_trips
            assert host.run(("cat",), stdin=b"x" * 20_000).stdout == b"x" * 20_000
            trips = line.round_trips + 1  # and TCP's own
    print(f"{connected + 1} round trips to connect, {trips} in all; bytes sent and received: {host.traffic}")
    assert line.connections == 1
    assert 3 < trips <= 8
    assert abs(host.traffic[0] - proxy.up) < 100  # the last words may still be on their way
    assert proxy.up < 20_000 + 4_000


def test_ssh_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, mailprov.connection.connect; print('paramiko' in sys.modules, 'cryptography' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", code), capture_output=True, text=True).stdout == "False False\n"
    code = "import sys, mailprov.connection.ssh; print('paramiko' in sys.modules, 'invoke' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", code), capture_output=True, text=True).stdout == "True False\n"


# --- trust ----------------------------------------------------------------------------------------------------------


def test_scanning_shows_every_key_and_recording_them_makes_the_host_known(
    machine: LabHost, declare: Declare, tmp_path: Path
) -> None:
    from mailprov.connection.known_hosts import record

    known = tmp_path / "ssh/known_hosts"
    spec = declare(address=machine.address, user="root", identity_file=machine.identity_file, known_hosts=known)
    with pytest.raises(ConnectError, match="is not known") as caught:
        connect(spec, config=NOBODY)
    assert "mailprov trust mail1" in caught.value.fix
    found = scan(spec, config=NOBODY)
    told = machine.run(("sh", "-c", "for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done")).stdout.decode()
    kept = [line for line in told.splitlines() if not line.endswith("(DSA)")]
    assert {key.fingerprint for key in found.keys} == {line.split()[1] for line in kept}
    (ed25519,) = (key.fingerprint for key in found.keys if key.kind == "ssh-ed25519")
    assert ed25519 in caught.value.why
    assert record(known, *found.target.known_as, found.keys) == found.keys
    with connect(spec, config=NOBODY) as host:
        assert host.identity == ed25519
    assert host.identity == ed25519, "after the session, too"
