"""What is said of a Dovecot and a Postfix that somebody else has set up."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_host import VERSIONS, SimulatedHost, Unit, declare

from mailprov.errors import HostError
from mailprov.model import Plan
from mailprov.workflows.survey import survey

STOCK = Path(__file__).parent / "stock"
RELEASES = {"bullseye": "11", "bookworm": "12", "trixie": "13"}


def lived_in(
    tmp_path: Path,
    postfix: str,
    dovecot: str,
    release: str = "bookworm",
    *,
    runs: bool = True,
    waiting: int = 0,
    sieve: bool = False,
) -> Plan:
    """The plan for a host on which both daemons are, with these answers."""
    host = SimulatedHost(release=RELEASES[release])
    version = VERSIONS[host.release]
    host.packages_ |= {"postfix": "3.7", "dovecot-core": version, "dovecot-imapd": version, "dovecot-lmtpd": version}
    state = "active" if runs else "inactive"
    host.units |= {"dovecot": Unit(active=state), "postfix": Unit(active=state), "postfix@-": Unit(active=state)}
    host.said |= {"postfix_setup": postfix, "dovecot_setup": dovecot, "waiting": f"{waiting}\n"}
    spec = declare(tmp_path, {"sieve": sieve})
    return survey(spec, spec.hosts["mail1"], host.host()).plan


def ends(plan: Plan) -> list[str]:
    return [risk.text for risk in plan.risks if risk.flag == "takeover"]


def stock(release: str) -> tuple[str, str]:
    return (STOCK / f"{release}.postfix").read_text(), (STOCK / f"{release}.dovecot").read_text()


@pytest.mark.parametrize("release", RELEASES)
def test_nobody_misses_what_debian_has_set_up(tmp_path: Path, release: str) -> None:
    plan = lived_in(tmp_path, *stock(release), release)
    assert ends(plan) == []
    assert [str(change.key) for change in plan.changes if change.key.kind == "queue"] == ["queue postfix"]


@pytest.mark.parametrize("release", RELEASES)
def test_who_has_a_password_can_log_in_as_debian_has_it(tmp_path: Path, release: str) -> None:
    postfix, dovecot = stock(release)
    where = "mbox:%{home}/mail" if release == "trixie" else "mbox:~/mail:INBOX=/var/mail/%u"
    assert ends(lived_in(tmp_path, postfix, dovecot + "login nora\n", release)) == [
        "one who can log in today (pam) cannot any more: nora",
        f"mail that lies at {where} is not looked for: each mailbox begins empty, in /var/vmail",
    ]
    assert ends(lived_in(tmp_path, postfix, dovecot + "down\n", release, runs=False)) == []


SIEVE = """
set managesieve_sieve_capability = fileinto
set plugin {
set   sieve = file:~/sieve;active=~/.dovecot.sieve
set }
"""


def test_scripts_are_found_again_where_debian_has_them(tmp_path: Path) -> None:
    assert ends(lived_in(tmp_path, "", SIEVE)) == [
        "further settings of Dovecot end: managesieve_sieve_capability, plugin"
    ]
    assert ends(lived_in(tmp_path, "", SIEVE, sieve=True)) == []
    other = SIEVE.replace("~/sieve;", "/srv/sieve;")
    assert ends(lived_in(tmp_path, "", other, sieve=True)) == ["further settings of Dovecot end: plugin"]


HAND_BUILT = """
set mydestination = example.com, mx.example.net, acme.test, localhost
set myhostname = mx.example.net
set mynetworks = 127.0.0.0/8 10.1.0.0/16 [::1]/128
set relayhost = [smtp.provider.test]:587
set smtpd_milters = inet:127.0.0.1:8891
set home_mailbox = Maildir/
set virtual_alias_maps = hash:/etc/postfix/virtual
set alias_maps = hash:/etc/aliases
set virtual_alias_domains = hash:/etc/postfix/domains
set smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
set header_checks = regexp:/etc/postfix/headers
set disable_vrfy_command = yes
set smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination
service smtp inet n - y - - smtpd
service smtp-amavis unix - - y - 2 smtp -o smtp_data_done_timeout=1200
local root
local info
local alice
local nora
"""
DOVECOT = """
set mail_location = maildir:~/Maildir
set mail_plugins = " quota"
set passdb {
set   driver = pam
set }
set passdb {
set   args = /etc/dovecot/dovecot-sql.conf.ext
set   driver = sql
set }
set plugin {
set   sieve = ~/.dovecot.sieve
set }
login alice@example.com
login nora
login tom
"""


def test_what_ends_is_said(tmp_path: Path) -> None:
    plan = lived_in(tmp_path, HAND_BUILT, DOVECOT, waiting=1)
    assert ends(plan) == [
        "2 who can log in today (pam, sql) cannot any more: nora, tom",
        "mail that lies at maildir:~/Maildir is not looked for: each mailbox begins empty, in /var/vmail",
        "further settings of Dovecot end: mail_plugins, plugin",
        "domains of hash:/etc/postfix/domains get no mail any more, where they are not declared",
        "mail is refused for domains that are not declared: acme.test",
        "mail is refused for addresses that are not declared: info@example.com, nora@example.com",
        "nobody sends without a login any more: not from 10.1.0.0/16 (mynetworks)",
        "mail for others no longer leaves through [smtp.provider.test]:587, but directly",
        "mail no longer passes the milters inet:127.0.0.1:8891",
        "mail is no longer delivered to Maildir/ in each user's home",
        "the aliases of hash:/etc/postfix/virtual end, where they are not declared",
        "further settings of Postfix end: header_checks, smtp_sasl_password_maps",
        "services of master.cf end: smtp-amavis",
    ]
    held = next(warning for warning in plan.warnings if "queue" in warning)
    assert held.startswith("1 message waits in Postfix's queue")


def test_mail_that_lies_where_it_will_is_found(tmp_path: Path) -> None:
    for where in ("maildir:/var/vmail/%d/%n/Maildir", "maildir:/var/vmail/%Ld/%Ln/Maildir"):
        told = ends(lived_in(tmp_path, "", f"set mail_location = {where}\nlogin x@example.com\n"))
        assert told == ["one who can log in today (no password database) cannot any more: x@example.com"]


def test_who_cannot_be_listed_is_said_to_be(tmp_path: Path) -> None:
    told = ends(lived_in(tmp_path, "", "set passdb ldap {\nset }\nunlisted\n", "trixie"))
    assert told == ["logins that ldap knows end, where they are not declared: Dovecot cannot list them"]


def test_what_mailprov_has_applied_is_its_own(tmp_path: Path) -> None:
    host, spec = SimulatedHost(), declare(tmp_path)
    host.become(spec)
    host.said |= {"postfix_setup": HAND_BUILT, "dovecot_setup": DOVECOT}
    plan = survey(spec, spec.hosts["mail1"], host.host()).plan
    assert plan.empty and not plan.risks


COURIER = """\
LISTEN 0 9 *:993 *:* users:(("couriertcpd",pid=4,fd=1))
LISTEN 0 9 127.0.0.1:587 *:* users:(("exim4",pid=5,fd=1))
LISTEN 0 9 0.0.0.0:80 *:* users:(("nginx",pid=6,fd=1))
LISTEN 0 9 0.0.0.0:25 *:* users:(("master",pid=7,fd=1))
process\t4\t0\t1\t/system.slice/courier-imap-ssl.service\t/usr/sbin/couriertcpd
process\t5\t0\t1\t/system.slice/exim4.service\t/usr/sbin/exim4
process\t7\t0\t1\t/system.slice/postfix@-.service\t/usr/lib/postfix/sbin/master
"""


def test_who_holds_a_declared_port_is_told(tmp_path: Path) -> None:
    host = SimulatedHost()
    host.said["listeners"] = COURIER
    held = [warning for warning in host.plan(declare(tmp_path)).warnings if "held by" in warning]
    assert [warning.partition(":")[0] for warning in held] == [
        "port 587 is held by exim4",
        "port 993 is held by couriertcpd, courier-imap-ssl.service",
    ]
    host.become(declare(tmp_path))
    host.said["listeners"] = COURIER.replace("courier-imap-ssl", "dovecot").replace(
        "exim4.service", "postfix@-.service"
    )
    assert not [warning for warning in host.plan(declare(tmp_path)).warnings if "held by" in warning]


def test_another_mail_server_is_not_removed(tmp_path: Path) -> None:
    """apt would, to make room for Postfix: what it serves and what waits in its queue is somebody's."""
    host = SimulatedHost()
    host.said["installation"] = (
        "Remv   bsd-mailx exim4-base exim4-daemon-light*\nE: Packages need to be removed but remove is disabled.\n"
    )
    with pytest.raises(HostError) as caught:
        host.plan(declare(tmp_path))
    assert "would remove bsd-mailx, exim4-base, exim4-daemon-light, and mailprov removes no packages" in str(
        caught.value
    )
    assert "apt-get remove bsd-mailx exim4-base exim4-daemon-light" in caught.value.fix


