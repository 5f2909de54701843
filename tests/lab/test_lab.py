"""The lab, on real booted hosts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from mailprov.lab import RELEASES, HostSpec, Lab, LabError, LabHost, connect, requirements

pytestmark = pytest.mark.host

CODENAMES = tuple(release.codename for release in RELEASES)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> dict[str, LabHost]:
    booted = lab.boot_all([HostSpec(f"first-{codename}", codename) for codename in CODENAMES])
    return dict(zip(CODENAMES, booted, strict=True))


@pytest.fixture
def scratch(lab: Lab) -> Iterator[LabHost]:
    host = lab.boot("scratch", "bookworm")
    yield host
    lab.discard(host)


def ssh(host: LabHost, *command: str, timeout: float = 20, known_hosts: Path | None = None) -> tuple[int, str]:
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "3",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts or host.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
    }
    argv = ["ssh", "-F", "none", "-i", str(host.identity_file), "-p", str(host.port)]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    argv += [f"{host.user}@{host.address}", "--", *command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout + done.stderr


def eventually(check: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes(slot: int) -> list[str]:
    """Return the command lines of a slot's nspawns, and of everything in its control groups."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            group = (entry / "cgroup").read_text()
        except OSError:
            continue
        if f"mplab{slot:03d}n" in line or f"mailprov-lab-{slot:03d}/" in group:
            found.append(line)
    return found


