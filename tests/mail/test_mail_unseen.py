"""What a plan once did not see: each of these was "no changes", or a plan whose apply failed late."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from mail_clients import arrives, deliver, imap, login, logins, served, subjects
from mail_machine import ALICE, PORTS, Machine, Ran, eventually
from newer_archive import newer_archive

pytestmark = [pytest.mark.host, pytest.mark.one_release]

MAPS = "/etc/postfix/mailprov"
SOCKETS = "/var/spool/postfix/private"


def said(ran: Ran) -> str:
    """What it said, its columns a space apart."""
    return re.sub("  +", " ", ran.said)


def mended(mail: Machine, told: list[str], *consents: str) -> str:
    """The plan tells all of this as drift, an apply mends it, and nothing is left to do; what the plan said."""
    plan = mail.plan("--details")
    assert plan.status == 2, plan.said
    missing = [text for text in told if text not in said(plan)]
    assert not missing, plan.said
    applied = mail.apply(*consents)
    assert applied.status == 0, applied.said
    again = mail.plan()
    assert again.status == 0, again.said
    return said(plan)


def test_what_an_installation_brings_along_is_told_beforehand(clone: Machine) -> None:
    imap_declared = clone.declared["services"].pop("imap")
    assert clone.apply("--allow-closing").status == 0
    clone.sh("apt-get -q -y purge dovecot-imapd && systemctl restart dovecot")
    assert clone.plan().status == 0
    clone.declared["services"]["imap"] = imap_declared
    clone.sh("mv /var/lib/apt/lists /root/lists")
    told = said(clone.plan())
    until = "until an apply or `apt-get update` there fetches new package lists"
    assert f"what else installing dovecot-imapd changes is not known, {until}: apt on the host says: " in told
    clone.sh("rm -rf /var/lib/apt/lists && mv /root/lists /var/lib/apt/lists")

    newer_archive(clone.host, version="1:9.9.9-1")
    refused = clone.plan()
    assert refused.status == 1
    assert "reads another configuration" in refused.err
    assert "apt-get install NAME=1:2." in refused.err

    newer_archive(clone.host)
    before = clone.files()
    plan = clone.plan()
    assert clone.files() == before, "a plan writes nothing"
    assert plan.status == 2
    assert re.search(r"package dovecot-core upgrade (\S+) → \1\+newer1 ", said(plan)), plan.said
    assert re.search(r"package dovecot-imapd install \S+\+newer1 ", said(plan)), plan.said
    assert "dovecot: RESTART (live sessions are cut)" in plan.out
    refused = clone.apply()
    assert (refused.status, "--allow-restart" in refused.err) == (5, True), refused.said
    applied = clone.apply("--allow-restart")
    assert applied.status == 0, applied.said
    assert logins(clone, ALICE) == [True, True, True]
    assert clone.sh("dpkg-query -W -f '${Version}' dovecot-core").endswith("+newer1")
    assert clone.plan().status == 0


TORN = r"""
for name in dovecot-core dovecot-imapd; do
    sed -i "/^Package: $name$/,/^$/s/^Status: .*/Status: install reinstreq half-installed/" /var/lib/dpkg/status
