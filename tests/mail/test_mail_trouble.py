"""Bad circumstances: one clear error, the right exit code, and what was served is served."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mail_certificates import certificate
from mail_clients import LOGIN_DENIED, login, logins, served
from mail_machine import ALICE, HASHES, HOSTNAME, PORTS, Machine, Ran, ended

from mailprov.lab import LabHost

pytestmark = [pytest.mark.host, pytest.mark.one_release]


def one_error(ran: Ran, *words: str) -> None:
    """One error, with its cause in words."""
    assert ran.err.count("Error: ") == 1, ran.said
    for word in words:
        assert word in ran.err, ran.said


def state(mail: Machine) -> str:
    """What a host is configured to be, and what runs there."""
    # A folder's own time tells that something was put back, too: it is left out.
    listing = r"\( -type d -printf '%p %m %U %G\n' -o -printf '%p %m %U %G %T@ %l\n' \)"
    return mail.sh(f"find /etc /usr/sbin /var/vmail {listing} | sort | sha256sum") + mail.daemons()


def new_user(mail: Machine) -> None:
    mail.declared["users"].append({"address": "new@example.test", "password": {"hash": HASHES[ALICE]}})


@pytest.mark.one_release
def test_a_host_that_is_no_debian(clone: Machine) -> None:
    before = state(clone)
    kept = clone.host.read("/etc/os-release")
    for told, name in {"ID=ubuntu\nVERSION_ID=24.04\n": "ubuntu 24.04", "": "unknown"}.items():
        clone.sh('umount /etc/os-release 2>/dev/null; printf %b "$1" >/run/other', told)
        clone.sh("mount --bind /run/other /etc/os-release")
        ran = clone.apply()
        assert ran.status == 1
        one_error(ran, f"this host is {name}, not Debian")
    clone.sh("umount /etc/os-release")
    assert (state(clone), clone.host.read("/etc/os-release")) == (before, kept)


@pytest.mark.one_release
def test_nobody_becomes_root(clone: Machine) -> None:
    clone.sh("useradd -m admin && cp -r /root/.ssh /home/admin/ && chown -R admin: /home/admin/.ssh")
    before = state(clone)
    clone.declared["hosts"]["mail1"]["ssh"]["user"] = "admin"
    ran = clone.apply()
    assert ran.status == 1
    one_error(ran, "do not run as root", "become: true")
    clone.declared["hosts"]["mail1"]["become"] = True
    ran = clone.apply()
    assert ran.status == 1
    one_error(ran, "sudo")
    assert state(clone) == before


@pytest.mark.one_release
def test_a_host_that_is_not_the_known_one(mail: Machine, tmp_path: Path) -> None:
    kept = dict(mail.declared["hosts"]["mail1"])
    other = tmp_path / "known_hosts"
    line = mail.host.identity_file.with_suffix(".pub").read_text().split()
    other.write_text(f"{mail.address} {line[0]} {line[1]}\n")
    troubles = {
        "CHANGED": {"ssh": {**kept["ssh"], "known_hosts": str(other)}},
        "refused": {"address": "127.0.0.1", "ssh": {**kept["ssh"], "port": 1}},
    }
    try:
        for word, trouble in troubles.items():
            mail.declared["hosts"]["mail1"] = kept | trouble
            ran = mail.plan()
            assert ran.status == 1, ran.said
            one_error(ran, word)
    finally:
        mail.declared["hosts"]["mail1"] = kept


_HOLDER = """
use Fcntl;
open(my $file, '>>', $ARGV[0]) or die;
my $lock = pack('s s x4 l! l! l!', F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLK, $lock) or die;
sleep($ARGV[1]);
"""


@contextmanager
def held(host: LabHost, lock: str, seconds: int = 300) -> Iterator[None]:
    """Somebody else holds a lock as dpkg does (fcntl(2)), for a while."""
    host.write("/run/holder.pl", _HOLDER.encode())
    host.run(("systemd-run", "-q", "--unit=holder", "perl", "/run/holder.pl", lock, str(seconds)))
    time.sleep(0.5)
    host.run(("systemctl", "is-active", "holder"))
    try:
        yield
    finally:
        host.run(("systemctl", "stop", "holder"), check=False)


@pytest.mark.one_release
def test_another_apt_is_at_work(clone: Machine) -> None:
    """It is waited for, with an end; what is served is served on, and the next apply does it all."""
    clone.sh("dpkg --remove --force-depends ca-certificates")
    clone.prelude = "from mailprov.engine import transaction; transaction.APT_PATIENCE_SECONDS = 2"
    before = state(clone)
    with held(clone.host, "/var/lib/dpkg/lock-frontend"):
        ran = clone.apply()
        assert ran.status == 1
        one_error(ran, "could not install", "lock-frontend", "nothing that is served was touched")
    assert state(clone) == before
    assert logins(clone, ALICE) == [True, True, True]
    clone.prelude = ""
    with held(clone.host, "/var/lib/dpkg/lock-frontend", 4):
        ran = clone.apply()
        assert ran.status == 0, ran.said
    assert clone.plan().status == 0


def test_nothing_can_be_written(clone: Machine) -> None:
    """The disk is full where transactions are kept; then /etc is read-only; then all is well again."""
    fill = "dd if=/dev/zero of=/var/lib/mailprov/fill 2>/dev/null"
    size = "mount -t tmpfs -o size=512k,mode=700 tmpfs /var/lib/mailprov"
    clone.sh(f"cp -a /var/lib/mailprov /root/kept && {size} && cp -a /root/kept/. /var/lib/mailprov/; {fill} || :")
    before, shown = state(clone), clone.shown.fingerprint
    clone.renew()
    new_user(clone)
    ran = clone.apply()
    assert ran.status == 1, ran.said
    one_error(ran, "No space left on device")
    clone.sh("umount /var/lib/mailprov")
    assert state(clone) == before
    clone.sh("mount --bind /etc /etc && mount -o remount,ro,bind /etc")
    ran = clone.apply()
    assert ran.status in (1, 6), ran.said
    one_error(ran, "Read-only file system")
    # What was served and restarted meanwhile may look at /etc through the mount; and the host goes on trying to end.
    clone.sh("umount -l /etc; for _ in $(seq 90); do [ -e /var/lib/mailprov/open ] || break; sleep 1; done")
    assert state(clone) == before
    assert served(clone) == dict.fromkeys(PORTS, shown)
    assert logins(clone, ALICE) == [True, True, True]
    assert clone.apply().status == 0
    assert clone.plan().status == 0
    assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)


# FS_IOC_GETFLAGS and FS_IOC_SETFLAGS with FS_IMMUTABLE_FL (ioctl_iflags(2)): not every Debian has chattr(1).
CHATTR = """perl -e '
    my $flags = pack("L", 0);
    open(FILE, "<", $ARGV[0]) && ioctl(FILE, 0x80086601, $flags) or die $!;
    $flags = unpack("L", $flags) & ~16 | ($ARGV[1] ? 16 : 0);
    ioctl(FILE, 0x40086602, pack("L", $flags)) or die $!;