def leftovers(slot: int, disks: Path) -> list[str]:
    """Return everything that a slot has on this machine."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(disks) in line]
    links = list(Path("/sys/class/net").glob(f"mplab{slot:03d}*"))
    groups = list(Path("/sys/fs/cgroup").glob(f"**/mailprov-lab-{slot:03d}"))
    paths = [path for path in (disks, Path(f"/run/mailprov-lab/{slot:03d}.lock")) if path.exists()]
    return [*processes(slot), *mounts, *map(str, (*links, *groups, *paths))]


def namespaces_held() -> list[str]:
    """Return the network namespaces that this process keeps alive although nothing runs in them any more."""
    found = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [name for name in found if name.startswith("net:[")]


@contextmanager
def controller(script: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run `script` in a process of its own, which is killed at the end if it is still there."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def disks_of(host: LabHost) -> Path:
    return host.identity_file.parent


def test_this_machine_can_run_a_lab() -> None:
    assert requirements().met


@pytest.mark.parametrize("codename", CODENAMES)
def test_real_debian_with_running_systemd(hosts: dict[str, LabHost], codename: str) -> None:
    host = hosts[codename]
    assert host.read("/proc/1/comm") == b"systemd\n"
    assert host.run(("systemctl", "is-system-running")).stdout == b"running\n"
    assert f"VERSION_CODENAME={codename}" in host.read("/etc/os-release").decode()
    assert host.run(("hostname",)).stdout.decode().strip() == host.name
    assert host.read("/etc/resolv.conf") == b""
    assert host.run(("sh", "-c", "command -v python3 postfix doveadm"), check=False).returncode != 0


@pytest.mark.parametrize("codename", CODENAMES)
def test_ssh_with_strict_host_key_checking(hosts: dict[str, LabHost], codename: str, tmp_path: Path) -> None:
    host = hosts[codename]
    assert ssh(host, "hostname") == (0, f"{host.name}\n")
    empty = tmp_path / "known_hosts"
    empty.touch()
    status, said = ssh(host, "true", known_hosts=empty)
    assert status == 255
    assert "Host key verification failed" in said


@pytest.mark.parametrize("codename", CODENAMES)
def test_nft_works_inside(hosts: dict[str, LabHost], codename: str) -> None:
    rules = b"table inet probe { chain c { type filter hook input priority 0; tcp dport 2525 counter drop; }; }\n"
    hosts[codename].run(("nft", "-f", "-"), stdin=rules)
    assert b"2525" in hosts[codename].run(("nft", "list", "table", "inet", "probe")).stdout
    hosts[codename].run(("nft", "delete", "table", "inet", "probe"))


@pytest.mark.parametrize("codename", CODENAMES)
def test_apt_installs_offline(hosts: dict[str, LabHost], codename: str) -> None:
    host = hosts[codename]
    host.run(("apt-get", "update"))
    host.run(("apt-get", "install", "--yes", "procps"))
    assert host.run(("ps", "-p", "1", "-o", "comm=")).stdout == b"systemd\n"


@pytest.mark.parametrize("codename", CODENAMES)
def test_everything_offered_can_be_installed(hosts: dict[str, LabHost], codename: str) -> None:
    host = hosts[codename]
    host.run(("apt-get", "update"))
    mail = ("dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dovecot-managesieved", "dovecot-sieve", "postfix")
    mail += ("libsasl2-modules", "rspamd")
    tools = ("swaks", "curl", "mpop", "fetchmail", "nftables", "openssl", "ca-certificates", "procps")
    for options in ((), ("--no-install-recommends",)):
        host.run(("apt-get", "install", "--simulate", "--reinstall", *options, *mail, *tools))
        for package in (*mail, *tools):
            host.run(("apt-get", "install", "--simulate", *options, package))


def test_boots_with_packages_installed_and_started(lab: Lab) -> None:
    host = lab.boot("with-packages", "bookworm", packages=("procps", "mpop"))
    assert host.run(("mpop", "--version")).stdout.startswith(b"mpop")
    assert host.run(("test", "-e", "/usr/sbin/policy-rc.d"), check=False).returncode == 1
    assert host.run(("systemctl", "is-system-running")).stdout == b"running\n"
    lab.discard(host)


def test_unknown_package_is_a_clear_error(lab: Lab) -> None:
    with pytest.raises(LabError, match="cannot be installed") as caught:
        lab.boot("never", packages=("no-such-package",))
    assert "no-such-package" in caught.value.why


def test_write_and_read_are_exact(scratch: LabHost) -> None:
    data = bytes(range(256)) * 1000
    scratch.write("/srv/file with 'quotes", data, mode=0o640)
    assert scratch.read("/srv/file with 'quotes") == data
    assert scratch.run(("stat", "-c", "%a %U", "/srv/file with 'quotes")).stdout == b"640 root\n"


def test_run_reports_failure_and_timeout(scratch: LabHost) -> None:
    with pytest.raises(LabError, match="ended with 3"):
        scratch.run(("sh", "-c", "exit 3"))
    assert scratch.run(("sh", "-c", "exit 3"), check=False).returncode == 3
    with pytest.raises(LabError, match="did not end"):
        scratch.run(("sleep", "4711"), timeout=0.5)
    assert scratch.run(("sh", "-c", "cat /proc/[0-9]*/cmdline | grep -c 471[1]"), check=False).stdout == b"0\n"


def test_power_cut_keeps_the_disk(scratch: LabHost) -> None:
    identity = scratch.read("/etc/machine-id")
    scratch.write("/srv/kept", b"kept")
    scratch.kill()
    assert not scratch.running
    with pytest.raises(LabError, match="is off"):
        scratch.run(("true",))
    assert ssh(scratch, "true")[0] == 255
    scratch.start()
    assert scratch.read("/srv/kept") == b"kept"
    assert scratch.read("/etc/machine-id") == identity
    assert ssh(scratch, "cat", "/srv/kept") == (0, "kept")


def test_clean_poweroff_from_outside_and_inside(scratch: LabHost) -> None:
    scratch.stop()
    assert "Halting system" in scratch.console()
    scratch.start()
    ssh(scratch, "systemctl", "poweroff")
    scratch.wait_off()
    scratch.start()
    assert ssh(scratch, "true")[0] == 0


def test_reboot_from_inside(scratch: LabHost) -> None:
    before = scratch.run(("systemctl", "show", "-P", "UserspaceTimestampMonotonic")).stdout
    scratch.run(("touch", "/run/volatile"))
    ssh(scratch, "systemctl", "reboot")
    assert eventually(lambda: ssh(scratch, "test", "!", "-e", "/run/volatile")[0] == 0, 30)
    scratch.wait()
    assert scratch.run(("systemctl", "show", "-P", "UserspaceTimestampMonotonic")).stdout != before


def test_cut_link_is_silent_and_comes_back(scratch: LabHost) -> None:
    scratch.link(up=False)
    started = time.monotonic()
    status, said = ssh(scratch, "true")
    assert status == 255
    assert "timed out" in said
    assert time.monotonic() - started > 2.5
    # Out of band it can still be reached, and from inside nothing gets out.
    ping = f"exec 3<>/dev/tcp/{scratch.place.gateway}/22"
    assert scratch.run(("timeout", "1", "bash", "-c", ping), check=False).returncode == 124
    scratch.link(up=True)
    assert ssh(scratch, "true")[0] == 0


def test_a_session_survives_a_short_cut(scratch: LabHost) -> None:
    argv = ["ssh", "-F", "none", "-i", str(scratch.identity_file), "-o", f"UserKnownHostsFile={scratch.known_hosts}"]
    command = [*argv, f"root@{scratch.address}", "echo up; sleep 2; echo still"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == "up\n"
        scratch.link(up=False)
        time.sleep(1)
        scratch.link(up=True)
        assert session.stdout.readline() == "still\n"


def test_snapshot_boots_clones_with_their_own_identity(lab: Lab, scratch: LabHost) -> None:
    scratch.write("/srv/kept", b"original")
    scratch.run(("rm", "/etc/issue"))
    with pytest.raises(LabError, match="is running"):
        scratch.snapshot()
    scratch.stop()
    layer = scratch.snapshot()
    clones = lab.boot_all([HostSpec(name, layer=layer) for name in ("clone-1", "clone-2")])
    scratch.start()
    scratch.write("/srv/kept", b"changed")
    for clone in clones:
        assert clone.read("/srv/kept") == b"original"
        assert clone.run(("test", "-e", "/etc/issue"), check=False).returncode == 1
        assert ssh(clone, "hostname") == (0, f"{clone.name}\n")
    assert len({host.read("/etc/machine-id") for host in (scratch, *clones)}) == 3
    assert len({host.read("/etc/ssh/ssh_host_ed25519_key.pub") for host in (scratch, *clones)}) == 3
    for clone in clones:
        lab.discard(clone)


def test_a_cable_joins_two_hosts_and_no_third_one(hosts: dict[str, LabHost]) -> None:
    def greeted(here: LabHost, there: LabHost) -> bool:
        script = f"timeout 3 bash -c 'head -c4 </dev/tcp/{there.address}/22'"
        return here.run(("sh", "-c", script), check=False).stdout == b"SSH-"

    one, other, third = (hosts[codename] for codename in CODENAMES)
    assert not greeted(one, other)
    connect(one, other)
    assert greeted(one, other) and greeted(other, one)
    assert not greeted(third, one) and not greeted(one, third)


def test_service_restart_ends_its_sessions(hosts: dict[str, LabHost]) -> None:
    """Machines that share a control group kill the wrong processes, or none."""
    unit = b"[Service]\nType=forking\nExecStart=/bin/sh -c 'sleep 4712 & sleep 4713 &'\n"
    for host in hosts.values():
        host.write("/etc/systemd/system/probe.service", unit)
        host.run(("systemctl", "start", "probe"))
    first, *others = hosts.values()
    first.run(("systemctl", "stop", "probe"))
    count = ("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 471[23]' | wc -l")
    assert first.run(count).stdout == b"0\n"
    assert {host.run(count).stdout for host in others} == {b"2\n"}
    for host in others:
        host.run(("systemctl", "stop", "probe"))


def test_names_are_checked(lab: Lab, scratch: LabHost) -> None:
    with pytest.raises(LabError, match="already"):
        lab.boot(scratch.name)
    with pytest.raises(LabError, match="not a host name"):
        lab.boot("no spaces")
    with pytest.raises(LabError, match="no release"):
        lab.boot("old", "jessie")


def test_close_leaves_nothing() -> None:
    with Lab() as lab:
        one, two = lab.boot_all([HostSpec("one", "bullseye"), HostSpec("two", "trixie")])
        slot, disks = one.place.slot, disks_of(one)
        two.stop()
        lab.boot("three", layer=two.snapshot())
        assert processes(slot)
        assert str(disks) not in Path("/proc/self/mounts").read_text()
    assert leftovers(slot, disks) == []
    lab.close()
    with pytest.raises(LabError, match="closed"):
        lab.boot("late")
    # Which namespaces this machine has says nothing: tests beside this one boot hosts, too.
    assert namespaces_held() == []


def test_an_exception_leaves_nothing() -> None:
    with pytest.raises(KeyboardInterrupt), Lab() as lab:
        host = lab.boot("one")
        slot, disks = host.place.slot, disks_of(host)
        raise KeyboardInterrupt
    assert leftovers(slot, disks) == []


def test_machines_die_with_a_killed_controller() -> None:
    script = """
        import time
        from mailprov.lab import HostSpec, Lab
        lab = Lab()
        one, two = lab.boot_all([HostSpec("one"), HostSpec("two")])
        print(one.place.slot, one.identity_file.parent, flush=True)
        time.sleep(600)
    """
    with controller(script) as process:
        number, directory = line(process.stdout).split()
        slot, disks = int(number), Path(directory)
        assert processes(slot)
        process.kill()
    assert eventually(lambda: processes(slot) == [])
    assert eventually(lambda: not list(Path("/sys/class/net").glob(f"mplab{slot:03d}*")))
    assert str(disks) not in Path("/proc/self/mounts").read_text()
    with Lab():
        pass  # it may have taken that very slot for itself
    assert leftovers(slot, disks) == []


def test_ctrl_c_leaves_nothing() -> None:
    script = """
        import time
        from mailprov.lab import Lab
        with Lab() as lab:
            host = lab.boot("one")
            print(host.place.slot, host.identity_file.parent, flush=True)
            time.sleep(600)
    """
    with controller(script) as process:
        number, directory = line(process.stdout).split()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(10)
    assert leftovers(int(number), Path(directory)) == []


def test_ctrl_c_during_a_build_leaves_nothing(tmp_path: Path) -> None:
    script = """
        from mailprov.lab import RELEASES, HostSpec, Lab
        with Lab() as lab:
            lab.boot_all([HostSpec(release.codename, release.codename) for release in RELEASES])
    """
    with controller(script, MAILPROV_LAB_CACHE=str(tmp_path)) as process:
        # It may tell first that it removes what another lab has left.
        said = (line(process.stderr) for _ in range(1000))
        building = (text for text in said if "building the base of" in text)
        assert len([next(building) for _ in RELEASES]) == len(RELEASES)
        time.sleep(2)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(5)
    assert [path.name for path in tmp_path.rglob("*") if path.suffix != ".lock"] == ["run"]
    assert str(tmp_path) not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


def test_two_labs_do_not_collide() -> None:
    with Lab() as left, Lab() as right:
        one, two = left.boot("same"), right.boot("same")
        assert one.address != two.address
        assert ssh(one, "true")[0] == ssh(two, "true")[0] == 0
