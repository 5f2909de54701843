"""One disposable machine."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from mailprov.lab import cgroups
from mailprov.lab.disk import Disk
from mailprov.lab.errors import LabError
from mailprov.lab.layers import Layer
from mailprov.lab.nspawn import REPOSITORY, container
from mailprov.lab.process import call, children, must, tail
from mailprov.lab.slots import Place, remove_link

# nspawn's exit status when the machine asked for a reboot and --keep-unit leaves it to the caller.
_REBOOT = 133
_ENVIRONMENT = (
    *("env", "-i", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8", "TERM=dumb"),
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)
_INSIDE = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
_WRITE = 'umask 077; cat > "$2" && chmod "$1" "$2"'
_NETWORK = """\
[Match]
Name=host0
[Link]
MACAddress={place.mac}
[Network]
LinkLocalAddressing=no
IPv6AcceptRA=no
[Address]
Address={place.address}/32
Peer={place.gateway}/32
[Route]
Gateway={place.gateway}
GatewayOnLink=yes
"""

Spawn = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]


class LabHost:
    """A machine of a lab. Made by `Lab.boot`; safe to use from several threads.

    `address`, `port`, `user`, `identity_file` and `known_hosts` are what an ssh client needs.
    """

    port = 22
    user = "root"

    def __init__(self, name: str, layer: Layer, place: Place, directory: Path, identity: Path, spawn: Spawn) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            raise LabError(f"not a host name: {name!r}", fix="use small letters, digits and hyphens")
        self.name = name
        self.release = layer.release.codename
        self.address = place.address
        self.identity_file = identity
        self.known_hosts = directory / "known_hosts"
        self._layer = layer
        self.place = place
        self._spawn = spawn
        self._directory = directory
        self._console = directory / "console"
        self._disk = Disk(directory, layer.directories)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._final = False
        self._retired = False
        self._off = threading.Event()
        self._off.set()
        self._personalise()

    @property
    def running(self) -> bool:
        """Whether the machine has power. True while it reboots."""
        return not self._off.is_set()

    def start(self, timeout: float = 60.0) -> None:
        """Boot the disk and return when the machine is up (see `wait`). LabError if it runs, or does not come up."""
        with self._lock:
            if self._retired:
                raise LabError("the machine was discarded", where=self.name)
            if self.running:
                raise LabError("the machine is running", where=self.name, fix="stop() or kill() it first")
            self._final = False
            self._off.clear()
            try:
                self._launch()
            except BaseException:
                self._off.set()
                raise
        self.wait(timeout)

    def wait(self, timeout: float = 60.0) -> None:
        """Return when sshd answers and systemd has finished booting; LabError with the console's end otherwise."""
        deadline = time.monotonic() + timeout
        while not self._greets():
            if not self.running or time.monotonic() > deadline:
                state = "did not boot in time" if self.running else "powered itself off"
                raise LabError(f"the machine {state}", where=self.name, why=tail(self.console().encode()))
            time.sleep(0.03)
        left = max(1.0, deadline - time.monotonic())
        self.run(("systemctl", "is-system-running", "--wait"), check=False, timeout=left)

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as root inside, not over the network, and return its status and output.

        LabError if the machine is off, the time is over or, with `check`, the status is not 0.
        """
        into = ("nsenter", f"--target={self.leader()}", *_INSIDE)
        try:
            done = call((*into, *_ENVIRONMENT, *argv), stdin=stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{' '.join(argv)} did not end within {timeout:g} s", where=self.name) from error
        if check and done.returncode != 0:
            said = tail(done.stderr or done.stdout)
            raise LabError(f"{' '.join(argv)} ended with {done.returncode}", where=self.name, why=said)
        return done

    def read(self, path: str) -> bytes:
        """Return the content of a file inside. LabError if it cannot be read."""
        return self.run(("cat", "--", path)).stdout

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Replace the content of a file inside and set its mode. LabError if it cannot be written."""
        self.run(("sh", "-c", _WRITE, "sh", f"{mode:o}", path), stdin=data)

    def kill(self) -> None:
        """Cut the power: every process ends at once, the disk stays as it is."""
        with self._lock:
            self._final = True
            self._strike(signal.SIGKILL)
        self.wait_off()

    def stop(self, timeout: float = 60.0) -> None:
        """Power the machine off in order. LabError if it is not off after `timeout` seconds."""
        with self._lock:
            self._final = True
            # To nspawn this signal means: ask the machine's init for an orderly poweroff.
            self._strike(signal.SIGTERM)
        self.wait_off(timeout)

    def wait_off(self, timeout: float = 60.0) -> None:
        """Return when the machine is off, for instance after a `poweroff` inside; LabError after `timeout` seconds."""
        if not self._off.wait(timeout):
            raise LabError("the machine is still on", where=self.name, why=tail(self.console().encode()))

    def link(self, up: bool) -> None:
        """Restore or cut the network link. When cut, packets vanish both ways and neither end is told.

        A machine that boots has its link up.
        """
        inside = ("nsenter", f"--target={self.leader()}", "--net", "--")
        for prefix, device in (((), self.place.name), (inside, "host0")):
            # The qdisc "blackhole" takes every packet and reports success, as a cut cable far away does.
            call((*prefix, "tc", "qdisc", "delete", "dev", device, "root"))
            if not up:
                argv = (*prefix, "tc", "qdisc", "replace", "dev", device, "root", "blackhole")
                must(argv, f"{self.name}: the link cannot be cut")

    def snapshot(self) -> Layer:
        """Return the disk of the stopped machine as a layer to boot others from, alive as long as the lab.

        A host booted from it differs in name, address, machine-id and host key only. LabError if the machine runs.
        """
        with self._lock:
            if self.running:
                raise LabError("the machine is running", where=self.name, fix="stop() or kill() it first")
            frozen = self._directory.parent.parent / "layers" / uuid.uuid4().hex
            return Layer(self._layer.release, self._disk.freeze(frozen), self._layer.repository)

    def console(self) -> str:
        """Return what the machine wrote on its console since its first boot."""
        try:
            return self._console.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def retire(self) -> None:
        """Cut the power for good and delete the disk: `Lab.discard` without giving up name and address."""
        with self._lock:
            self._retired = True
        self.kill()
        self._disk.remove()

    def _personalise(self) -> None:
        """Write what makes this machine itself: identity, keys, network."""
        key = self._directory / "host_key"
        generate_key(key, f"root@{self.name}")
        public = key.with_suffix(".pub").read_text()
        kind, value, _ = public.split(None, 2)
        self.known_hosts.write_text(f"{self.address} {kind} {value}\n")
        hosts = f"127.0.0.1 localhost\n{self.address} {self.name}.lab.test {self.name}\n"
        place = self._disk.place
        place("/etc/hostname", f"{self.name}\n")
        place("/etc/hosts", hosts)
        place("/etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
        # Empty: a nameserver that cannot be reached delays every SMTP banner by 5 s.
        place("/etc/resolv.conf", "")
        place("/etc/ssh/ssh_host_ed25519_key", key.read_bytes(), 0o600)
        place("/etc/ssh/ssh_host_ed25519_key.pub", public)
        place("/etc/systemd/network/10-lab.network", _NETWORK.format(place=self.place))
        self._disk.place_directory("/root/.ssh", 0o700)
        place("/root/.ssh/authorized_keys", self.identity_file.with_suffix(".pub").read_bytes(), 0o600)

    def _launch(self) -> None:
        """Start nspawn and connect the link. Needs the lock."""
        groups = cgroups.create(self.place.cgroup)
        options = (
            *("--boot", f"--hostname={self.name}", f"--network-veth-extra={self.place.name}:host0"),
            f"--bind-ro={self._layer.repository}:{REPOSITORY}",
        )
        process = self._spawn(container(self._disk, self.place.name, options, (), groups), self._console)
        self._process = process
        threading.Thread(target=self._watch, args=(process,), daemon=True, name=f"lab-{self.name}").start()
        self._connect(process)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for nspawn's end; then start it again (a reboot), or clean up."""
        status = process.wait()
        # A failure is seen by whoever waits for the machine; there is nobody to raise it to here.
        with self._lock, suppress(LabError):
            self._process = None
            try:
                cgroups.clear(self.place.cgroup)
                remove_link(self.place)
                if status == _REBOOT and not self._final:
                    self._launch()
            finally:
                if self._process is None:
                    self._off.set()

    def _connect(self, process: subprocess.Popen[bytes]) -> None:
        """Give this side of the link its address, as soon as nspawn has made the link."""
        device = self.place.name
        deadline = time.monotonic() + 20
        while not Path("/sys/class/net", device).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                return
            time.sleep(0.01)
        # The neighbour is entered by hand: if it were asked for, a cut link would be noticed after a while.
        commands = (
            f"link set dev {device} addrgenmode none\n"
            f"link set dev {device} up\n"
            f"address add {self.place.gateway} peer {self.address} dev {device}\n"
            f"neighbour replace {self.address} lladdr {self.place.mac} nud permanent dev {device}\n"
        )
        must(("ip", "-batch", "-"), f"{self.name}: the link cannot be configured", stdin=commands.encode())
        # Even where this machine forwards packets: nothing a lab does may reach a real host.
        Path("/proc/sys/net/ipv4/conf", device, "forwarding").write_text("0")

    def _strike(self, number: signal.Signals) -> None:
        """Send a signal to nspawn, or to what will become it. Needs the lock."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(next(iter(children(process.pid)), process.pid), number)

    def leader(self) -> int:
        """Return the process id of the machine's init; LabError if the machine is off."""
        process = self._process
        for nspawn in children(process.pid) if process is not None else ():
            for candidate in children(nspawn):
                status = Path(f"/proc/{candidate}/status")
                with suppress(OSError):
                    numbers = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:"))
                    # Its own number, nspawn's view of it, and 1 in the innermost namespace.
                    if len(numbers.split()) == 4 and numbers.endswith("\t1"):
                        return candidate
        raise LabError("the machine is off", where=self.name, fix="start() it")

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=0.25) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False


def generate_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair without passphrase at `path` and `path`.pub. LabError if that fails."""
    argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    must(argv, "no ssh key can be made")
