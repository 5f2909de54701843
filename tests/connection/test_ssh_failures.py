"""Each way in which a session fails, really produced: always a ConnectError that says what, where and what to do."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ssh_servers import Proxy, declare, false_server, known_as, sshd

from mailprov.connection import connect_errors
from mailprov.connection.ssh import connect, scan
from mailprov.connection.sshconfig import SshConfig, load_config, route
from mailprov.errors import ConnectError
from mailprov.lab import LabHost
from mailprov.model import HostSpec, Secret, Ssh

pytestmark = pytest.mark.host

Failing = Callable[..., ConnectError]


@pytest.fixture
def failing(nobody: SshConfig, capfd: pytest.CaptureFixture[str]) -> Failing:
    """Connects, which must fail with a whole error and leave nothing behind on stderr."""

    def fail(spec: HostSpec, config: SshConfig = nobody, ask: Callable[[str], Secret] | None = None) -> ConnectError:
        before = set(threading.enumerate())
        with pytest.raises(ConnectError) as caught:
            connect(spec, config=config, ask=ask)
        error = caught.value
        assert error.what and error.where.startswith(spec.name) and error.fix
        assert capfd.readouterr() == ("", "")
        deadline = time.monotonic() + 2
        while set(threading.enumerate()) - before:
            assert time.monotonic() < deadline, "a thread was left behind"
            time.sleep(0.01)
        return error

    return fail


@pytest.fixture
def spec(machine: LabHost) -> HostSpec:
    return declare(
        address=machine.address,
        user="root",
        port=22,
        identity_file=machine.identity_file,
        known_hosts=machine.known_hosts,
    )


def with_ssh(spec: HostSpec, **changes: object) -> HostSpec:
    return replace(spec, ssh=replace(spec.ssh, **changes))


def here(port: int, **changes: object) -> HostSpec:
    return declare(address="127.0.0.1", user="root", port=port, connect_timeout=1.0, **changes)


# --- no connection --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["no-such-host.invalid", "a..b", "x" * 64 + ".example"])
def test_a_name_that_does_not_resolve(failing: Failing, address: str) -> None:
    assert "does not resolve" in failing(declare(address=address, connect_timeout=1.0)).what


def test_a_refused_connection(failing: Failing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failing(here(port))
    assert error.what == "the connection was refused"
    assert error.where == f"mail1 (root@127.0.0.1:{port})"


def test_an_address_that_swallows_everything(failing: Failing) -> None:
    # A full backlog: the kernel answers no further SYN, as a firewall that drops.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.1)
        began = time.monotonic()
        error = failing(here(listener.getsockname()[1]))
        assert time.monotonic() - began < 2
        for filler in fillers:
            filler.close()
    assert error.what == "no answer within 1 s"


@pytest.mark.parametrize("number", [101, 113])
def test_no_route(number: int, nobody: SshConfig) -> None:
    (target,) = route(declare(), nobody)
    error = connect_errors.no_route(target, OSError(number, os.strerror(number)))
    assert error.what == "there is no route to the host"
    assert "ssh.jump" in error.fix


# --- no SSH ---------------------------------------------------------------------------------------------------------


def test_a_server_that_never_speaks(failing: Failing) -> None:
    with false_server(lambda connection: time.sleep(5)) as port:
        began = time.monotonic()
        error = failing(here(port))
        assert time.monotonic() - began < 3
    assert error.what == "the connection was accepted, and then nothing came within 1 s"


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n", b"\0\xff\x1b[31m\n" * 200, b"x" * 100_000]
)
def test_a_server_that_is_no_ssh_server(failing: Failing, greeting: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(greeting)
        connection.recv(100)

    with false_server(answer) as port:
        error = failing(here(port))
    assert error.what == "this is not an SSH server"
    assert "\x1b" not in str(error) and len(str(error)) < 500
    if greeting.startswith(b"220"):
        assert "220 mail ESMTP" in error.why


def test_a_server_of_the_first_protocol(failing: Failing) -> None:
    with false_server(lambda connection: connection.sendall(b"SSH-1.5-old\r\n")) as port:
        assert "no algorithm in common" in failing(here(port)).what


@pytest.mark.parametrize("greeting", [b"", b"Exceeded MaxStartups\r\n", b"Not allowed at this time\r\n"])
def test_a_server_that_closes_before_the_handshake(failing: Failing, greeting: bytes) -> None:
    with false_server(lambda connection: connection.sendall(greeting)) as port:
        error = failing(here(port))
    assert "closed the connection before" in error.what
    assert "MaxStartups" in error.fix
    assert greeting.decode().strip() in error.why


def test_a_server_that_resets_the_connection(failing: Failing) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with false_server(reset) as port:
        assert "closed the connection before saying anything" in failing(here(port)).what


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (b"", "the SSH server closed the connection during the handshake"),
        (b"\0\0\0\x0c\x0a\x63garbage!!!" * 50, "the SSH handshake failed"),
        (b"\xff" * 500, "the SSH handshake failed"),
    ],
)
def test_a_server_that_breaks_the_handshake_off(failing: Failing, more: bytes, what: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-Broken_1.0\r\n" + more)
        while more and connection.recv(1000):
            pass

    with false_server(answer) as port:
        error = failing(here(port))
    assert error.what == what
    assert "SSH-2.0-Broken_1.0" in error.why


def test_a_server_that_falls_silent_during_the_handshake(failing: Failing) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-Slow_1.0\r\n")
        time.sleep(5)

    with false_server(answer) as port:
        began = time.monotonic()
        error = failing(here(port))
        assert time.monotonic() - began < 4
    assert error.what == "the SSH handshake did not end within 1 s"


@pytest.mark.parametrize(
    "line", ["KexAlgorithms diffie-hellman-group14-sha1", "Ciphers aes128-cbc", "Ciphers aes128-ctr\nMACs hmac-sha1"]
)
def test_a_server_with_outdated_algorithms_only(failing: Failing, machine: LabHost, spec: HostSpec, line: str) -> None:
    with sshd(machine, 2201, *line.split("\n")) as port:
        error = failing(with_ssh(spec, port=port))
    assert "no algorithm in common" in error.what
    assert "OpenSSH" in error.why


def test_a_server_with_too_many_starting_up(failing: Failing, machine: LabHost, spec: HostSpec) -> None:
    with sshd(machine, 2202, "MaxStartups 2", "LoginGraceTime 30") as port, contextlib.ExitStack() as held:
        time.sleep(0.5)  # until the server has forgotten who asked whether it is up
        greeting = b"SSH-"
        while greeting == b"SSH-":
            connection = held.enter_context(socket.create_connection((machine.address, port)))
            greeting = connection.recv(4)
        assert "closed the connection before" in failing(with_ssh(spec, port=port)).what


# --- not the right host ---------------------------------------------------------------------------------------------


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    subprocess.run(("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path, "-C", path.name, *more), check=True)
    return path


def test_an_unknown_host_key(failing: Failing, spec: HostSpec, tmp_path: Path) -> None:
    error = failing(with_ssh(spec, known_hosts=tmp_path / "none"))
    assert error.what == f"the host key of {spec.address} is not known"
    assert "ED25519 SHA256:" in error.why
    assert error.fix.endswith("mailprov trust mail1")


def test_an_authority_for_host_certificates_is_no_host_key(
    failing: Failing, spec: HostSpec, machine: LabHost, tmp_path: Path
) -> None:
    public = machine.run(("cat", "/etc/ssh/ssh_host_ed25519_key.pub")).stdout.decode()
    error = failing(with_ssh(spec, known_hosts=_file(tmp_path / "known", f"@cert-authority * {public}")))
    assert "is not known" in error.what
    assert f"{tmp_path / 'known'}:1 vouches for certificates" in error.why


def test_known_hosts_that_cannot_be_read(failing: Failing, spec: HostSpec, tmp_path: Path) -> None:
    assert "cannot read the known host keys" in failing(with_ssh(spec, known_hosts=tmp_path)).what


def test_a_changed_host_key(failing: Failing, spec: HostSpec, machine: LabHost, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known"
    known.write_text(f"# first\n{spec.address} {other}")
    config = load_config(_file(tmp_path / "config", "StrictHostKeyChecking no\n"), environ={})
    for settings in (SshConfig(home=tmp_path, user="me"), config):
        error = failing(with_ssh(spec, known_hosts=known), settings)
        assert "HAS CHANGED" in error.what
        assert f"{known}:2" in error.why
        assert error.why.count("SHA256:") == 2
        assert "ssh-keygen -R" in error.fix


def test_a_host_known_by_a_kind_of_key_that_it_no_longer_has(
    failing: Failing, spec: HostSpec, machine: LabHost, tmp_path: Path
) -> None:
    with sshd(machine, 2203, "HostKey /etc/ssh/ssh_host_ecdsa_key") as port:
        known = tmp_path / "known"
        known.write_text(f"[{spec.address}]:{port} {make_key(tmp_path / 'k').with_suffix('.pub').read_text()}")
        error = failing(with_ssh(spec, port=port, known_hosts=known))
        assert "HAS CHANGED" in error.what
        assert "ECDSA" in error.why and "ED25519" in error.why


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_known_kind_of_key_is_asked_for(
    spec: HostSpec, machine: LabHost, nobody: SshConfig, tmp_path: Path, kind: str
) -> None:
    public = machine.run(("cat", f"/etc/ssh/ssh_host_{kind}_key.pub")).stdout.decode()
    known = _file(tmp_path / "known", f"{spec.address} {public}")
    connect(with_ssh(spec, known_hosts=known), config=nobody).close()


def test_a_revoked_host_key(failing: Failing, spec: HostSpec, machine: LabHost, tmp_path: Path) -> None:
    public = machine.run(("cat", "/etc/ssh/ssh_host_ed25519_key.pub")).stdout.decode()
    known = _file(tmp_path / "known", f"{spec.address} {public}@revoked * {public}")
    error = failing(with_ssh(spec, known_hosts=known))
    assert "is revoked" in error.what
    assert f"{known}:2" in error.why


def test_a_host_known_by_its_hashed_name_and_port(
    spec: HostSpec, machine: LabHost, nobody: SshConfig, tmp_path: Path
) -> None:
    with sshd(machine, 2204) as port:
        known = known_as(machine, tmp_path, f"[{spec.address}]:{port}")
        subprocess.run(("ssh-keygen", "-q", "-H", "-f", known), check=True, capture_output=True)
        assert "|1|" in known.read_text() and spec.address not in known.read_text()
        connect(with_ssh(spec, port=port, known_hosts=known), config=nobody).close()


def _file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


# --- not let in -----------------------------------------------------------------------------------------------------


@pytest.fixture
def admitted(machine: LabHost) -> Iterator[Callable[[Path], None]]:
    """Lets further keys in as root for the length of a test."""
    machine.run(("cp", "-a", "/root/.ssh/authorized_keys", "/root/keys"))

    def admit(key: Path) -> None:
        public = key.with_name(key.name + ".pub").read_bytes()
        machine.run(("sh", "-c", "cat >> /root/.ssh/authorized_keys"), stdin=public)

    yield admit
    machine.run(("mv", "/root/keys", "/root/.ssh/authorized_keys"))


def test_a_missing_key(failing: Failing, spec: HostSpec, tmp_path: Path) -> None:
    error = failing(with_ssh(spec, identity_file=tmp_path / "none"))
    assert error.what == f"there is no SSH key {tmp_path / 'none'}"


def test_a_key_open_to_others(failing: Failing, spec: HostSpec, tmp_path: Path) -> None:
    make_key(tmp_path / "open").chmod(0o644)
    error = failing(with_ssh(spec, identity_file=tmp_path / "open"))
    assert "is open to other users (mode 0644)" in error.what
    assert error.fix == f"chmod 600 {tmp_path / 'open'}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hello\n", "is not a private SSH key"),
        ("ssh-ed25519 AAAA comment\n", "is not a private SSH key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n!!!\n-----END OPENSSH PRIVATE KEY-----\n", "is damaged"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXkt\n-----END OPENSSH PRIVATE KEY-----\n", "is damaged"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "is damaged"),
    ],
)
def test_a_file_that_is_no_key(failing: Failing, spec: HostSpec, tmp_path: Path, text: str, what: str) -> None:
    assert what in failing(with_ssh(spec, identity_file=_file(tmp_path / "key", text))).what


def test_a_directory_for_a_key(failing: Failing, spec: HostSpec, tmp_path: Path) -> None:
    assert "cannot read the SSH key" in failing(with_ssh(spec, identity_file=tmp_path)).what


def test_a_key_that_is_not_admitted(failing: Failing, spec: HostSpec, machine: LabHost, tmp_path: Path) -> None:
    with sshd(machine, 2205) as port:
        error = failing(with_ssh(spec, port=port, identity_file=make_key(tmp_path / "mine")))
    assert error.what == "the SSH server does not let root in"
    assert error.why == f"tried: {tmp_path / 'mine'}"
    assert "PermitRootLogin" in error.fix and "no passwords" in error.fix


def test_no_key_at_all(failing: Failing, spec: HostSpec, machine: LabHost) -> None:
    assert failing(with_ssh(spec, identity_file=None)).why == "there was no key to try"


def test_a_server_that_takes_passwords_only(failing: Failing, spec: HostSpec, machine: LabHost) -> None:
    with sshd(machine, 2206, "PubkeyAuthentication no", "PermitRootLogin yes", "PasswordAuthentication yes") as port:
        error = failing(with_ssh(spec, port=port))
    assert error.what == "the SSH server takes no keys from root, only password, keyboard-interactive"


def test_a_server_that_wants_a_second_factor(failing: Failing, spec: HostSpec, machine: LabHost) -> None:
    lines = ("AuthenticationMethods publickey,password", "PermitRootLogin yes", "PasswordAuthentication yes")
    with sshd(machine, 2207, *lines) as port:
        error = failing(with_ssh(spec, port=port))
    assert error.what == "the SSH server wants more than a key from root"
    assert "password" in error.why


def test_too_many_keys(failing: Failing, spec: HostSpec, machine: LabHost, tmp_path: Path) -> None:
    keys = [make_key(tmp_path / f"key{number}") for number in range(3)]
    config = load_config(_file(tmp_path / "config", "".join(f"IdentityFile {key}\n" for key in keys)), environ={})
    with sshd(machine, 2208, "MaxAuthTries 1") as port:
        error = failing(with_ssh(spec, port=port, identity_file=None), config)
    assert "the server closed the connection: too many keys tried" in error.why


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
@pytest.mark.parametrize("passphrase", ["", "pässword"])
def test_every_kind_of_key(
    spec: HostSpec,
    nobody: SshConfig,
    admitted: Callable[[Path], None],
    tmp_path: Path,
    kind: str,
    form: str,
    passphrase: str,
) -> None:
    key = make_key(tmp_path / "key", kind, passphrase, "-m", form)
    admitted(key)
    asked: list[str] = []

    def ask(what: str) -> Secret:
        asked.append(what)
        return Secret(passphrase)

    connect(with_ssh(spec, identity_file=key), config=nobody, ask=ask).close()
    assert asked == ([f"passphrase of {key}"] if passphrase else [])


def test_a_passphrase_that_nobody_gives(failing: Failing, spec: HostSpec, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", passphrase="secret")
    error = failing(with_ssh(spec, identity_file=key))
    assert error.what == f"the SSH key {key} needs a passphrase"
    assert f"ssh-add {key}" in error.fix


def test_a_wrong_passphrase(failing: Failing, spec: HostSpec, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", passphrase="secret")
    asked: list[str] = []

    def ask(what: str) -> Secret:
        asked.append(what)
        return Secret("canary-wrong")

    error = failing(with_ssh(spec, identity_file=key), ask=ask)
    assert error.what == f"the passphrase does not open the SSH key {key}"
    assert len(asked) == 3
    assert "canary" not in str(error)


def test_a_certificate(spec: HostSpec, machine: LabHost, nobody: SshConfig, tmp_path: Path) -> None:
    authority, key = make_key(tmp_path / "ca"), make_key(tmp_path / "key")
    subprocess.run(("ssh-keygen", "-q", "-s", authority, "-I", "me", "-n", "root", f"{key}.pub"), check=True)
    machine.run(("sh", "-c", "cat > /etc/ssh/ca.pub"), stdin=Path(f"{authority}.pub").read_bytes())
    with sshd(machine, 2209, "TrustedUserCAKeys /etc/ssh/ca.pub", "AuthorizedKeysFile none") as port:
        connect(with_ssh(spec, port=port, identity_file=key), config=nobody).close()


# --- the agent ------------------------------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "agent"
    process = subprocess.Popen(("ssh-agent", "-D", "-a", path), stdout=subprocess.DEVNULL)
    while not path.exists():
        time.sleep(0.01)
    yield path
    process.terminate()
    process.wait()


def test_keys_of_the_agent(
    spec: HostSpec, agent: Path, admitted: Callable[[Path], None], tmp_path: Path, machine: LabHost
) -> None:
    environ = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    config = SshConfig(home=tmp_path, user="me", agent=agent)
    without_file = with_ssh(spec, identity_file=None)
    for kind in ("ed25519", "rsa", "ecdsa"):
        key = make_key(tmp_path / kind, kind)
        subprocess.run(("ssh-add", "-q", key), env=environ, check=True)
        admitted(key)
        connect(without_file, config=config).close()
        subprocess.run(("ssh-add", "-q", "-D"), env=environ, check=True, capture_output=True)


def test_an_encrypted_key_that_the_agent_holds_is_not_asked_for(
    spec: HostSpec, agent: Path, admitted: Callable[[Path], None], tmp_path: Path
) -> None:
    key = make_key(tmp_path / "key")
    subprocess.run(("ssh-add", "-q", key), env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, check=True)
    subprocess.run(("ssh-keygen", "-q", "-p", "-N", "secret", "-f", key), check=True, capture_output=True)
    admitted(key)
    connect(with_ssh(spec, identity_file=key), config=SshConfig(home=tmp_path, user="me", agent=agent)).close()


def test_a_declared_key_asks_no_agent(spec: HostSpec, tmp_path: Path) -> None:
    asked: list[bool] = []
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        connect(spec, config=SshConfig(home=tmp_path, user="me", agent=path)).close()
        with pytest.raises(BlockingIOError):
            asked.append(bool(listener.accept()))
    assert not asked


def test_an_agent_that_cannot_be_reached(failing: Failing, spec: HostSpec, tmp_path: Path, machine: LabHost) -> None:
    config = SshConfig(home=tmp_path, user="me", agent=tmp_path / "gone")
    error = failing(with_ssh(spec, identity_file=None), config)
    assert f"the agent at {tmp_path / 'gone'} cannot be reached" in error.why


def test_an_agent_that_declines_to_sign(
    spec: HostSpec, agent: Path, admitted: Callable[[Path], None], tmp_path: Path, machine: LabHost
) -> None:
    (tmp_path / ".ssh").mkdir()
    kept, file = make_key(tmp_path / "kept"), make_key(tmp_path / ".ssh/id_ed25519")
    environ = {**os.environ, "SSH_AUTH_SOCK": str(agent), "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(("ssh-add", "-q", "-c", kept), env=environ, check=True)  # asks before it signs, and nobody agrees
    admitted(kept)
    admitted(file)
    connect(with_ssh(spec, identity_file=None), config=SshConfig(home=tmp_path, user="me", agent=agent)).close()


# --- jump hosts -----------------------------------------------------------------------------------------------------


def test_through_two_jump_hosts(spec: HostSpec, machine: LabHost, nobody: SshConfig, tmp_path: Path) -> None:
    with sshd(machine, 2210) as one, sshd(machine, 2211) as two:
        lines = [line.split(maxsplit=1)[1] for line in machine.known_hosts.read_text().splitlines()]
        names = [f"[{spec.address}]:{one}", f"[{spec.address}]:{two}", "127.0.0.1"]
        known = _file(tmp_path / "known", "".join(f"{name} {line}\n" for name in names for line in lines))
        jump = f"root@{spec.address}:{one},root@{spec.address}:{two}"
        with connect(replace(with_ssh(spec, jump=jump, known_hosts=known), address="127.0.0.1"), config=nobody) as host:
            data = os.urandom(3 * 1024 * 1024)
            assert host.run(("cat",), stdin=data).stdout == data
            assert host.run(("sh", "-c", "echo $SSH_CONNECTION")).stdout.split()[0] == b"127.0.0.1"


def test_a_jump_host_that_fails_is_named(failing: Failing, spec: HostSpec, machine: LabHost, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failing(with_ssh(spec, jump=f"root@127.0.0.1:{port}"))
    assert (error.what, error.where) == ("the connection was refused", f"mail1, jump host root@127.0.0.1:{port}")


def test_a_jump_host_with_an_unknown_key_is_named_and_scanned(
    failing: Failing, spec: HostSpec, machine: LabHost, nobody: SshConfig
) -> None:
    with sshd(machine, 2212) as port:
        machine_known = spec.ssh.known_hosts
        assert machine_known is not None
        jumping = replace(with_ssh(spec, jump=f"root@127.0.0.2:{port}"), address=spec.address)
        with Proxy((machine.address, port)) as proxy:
            jumping = with_ssh(spec, jump=f"root@127.0.0.1:{proxy.port}")
            error = failing(jumping)
            assert error.where == f"mail1, jump host root@127.0.0.1:{proxy.port}"
            assert error.what == f"the host key of [127.0.0.1]:{proxy.port} is not known"
            assert "mailprov trust mail1" in error.fix
            found = scan(jumping, config=nobody)
            assert found.target.known_name == f"[127.0.0.1]:{proxy.port}"
            assert [key.kind for key in found.keys] == ["ssh-ed25519"]


def test_a_jump_host_that_forbids_forwarding(failing: Failing, spec: HostSpec, machine: LabHost) -> None:
    with sshd(machine, 2213, "AllowTcpForwarding no") as port:
        error = failing(with_ssh(spec, jump=f"root@{spec.address}:{port}"))
    assert "forbids forwarding" in error.what and f"{spec.address}:{port}" in error.what
    assert "AllowTcpForwarding" in error.fix


def test_a_jump_host_that_does_not_get_through(failing: Failing, spec: HostSpec, machine: LabHost) -> None:
    error = failing(with_ssh(spec, jump=f"root@{spec.address}", port=9))
    assert "cannot connect to" in error.what


# --- lost later -----------------------------------------------------------------------------------------------------


def test_a_server_without_sessions(spec: HostSpec, machine: LabHost, nobody: SshConfig) -> None:
    with (
        sshd(machine, 2214, "MaxSessions 0") as port,
        connect(with_ssh(spec, port=port), config=nobody) as host,
        pytest.raises(ConnectError, match="refuses to run a command"),
    ):
        host.run(("true",))


def test_one_session_after_another(spec: HostSpec, machine: LabHost, nobody: SshConfig) -> None:
    """A server that allows one at a time may see the end of one after the beginning of the next."""
    with (
        sshd(machine, 2216, "MaxSessions 1") as port,
        connect(with_ssh(spec, port=port), config=nobody) as host,
    ):
        for number in range(20):
            assert host.run(("echo", str(number))).stdout == f"{number}\n".encode()


def test_a_server_killed_during_a_command(spec: HostSpec, machine: LabHost, nobody: SshConfig) -> None:
    with sshd(machine, 2215) as port, connect(with_ssh(spec, port=port), config=nobody) as host:
        kill = threading.Timer(0.5, machine.run, [("systemctl", "kill", "--signal=KILL", f"test-sshd-{port}")])
        kill.start()
        began = time.monotonic()
        with pytest.raises(ConnectError, match="the connection was lost during `sh -c") as caught:
            host.run(("sh", "-c", "echo going on >&2; sleep 300"))
        assert time.monotonic() - began < 5
        assert caught.value.why == "going on"
        kill.join()


@pytest.mark.parametrize("upload", [b"", bytes(20 * 1024 * 1024)])
def test_a_link_that_is_cut_or_goes_silent(machine: LabHost, nobody: SshConfig, tmp_path: Path, upload: bytes) -> None:
    for silent in (False, True):
        with Proxy((machine.address, 22)) as proxy:
            known = known_as(machine, tmp_path, f"[127.0.0.1]:{proxy.port}")
            host = connect(here(proxy.port, identity_file=machine.identity_file, known_hosts=known), config=nobody)
            break_it = (
                threading.Timer(0.3, setattr, (proxy, "frozen", True)) if silent else threading.Timer(0.3, proxy.cut)
            )
            break_it.start()
            began = time.monotonic()
            with pytest.raises(ConnectError, match="nothing came" if silent else "was lost"):
                host.run(("sh", "-c", "sleep 2; cat; sleep 300"), stdin=upload, timeout=4)
            assert time.monotonic() - began < 10
            host.close()


def test_the_declared_time_out_is_used(nobody: SshConfig) -> None:
    (target,) = route(declare(connect_timeout=2.5), nobody)
    assert target.timeout == 2.5
    assert Ssh().connect_timeout == 10