def test_what_is_declared_in_its_stead_is_said(tmp_path: Path) -> None:
    """Of a relay that somebody has set up, and of networks that it trusted."""

    def said(**outgoing: object) -> list[str]:
        host = SimulatedHost(release="12")
        host.packages_ |= {"postfix": "3.7"}
        host.units |= {name: Unit(active="active") for name in ("postfix", "postfix@-")}
        host.said |= {"postfix_setup": HAND_BUILT, "waiting": "0\n"}
        spec = declare(tmp_path, {"outgoing": outgoing})
        return [
            text
            for text in ends(survey(spec, spec.hosts["mail1"], host.host()).plan)
            if "login" in text or "leaves" in text
        ]

    assert said(relay={"host": "smtp.provider.test"}, allow_from=["10.0.0.0/8"]) == [
        "nobody sends without a login any more but as a declared address: from 10.1.0.0/16 (mynetworks)",
        "mail for others no longer leaves through [smtp.provider.test]:587 as it was set up here, but as declared: "
        "smtp.provider.test:587 (starttls)",
    ]
    other = {"host": "mx.test", "tls": "tls", "user": "office", "password": {"env": "BOB_INITIAL"}}
    assert said(relay=other, allow_from=["10.1.0.0/17"]) == [
        "nobody sends without a login any more: not from 10.1.0.0/16 (mynetworks)",
        "mail for others no longer leaves through [smtp.provider.test]:587, but through mx.test:465 (tls, as office)",
    ]
