"""Who listens on a host beside the mail services: what others serve is neither taken for ours nor closed in silence."""

from __future__ import annotations

import pytest
from mail_machine import Machine, Ran

pytestmark = [pytest.mark.host, pytest.mark.two_releases]

EVERYWHERE = "0.0.0.0"  # noqa: S104

LISTEN = (
    'use IO::Socket::IP; $0 = $ARGV[1]; open F, ">/proc/self/comm"; print F $ARGV[1]; close F;'
    "my $s = IO::Socket::IP->new(LocalHost => $ARGV[2], LocalPort => $ARGV[0], Proto => $ARGV[3],"
    ' ($ARGV[3] eq "tcp" ? (Listen => 5) : ())) or die $!; sleep 600'
)


def listen(mail: Machine, port: int, name: str, address: str = EVERYWHERE, protocol: str = "tcp") -> None:
    """An ordinary user's process of that name."""
    mail.host.run(("sh", "-c", "id mallory >/dev/null 2>&1 || useradd -m mallory"))
    properties = ("-p", "User=mallory", "--collect")
    mail.host.run(("systemd-run", "-q", *properties, "perl", "-e", LISTEN, str(port), name, address, protocol))
    flag = "-Hltn" if protocol == "tcp" else "-Hlun"
    mail.sh(f"for i in $(seq 50); do ss {flag} | grep -q ':{port} ' && exit; sleep 0.1; done; exit 1")


INSIDE = (
    "g=/sys/fs/cgroup; [ ! -d $g/systemd ] || g=$g/systemd; g=$g/system.slice/outer.service/$1; shift;"
    " mkdir $g && chmod 755 $g && echo 0 >$g/cgroup.procs &&"
    ' exec setpriv --reuid mallory --clear-groups perl -e "$@"'
)


def listen_inside(mail: Machine, unit: str, port: int, name: str) -> None:
    """As `listen`, in a unit of that name inside another, as a user's own units are."""
    words = ("sh", "-c", INSIDE, "sh", unit, LISTEN, str(port), name, EVERYWHERE, "tcp")
    mail.host.run(("systemd-run", "-q", "--unit=outer", "-p", "Delegate=yes", "--collect", *words))
    mail.sh(f"for i in $(seq 50); do ss -Hltn | grep -q ':{port} ' && exit; sleep 0.1; done; exit 1")


def refused(ran: Ran) -> list[str]:
    """What wants a consent."""
    assert ran.status == 5, ran.said
    return [line.strip().removeprefix("! ") for line in ran.said.splitlines() if ": needs --allow-" in line]


@pytest.mark.one_release
def test_a_name_opens_nothing_and_stops_nothing(clone: Machine) -> None:
    """Not to the plan, the apply's own checks, status or doctor."""
    for port, name, address in (
        (31337, "sshd", EVERYWHERE),
        (31338, "master", "127.0.0.1"),
        (31339, "dovecot", "127.0.0.1"),
        (31340, "master", EVERYWHERE),
        (31341, 'x",pid=1,fd=3', EVERYWHERE),
    ):
        listen(clone, port, name, address)
    listen_inside(clone, "dovecot.service", 31342, "dovecot")
    assert clone.plan().status == 0, clone.plan().said
    clone.declared["services"]["submission"] = {"starttls": 587}
    applied = clone.apply("--allow-closing")
    assert applied.status == 0, applied.said
    assert "313" not in clone.sh("nft list table inet mailprov")
    assert clone.plan().status == 0
    assert "idle" in clone.mailprov("status").out


@pytest.mark.one_release
def test_a_second_port_of_ssh_wants_a_consent(clone: Machine) -> None:
    """So it does on the way back, and on the way back from there."""
    clone.sh("echo 'Port 22\nPort 2222' >>/etc/ssh/sshd_config; systemctl restart ssh; sleep 0.5")
    opens = ["opens port 2222 to everyone, for SSH (sshd, ssh.service): needs --allow-opening"]
    assert refused(clone.apply()) == opens
    assert clone.apply("--allow-opening").status == 0
    assert 'tcp dport 2222 accept comment "ssh"' in clone.sh("nft list table inet mailprov")
    assert clone.plan().status == 0
    closes = ["closes port 2222 (sshd, ssh.service): needs --allow-closing"]
    assert refused(clone.mailprov("rollback", "--yes")) == closes
    assert clone.mailprov("rollback", "--yes", "--allow-closing").status == 0
    assert refused(clone.mailprov("rollback", "--yes")) == opens
    assert clone.mailprov("rollback", "--yes", "--allow-opening").status == 0


