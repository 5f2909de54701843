"""Who a listener belongs to: unit, executable and owner tell it, and no name that a process gives itself does."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailprov.engine import probe
from mailprov.model.listeners import OpenPort, listening, open_ports
from mailprov.platform import debian
from mailprov.standard import REGISTRY

SYSTEM = "/system.slice/"
SSHD, MASTER = "/usr/sbin/sshd", "/usr/lib/postfix/sbin/master"
SYSTEMD = "process\t1\t0\t0\t/init.scope\t/usr/lib/systemd/systemd\n"


def listens(where: str, name: str = "sshd", pid: int = 7, state: str = "LISTEN") -> str:
    return f'{state} 0 128 {where} 0.0.0.0:* users:(("{name}",pid={pid},fd=3))\n'


def process(group: str, program: str = SSHD, uid: int = 0, parent: int = 1, pid: int = 7) -> str:
    return f"process\t{pid}\t{uid}\t{parent}\t{group}\t{program}\n"


def ssh_ports(text: str) -> set[int]:
    return {port.port for port in open_ports(text) if debian.ssh(port)}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (process("/system.slice/ssh.service"), True),
        (process("/system.slice/ssh.service", f"{SSHD} (deleted)"), True),
        (process("/system.slice/ssh-2222.service"), True),
        (process("/system.slice/dropbear.service", "/usr/sbin/dropbear"), True),
        (process("/system.slice/ssh.service", ""), True),  # a container that hides executables
        (process("/lxc/mail/system.slice/ssh.service") + SYSTEMD.replace("/init", "/lxc/mail/init"), True),
        (process("/user.slice/user-0.slice/session-1.scope"), True),  # root has started it by hand
        ("", False),
        (process("/user.slice/user-1000.slice/session-3.scope", "/usr/bin/perl", 1000), False),
        (process("/system.slice/ssh.service", "/usr/bin/perl", 1000), False),  # a host without pam_systemd
        (process("/user.slice/user-1000.slice/user@1000.service/app.slice/ssh.service", SSHD, 1000), False),
        (process("/system.slice/ssh.service", "/usr/sbin/nginx"), False),
        (process("/system.slice/ssh.service", SSHD, parent=612), False),  # ssh -R of root's session
        (process("/system.slice/evil.service", ""), False),
    ],
)
def test_ssh_is_roots_sshd(told: str, found: bool) -> None:
    assert ssh_ports(listens("0.0.0.0:31337") + told) == ({31337} if found else set())


def test_what_only_the_host_reaches_needs_no_rule() -> None:
    told = process("/system.slice/ssh.service")
    for inside in ("127.0.0.1:6010", "[::1]:6010", "[::ffff:127.0.0.1]:6010", "127.0.0.53%lo:6010"):
        assert ssh_ports(listens(inside) + told) == set()
    for outside in ("*:22", "[::]:22", "192.0.2.1:22", "[fe80::1]%eth0:22", "[::%eth0]:22"):
        assert ssh_ports(listens(outside) + told) == {22}


UNITS = "Id={}.socket\nListen=[::]:22 (Stream)\nListen=0.0.0.0:2222 (Stream)\nListen=/run/x (Stream)\n"


@pytest.mark.parametrize(("unit", "found"), [("ssh", {22, 2222}), ("sshd", {22, 2222}), ("cockpit", set())])
def test_socket_units_of_ssh_count(unit: str, found: set[int]) -> None:
    text = listens("*:22", "systemd", 1) + listens("0.0.0.0:2222", "systemd", 1) + listens("*:9090", "systemd", 1)
    text += SYSTEMD + f"\nId=dbus.socket\nListen=/run/dbus (Stream)\n\n{UNITS.format(unit)}"
    assert ssh_ports(text) == found
    assert open_ports(text)[0].owner == f"{unit}.socket"
    # Who is not systemd takes no socket of a unit's.
    assert ssh_ports(text.replace("pid=1,", "pid=7,")) == set()


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (process("/system.slice/system-postfix.slice/postfix@-.service", MASTER), True),
        (process("/system.slice/postfix.service", MASTER), True),
        (process("/system.slice/postfix.service", "/usr/bin/perl", 1000), False),  # what ~/.forward starts
        (process("/user.slice/user-1000.slice/user@1000.service/app.slice/postfix.service", "", 1000), False),
        (process("/system.slice/docker-0123.scope/system.slice/postfix.service", MASTER), False),
        (process("/system.slice/x.service", MASTER), False),
    ],
)
def test_mail_listens_in_its_own_unit(told: str, found: bool) -> None:
    assert bool(listening(listens("0.0.0.0:25", "master") + told, REGISTRY.units)) is found


HOSTILE = ['",pid=8,fd=3', '",pid=8,fd=3),(', ',pid=8,fd=3),("', '("', "))", 'a",pid=8', "\u2028", "a b"]


@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=15), min_size=1, max_size=3))
def test_no_name_passes_for_another_process(names: list[str]) -> None:
    names = [name.encode()[:15].decode(errors="ignore").replace("\n", "") for name in names]
    users = ",".join(f'("{name}",pid={70 + at},fd=3)' for at, name in enumerate(names))
    text = f"LISTEN 0 128 0.0.0.0:31337 0.0.0.0:* users:({users})\n" + process(SYSTEM + "ssh.service", pid=8)
    assert {each.pid for port in open_ports(text) for each in port.processes} <= {70, 71, 72}


@pytest.mark.parametrize(
    ("port", "owner"),
    [
        (listens("*:443", "nginx") + process("/system.slice/nginx.service"), "nginx"),
        (listens("*:443", "java") + process("/system.slice/tomcat9.service", uid=998), "java, tomcat9.service"),
        (listens("*:443", "perl"), "perl"),
        (listens("*:443", "\x1b[2J"), "?[2J"),
        (listens("*:443", '",pid=1,fd=1'), "a program whose name cannot be read"),
        ("LISTEN 0 64 0.0.0.0:2049 0.0.0.0:*\n", "the kernel"),
    ],
)
def test_owners_in_words(port: str, owner: str) -> None:
    assert [each.owner for each in open_ports(port)] == [owner]


@given(st.text(max_size=100), st.sampled_from(["LISTEN 0 0 ", "process\t", "Id=x\nListen=", ""]))
def test_any_answer_is_read(text: str, head: str) -> None:
    assert all(isinstance(port, OpenPort) for port in open_ports(head + text))


def test_the_probe_tells_what_the_kernel_knows() -> None:
    """Of a real process; `ss` is played, since not every machine that runs tests shows whose sockets are."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        line = f'LISTEN 0 1 *:1 *:* users:(("x",pid={sleeper.pid},fd=1),("y",pid=1,fd=1),("gone",pid=999999999,fd=1))'
        script = f"{probe.functions(REGISTRY)}\nss() {{ echo '{line}'; }}\nsockets -t"
        said = subprocess.run(["dash", "-c", script], capture_output=True, text=True, check=True).stdout
        sleeper.kill()
    [port] = open_ports(said)
    first, _, gone = port.processes
    assert (first.uid is not None, first.parent > 0, gone.uid) == (True, True, None)
    assert first.uid != 0 or first.program.endswith(("sleep", "coreutils", "busybox"))