' "$@" """


@pytest.mark.one_release
@pytest.mark.parametrize("path", ["/etc/dovecot/mailprov/accounts", "/etc/postfix/mailprov/aliases.db", "/etc/dovecot"])
def test_what_is_immutable_is_left_and_nothing_else_is_changed(clone: Machine, path: str) -> None:
    """Whatever stands in the way of the new keeps nobody from being at rest with the old (chattr(1))."""
    declared = copy.deepcopy(clone.declared)
    clone.user(ALICE)["aliases"] = ["another@example.test"]
    clone.declared["services"]["pop3"] = {"tls": 995}
    new_user(clone)
    clone.sh(CHATTR, path, "1")
    ran = clone.apply("--allow-closing")
    assert ran.status == 6, ran.said
    one_error(ran, "could not write", "the host was put back as it was", "Operation not permitted")
    assert "idle" in clone.mailprov("status").out
    changed, clone.declared = clone.declared, declared
    assert clone.plan().status == 0, "it is as it was declared before"
    clone.declared = changed
    clone.sh(CHATTR, path, "0")
    ran = clone.apply("--allow-closing")
    assert ran.status == 0, ran.said
    assert clone.plan().status == 0
    assert logins(clone, ALICE) == [True, True, True]


@pytest.mark.one_release
def test_two_applies_at_once(clone: Machine) -> None:
    clone.sh("echo '# by hand' >>/etc/dovecot/dovecot.conf")
    both = [clone.start("apply", "--yes") for _ in range(2)]
    done = sorted((ended(process) for process in both), key=lambda ran: ran.status)
    assert [ran.status for ran in done] == [0, 8], done
    one_error(done[1], "another apply is at work", "@")
    assert clone.plan().status == 0
    assert clone.apply().status == 0


@pytest.mark.one_release
def test_the_host_moves_after_it_was_looked_at(clone: Machine, tmp_path: Path) -> None:
    """A hand edit between plan and apply is not overwritten."""
    new_user(clone)
    assert clone.plan("--out", "plan.json").status == 2
    clone.sh("echo '# by hand' >>/etc/postfix/main.cf")
    before = state(clone)
    ran = clone.mailprov("apply", "plan.json", "--yes")
    assert ran.status == 4, ran.said
    one_error(ran, "changed after it was looked at")
    assert state(clone) == before
    assert login(clone, "pop3s", "new@example.test", "secret of alice") == LOGIN_DENIED


@pytest.mark.one_release
def test_nobody_agreed(mail: Machine) -> None:
    """Without a terminal and without --yes nothing is changed."""
    kept = list(mail.declared["users"])
    new_user(mail)
    try:
        ran = mail.mailprov("apply")
    finally:
        mail.declared["users"] = kept
    assert ran.status == 5
    one_error(ran, "--yes")
    assert mail.plan().status == 0


def test_a_certificate_kept_on_the_host(clone: Machine) -> None:
    """Renewed by something else there, it is taken up; an unusable one is refused before anything is touched."""
    folder = "/etc/letsencrypt/live/mail"
    clone.sh(f"mkdir -p {folder}")

    def renew(name: str = HOSTNAME, key: str = "") -> None:
        clone.shown = certificate(name, clone.ca)
        clone.host.write(f"{folder}/fullchain.pem", clone.shown.pem.encode())
        clone.host.write(f"{folder}/privkey.pem", (key or clone.shown.key_pem).encode(), 0o600)

    clone.declared["tls"] = {"on_host": {"certificate": f"{folder}/fullchain.pem", "key": f"{folder}/privkey.pem"}}
    renew()
    assert clone.apply().status == 0
    assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)
    assert clone.sh("find /etc/mailprov -name '*.pem'") == ""
    assert clone.plan().status == 0
    good = clone.shown
    renew(key=good.key_pem)
    for wrong in ("its key is missing or belongs to another certificate", "it does not name mail.example.test"):
        ran = clone.apply()
        assert ran.status == 1
        one_error(ran, wrong)
        renew("mail.example.net")
    renew()
    assert "take up the certificate that is there" in clone.plan().out
    assert clone.apply().status == 0
    assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)
    assert clone.plan().status == 0
    assert clone.mailprov("verify", "--no-login", "--ca", "ca.pem").status == 0