done
"""


def test_packages_in_which_dpkg_was_killed_are_installed_again(clone: Machine) -> None:
    clone.sh(TORN)
    mended(clone, ["+ package dovecot-core install", "+ package dovecot-imapd install"], "--allow-restart")
    assert clone.sh("dpkg --audit") == ""
    assert logins(clone, ALICE) == [True, True, True]


HALF_UPGRADED = r"""
cd /srv/newer && dpkg --unpack dovecot-imapd_*.deb dovecot-lmtpd_*.deb dovecot-pop3d_*.deb
sed -i "/^Package: dovecot-pop3d$/,/^$/s/^Status: .*/Status: install reinstreq half-installed/" /var/lib/dpkg/status
"""


@pytest.mark.one_release
def test_an_upgrade_in_which_dpkg_was_killed_is_finished(clone: Machine) -> None:
    """One package is to be unpacked again, and needs another that the upgrade had not come to."""
    newer_archive(clone.host)
    clone.sh(HALF_UPGRADED)
    applied = clone.apply("--allow-restart")
    assert applied.status == 0, applied.said
    assert clone.sh("dpkg --audit") == ""
    assert clone.sh("dpkg-query -W -f '${Version}' dovecot-core").endswith("+newer1")
    assert logins(clone, ALICE) == [True, True, True]
    assert clone.plan().status == 0


@pytest.mark.one_release
def test_a_verification_that_was_killed_is_in_nobodys_way(clone: Machine) -> None:
    verifying = clone.start("verify", "--ca", "ca.pem")
    assert eventually(lambda: clone.sh("ls /var/lib/mailprov/testaccount/row.* 2>/dev/null || :"))
    verifying.kill()
    verifying.communicate()
    left = clone.sh(
        "systemctl list-units --all --plain --no-legend '*mailprov-test-*'; ls /var/lib/mailprov/testaccount"
    )
    assert ".timer" in left, left
    plan = clone.plan("--details")
    assert (plan.status, "mailprov-test" in plan.said) == (0, False), plan.said
    clone.user(ALICE)["quota"] = "3GiB"
    assert clone.apply().status == 0
    verified = clone.mailprov("verify", "--ca", "ca.pem")
    assert verified.status == 0, verified.said
    plan = clone.plan("--details")
    assert (plan.status, "mailprov-test" in plan.said) == (0, False), plan.said


def test_a_maps_database_is_looked_at(clone: Machine) -> None:
    """Whoever can write it decides whose mail arrives where."""
    clone.sh(f"chmod 666 {MAPS}/mailboxes.db; chown nobody {MAPS}/aliases.db")
    clone.sh(f"cp -a {MAPS}/logins.db /root/elsewhere; ln -sf /root/elsewhere {MAPS}/logins.db")
    mended(clone, [f"map {MAPS}/{name} mode and owner [drift]" for name in ("mailboxes", "aliases", "logins")])
    kept = clone.sh(f"stat -c '%F %a %U %G' {MAPS}/mailboxes.db {MAPS}/aliases.db {MAPS}/logins.db")
    assert set(kept.splitlines()) == {"regular file 640 root postfix"}
    assert clone.sh("test -f /root/elsewhere && echo there").strip() == "there"
    assert arrives(clone, ALICE, deliver(clone, "sales@example.test"))


@pytest.mark.one_release
@pytest.mark.parametrize("path", ["/etc/dovecot/mailprov/accounts", f"{MAPS}/mailboxes", f"{MAPS}/mailboxes.db"])
def test_what_lies_in_the_way_is_named_by_the_plan(clone: Machine, path: str) -> None:
    for put in ("mkfifo", "mkdir", "ln -s /root/other"):
        if put.startswith("ln") and path.endswith(".db"):
            continue  # what it was made of is known: it is made again
        clone.sh(f"mv {path} /root/other && {put} {path}")
        for ran in (clone.plan(), clone.apply()):
            assert (ran.status, "something is in the way" in ran.err, path in ran.err) == (1, True, True), ran.said
        clone.sh(f"rm -d {path}; mv /root/other {path}")
    assert clone.plan().status == 0


def test_a_mask_for_now_and_the_owner_of_mail(clone: Machine) -> None:
    clone.sh("systemctl mask -q --runtime dovecot; groupdel -f vmail")
    mended(clone, ["service dovecot unmask, enable [drift]", "user vmail group none → vmail [drift]"])
    assert clone.sh("systemctl is-enabled dovecot; id -gn vmail; stat -c %G /var/vmail") == "enabled\nvmail\nvmail\n"
    clone.sh("usermod -g mail vmail; groupdel vmail")
    mended(clone, ["user vmail group mail → vmail [drift]"])
    clone.sh("systemctl stop dovecot; systemctl mask -q --runtime dovecot")
    mended(clone, ["service dovecot unmask, enable, start [drift]"])
    clone.sh("userdel -f vmail; ! getent group vmail || groupdel vmail")
    mended(clone, ["user vmail create"])
    assert arrives(clone, ALICE, deliver(clone, ALICE))


SQUATTER = """
systemd-run -q --unit=squatter perl -MIO::Socket::INET -e '
    my $it = IO::Socket::INET->new(LocalAddr => "0.0.0.0:25", Listen => 1, ReuseAddr => 1) or die; sleep 600'
