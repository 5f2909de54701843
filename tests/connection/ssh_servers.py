"""Servers to connect to: OpenSSH with a configuration of one's own on a lab host, and false ones on this machine."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from mailprov.lab import LabHost
from mailprov.model import Firewall, HostSpec, Services, Ssh, Tls


def declare(name: str = "mail1", address: str = "192.0.2.1", *, become: bool = False, **ssh: Any) -> HostSpec:
    """A declared host; `become_password` and the fields of `Ssh` by name."""
    password = ssh.pop("become_password", None)
    return HostSpec(
        name=name,
        address=address,
        hostname="mail.example.com",
        ssh=Ssh(**ssh),
        become=become,
        become_password=password,
        tls=Tls("self_signed"),
        services=Services(),
        firewall=Firewall(),
    )


class Proxy:
    """Passes connections on: counts the bytes, and can delay them, hold them back, or cut them off."""

    def __init__(self, to: tuple[str, int], delay: float = 0.0) -> None:
        """`delay` in seconds, each way."""
        self._to = to
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.up = 0
        self._open: list[socket.socket] = []
        self.frozen = False

    def cut(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                self._open += [near, far]
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for source, sink in ((near, far), (far, near)):
                    flight: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                    threading.Thread(target=self._take, args=(source, flight, source is near), daemon=True).start()
                    threading.Thread(target=self._give, args=(flight, sink), daemon=True).start()

    def _take(self, source: socket.socket, flight: queue.SimpleQueue[tuple[float, bytes]], up: bool) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            self.up += len(data) if up else 0
            while self.frozen:
                time.sleep(0.05)
            flight.put((time.monotonic() + self._delay, data))

    def _give(self, flight: queue.SimpleQueue[tuple[float, bytes]], sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = flight.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)


@contextlib.contextmanager
def false_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on 127.0.0.1 where each connection is given to `answer` and then closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@contextlib.contextmanager
def sshd(machine: LabHost, port: int, *lines: str) -> Iterator[int]:
    """A second OpenSSH server on `machine` with a configuration of its own."""
    defaults = ["PermitRootLogin prohibit-password", "UsePAM no", "PidFile none"]
    if machine.release not in ("bullseye", "bookworm"):
        defaults.append("PerSourcePenalties no")  # since OpenSSH 9.8
    config = f"/etc/ssh/test-{port}"
    host_keys = () if any(line.startswith("HostKey") for line in lines) else ("HostKey /etc/ssh/ssh_host_ed25519_key",)
    text = "\n".join((f"Port {port}", *lines, *defaults, *host_keys)) + "\n"
    machine.run(("sh", "-c", 'mkdir -p /run/sshd; cat > "$1"', "sh", config), stdin=text.encode())
    unit = f"test-sshd-{port}"
    machine.run(("systemd-run", "--quiet", "--collect", f"--unit={unit}", "/usr/sbin/sshd", "-D", "-e", "-f", config))
    try:
        _await_greeting(machine, port, unit)
        yield port
    finally:
        machine.run(("systemctl", "kill", "--signal=KILL", unit), check=False)
        machine.run(("systemctl", "stop", unit), check=False)


def _await_greeting(machine: LabHost, port: int, unit: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((machine.address, port), 1) as probe:
            probe.settimeout(1)
            if probe.recv(4):
                return
        time.sleep(0.05)
    raise AssertionError(machine.run(("journalctl", "-u", unit, "--no-pager"), check=False).stdout.decode())


def known_as(machine: LabHost, folder: Path, name: str) -> Path:
    """A known_hosts file that knows `machine` by another name."""
    lines = [line.split(maxsplit=1)[1] for line in machine.known_hosts.read_text().splitlines()]
    file = folder / "known_as"
    file.write_text("".join(f"{name} {line}\n" for line in lines))
    return file