@pytest.mark.one_release("bullseye")
def test_socket_units_of_ssh_stay_open(clone: Machine) -> None:
    """Also when nobody is connected over one of their ports."""
    clone.sh(
        "d=/etc/systemd/system/ssh.socket.d; mkdir -p $d;"
        "printf '[Socket]\nListenStream=\nListenStream=22\nListenStream=2222\n' >$d/more.conf;"
        "systemctl daemon-reload; systemctl stop ssh.service; systemctl enable -q --now ssh.socket"
    )
    [said] = refused(clone.apply())
    assert said == "opens port 2222 to everyone, for SSH (ssh.socket): needs --allow-opening"
    applied = clone.apply("--allow-opening")
    assert applied.status == 0, applied.said
    listed = clone.sh("nft list table inet mailprov")
    assert all(f'tcp dport {port} accept comment "ssh"' in listed for port in (22, 2222))
    assert clone.plan().status == 0


@pytest.mark.one_release
def test_what_others_serve_is_not_closed_without_a_word(clone: Machine) -> None:
    clone.declared["firewall"] = {"manage": False}
    assert clone.apply().status == 0
    listen(clone, 8443, "nginx")
    listen(clone, 8080, "java", "127.0.0.1")
    listen(clone, 51820, "wg", protocol="udp")
    listen(clone, 9000, "docker-proxy")
    clone.sh("sysctl -qw net.ipv4.ip_forward=1")
    clone.sh(
        "nft 'add table ip nat; add chain ip nat p { type nat hook prerouting priority -100; };"
        " add rule ip nat p tcp dport 9000 dnat to 172.17.0.2:80'"
    )
    clone.declared["firewall"] = {"manage": True}
    said = clone.apply()
    found = refused(said)
    assert [line.partition(",")[0] for line in found] == ["closes port 8443 (nginx", "closes UDP port 51820 (wg"], found
    assert "port 9000 is passed on to 172.17.0.2:80 (DNAT)" in said.said
    clone.declared["firewall"]["allow"] = [{"port": 8443}, {"port": 51820, "protocol": "udp"}]
    applied = clone.apply()
    assert applied.status == 0, applied.said
    assert "udp dport 51820 accept" in clone.sh("nft list table inet mailprov")
    assert "port 9000 is passed on" in clone.plan().said
    clone.declared["firewall"]["allow"] = [{"port": 8443, "from": ["10.0.0.0/8"]}]
    found = refused(clone.apply())
    assert [line.partition(" (")[0] for line in found] == [
        "narrows port 8443 from everywhere to 10.0.0.0/8",
        "closes UDP port 51820",
    ]
    assert clone.apply("--allow-closing").status == 0
    back = clone.mailprov("rollback", "--yes")
    assert back.status == 0, back.said
    found = refused(clone.mailprov("rollback", "--yes"))
    assert [line.partition(" (")[0] for line in found] == [
        "narrows port 8443 from everywhere to 10.0.0.0/8",
        "closes UDP port 51820",
    ]


@pytest.mark.one_release
def test_what_has_no_ports_is_not_closed_without_a_word(clone: Machine) -> None:
    """VRRP, say, by which two hosts share an address."""
    clone.declared["firewall"] = {"manage": False}
    assert clone.apply().status == 0
    script = "socket(my $s, PF_INET, SOCK_RAW, 112) or die $!; sleep 600"
    clone.host.run(("systemd-run", "-q", "--unit=keepalived", "perl", "-MSocket", "-e", script))
    clone.sh("for i in $(seq 50); do ss -Hlnw | grep -q ':112 ' && exit; sleep 0.1; done; exit 1")
    clone.declared["firewall"] = {"manage": True}
    [said] = refused(clone.apply())
    assert said.startswith("closes IP protocol 112 (perl, keepalived.service), which `firewall.allow` cannot open")
    assert clone.apply("--allow-closing").status == 0
    assert clone.plan().status == 0