"""


def test_what_is_undone_leaves_masks_and_groups_as_they_were(clone: Machine) -> None:
    group = clone.sh("id -g vmail").strip()
    clone.sh(f"systemctl stop postfix; systemctl mask -q --runtime postfix; groupdel -f vmail; {SQUATTER}")
    refused = clone.apply()
    assert refused.status == 6, refused.said
    found = clone.sh("systemctl is-enabled postfix; id -g vmail; getent group vmail || echo none", check=False)
    assert found.split() == ["masked-runtime", group, "none"]
    clone.sh("systemctl stop squatter")
    mended(clone, ["service postfix unmask, enable, start [drift]", "user vmail group none → vmail [drift]"])


def test_mail_that_dovecot_cannot_enter_is_refused(clone: Machine) -> None:
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    uid = clone.sh("id -u vmail").strip()
    cases = {
        "chown -R 4321 /var/vmail/example.test": ("/var/vmail/example.test", "uid 4321 (which no user has)"),
        "chown root /var/vmail/example.test/alice": ("/var/vmail/example.test/alice", "uid 0 (root)"),
        "chmod 600 /var/vmail/example.test": ("/var/vmail/example.test", "its mode is 600"),
        "userdel -f vmail; useradd -r -u 4322 -U -d /var/vmail -s /usr/sbin/nologin vmail": (
            "/var/vmail/example.test",
            f"uid {uid} (which no user has), vmail is uid 4322",
        ),
        f"userdel -f vmail; useradd -r -u {uid} -U intruder": ("/var/vmail/example.test", f"uid {uid} (intruder)"),
    }
    clone.sh("mkdir -p /var/vmail/backup/mysql && chmod 700 /var/vmail/backup")  # nobody's mail
    for spoil, (path, why) in cases.items():
        clone.sh(f"cp -a /etc/passwd /etc/group /etc/shadow /etc/gshadow /root; {spoil}")
        for ran in (clone.plan(), clone.apply()):
            assert ran.status == 1, (spoil, ran.said)
            assert f"could not enter {path}" in ran.err, ran.said
            assert why in ran.err, ran.said
        if "userdel" not in spoil:
            fix = re.search(r"accounts: (ch\S+ .*?);", re.sub(r"\s+", " ", ran.err))
            assert fix, ran.err
            clone.sh(fix[1])
        clone.sh("cd /root && mv passwd group shadow gshadow /etc")
        assert clone.plan().status == 0, spoil
    assert arrives(clone, ALICE, deliver(clone, ALICE))


def test_a_daemon_that_runs_something_else_than_its_file(clone: Machine) -> None:
    """Nothing but what listens tells of it."""
    conf, main = "/etc/dovecot/dovecot.conf", "/etc/postfix/main.cf"
    edit = f"cp -a {conf} /root/conf; sed -i 's/port = 110$/port = 0/; s/port = 995$/port = 1995/' {conf}"
    clone.sh(f"{edit}; doveadm reload; sleep 1; mv /root/conf {conf}")
    plan = mended(
        clone, ["service dovecot reload: it does not listen on 110, 995; it listens on 1995"], "--allow-closing"
    )
    assert "dovecot: reload (live sessions stay)" in plan
    assert served(clone) == dict.fromkeys(PORTS, clone.shown.fingerprint)
    clone.sh(
        f"cp -a {conf} /root/conf; echo 'mail_debug = yes' >>{conf}; doveadm reload; sleep 1; mv /root/conf {conf}"
    )
    mended(clone, ["service dovecot reload: it runs an older configuration than its file"])

    clone.sh(f"cp -a {main} /root/main; sed -i 's/^inet_interfaces.*/inet_interfaces = loopback-only/' {main}")
    clone.sh(f"touch -d '-9 seconds' {main}; systemctl restart postfix; mv /root/main {main}")
    assert clone.apply().status == 5
    mended(clone, ["service postfix restart: it listens on 25, 465, 587 for this host only"], "--allow-restart")
    assert logins(clone, ALICE) == [True, True, True]
    clone.host.stop()
    clone.host.start()
    assert clone.plan().status == 0


def test_sockets_that_went_with_postfixs_folders_are_made_again(clone: Machine) -> None:
    """Reinstalled by hand, Postfix answers 451 to everything; a reload of Dovecot changes nothing about that."""
    clone.sh(f"rm {SOCKETS}/auth {SOCKETS}/dovecot-lmtp {SOCKETS}/quota-status")
    refused = clone.apply()
    assert (refused.status, "--allow-restart" in refused.err) == (5, True)
    assert f"{SOCKETS}/auth, {SOCKETS}/dovecot-lmtp, {SOCKETS}/quota-status are gone" in refused.said
    mended(clone, ["service dovecot restart: "], "--allow-restart")
    assert arrives(clone, ALICE, deliver(clone, ALICE))

    clone.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y purge postfix")
    mended(clone, ["package postfix install", "service dovecot restart: "], "--allow-restart")
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    assert logins(clone, ALICE) == [True, True, True]


@pytest.mark.one_release
@pytest.mark.parametrize("gone", ["purge dovecot-core", "purge nftables", "remove postfix"])
def test_what_somebody_has_taken_away_is_installed_again(clone: Machine, gone: str) -> None:
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    clone.sh(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y {gone}")
    mended(clone, [f"package {gone.split()[1]} install", "[drift]"], "--allow-restart")
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    assert len(subjects(clone, ALICE)) == 2
    assert logins(clone, ALICE) == [True, True, True]
    assert "inet mailprov" in clone.sh("nft list tables")


def test_a_host_without_ipv6_sockets(clone: Machine) -> None:
    clone.sh("mkdir -p /etc/systemd/system/service.d")
    clone.sh("printf '[Service]\\nRestrictAddressFamilies=~AF_INET6\\n' >/etc/systemd/system/service.d/no6.conf")
    clone.host.stop()
    clone.host.start()
    plan = clone.plan("--details")
    assert plan.status == 2, plan.said
    assert "+listen = *\n" in plan.out.replace("      ", "")
    applied = clone.apply("--allow-restart")
    assert applied.status == 0, applied.said
    assert clone.plan().status == 0
    assert logins(clone, ALICE) == [True, True, True]
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    with imap(clone, ALICE) as client:
        assert client.noop()[0] == "OK"
    assert login(clone, "pop3s", ALICE, "secret of alice") == 0
    clone.sh("rm /etc/systemd/system/service.d/no6.conf")
    clone.host.stop()
    clone.host.start()
    assert clone.apply("--allow-restart").status == 0
    assert clone.plan().status == 0


@pytest.mark.one_release
def test_a_host_that_is_reached_by_ipv6_alone(clone: Machine) -> None:
    outside, inside, name = "fd00:0:0:25::1", "fd00:0:0:25::2", clone.host.place.name
    subprocess.run(("ip", "-6", "address", "add", f"{outside}/64", "dev", name, "nodad"), check=True)
    clone.sh(f"sysctl -q -w net.ipv6.conf.host0.disable_ipv6=0; ip -6 address add {inside}/64 dev host0 nodad")
    ssh = clone.declared["hosts"]["mail1"]["ssh"]
    known = clone.folder / "known_hosts"
    known.write_text(Path(ssh["known_hosts"]).read_text().replace(clone.address, inside))
    ssh["known_hosts"] = str(known)
    clone.sh("ip -4 address flush dev host0")
    clone.declared["hosts"]["mail1"]["address"] = inside
    clone.user(ALICE)["quota"] = "3GiB"
    applied = clone.apply()
    assert applied.status == 0, applied.said
    clone.address = inside
    with imap(clone, ALICE) as client:
        assert client.noop()[0] == "OK"
    assert arrives(clone, ALICE, deliver(clone, ALICE))
    assert clone.plan().status == 0
