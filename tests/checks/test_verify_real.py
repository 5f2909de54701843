"""verify against a real Dovecot and Postfix, from another machine: right, and wrong in ways that no script imitates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from verify_servers import NAME, Identity, identity

from mailprov.checks import Account, Cause, Check, Trust, endpoints, pin, verify
from mailprov.lab import Lab, LabHost
from mailprov.model import Listener, Secret, Services

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning"),
]

PACKAGES = ("dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "postfix", "openssl")
SERVICES = Services(Listener(110, 995), Listener(143, 993), Listener(587, 465), 25)
ALICE = Account("alice@example.com", Secret('pa ss"w\\ö'))

DOVECOT = """
protocols = imap pop3 lmtp
listen = *
ssl = required
ssl_cert = </etc/mail.pem
ssl_key = </etc/mail.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_mechanisms = plain login
auth_username_format = %Lu
passdb {
  driver = passwd-file
  args = scheme=PLAIN /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=mail gid=mail home=/var/mail-store/%Lu
}
first_valid_uid = 1
mail_location = maildir:~/Maildir
namespace inbox {
  inbox = yes
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    user = postfix
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
  }
}
"""
MAIN = f"""
compatibility_level = 3.6
myhostname = {NAME}
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = example.com
virtual_mailbox_maps = inline:{{ {{ alice@example.com = OK }} }}
virtual_transport = lmtp:unix:private/dovecot-lmtp
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = /etc/mail.pem
smtpd_tls_protocols = >=TLSv1.2
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_peername_lookup = no
"""
MASTER = """
25 inet n - n - - smtpd
587 inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
465 inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
"""


@pytest.fixture(scope="module")
def authority() -> Identity:
    return identity(("Lab CA",), ca=True)


@pytest.fixture(scope="module")
def shown(authority: Identity) -> Identity:
    return identity(issuer=authority)


@pytest.fixture(scope="module")
def host(shown: Identity) -> Iterator[LabHost]:
    with Lab() as lab:
        host = lab.boot("verify", "bookworm", packages=PACKAGES)
        host.write("/etc/mail.pem", shown.key_pem.encode() + shown.pem.encode(), 0o600)
        host.write("/etc/dovecot/dovecot.conf", DOVECOT.encode())
        host.write("/etc/dovecot/users", f"{ALICE.address}:{ALICE.password.reveal()}\n".encode(), 0o600)
        host.write("/etc/postfix/main.cf", MAIN.encode())
        host.write("/etc/postfix/master.cf", MASTER.encode())
        host.run(("sh", "-c", "chown dovecot /etc/dovecot/users; install -d -o mail -g mail /var/mail-store"))
        host.run(("systemctl", "restart", "dovecot", "postfix"))
        yield host


def run(host: LabHost, trust: Trust, account: Account = ALICE) -> tuple[Check, ...]:
    found = endpoints(SERVICES, host.address, NAME)
    return verify(found, trust, account, now=datetime.now(UTC), on_check=print)


def test_everything_is_right(host: LabHost, authority: Identity, shown: Identity, tmp_path: Path) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_text(authority.pem)
    checks = run(host, Trust(pins=frozenset({pin(shown.pem)}), roots=roots))
    assert [check for check in checks if not check.ok] == []
    assert [check.step for check in checks].count("login") == 6
    assert [check.step for check in checks[-6:]] == ["send", *["fetch"] * 4, "clean up"]
    assert host.run(("find", "/var/mail-store", "-path", "*/new/*", "-o", "-path", "*/cur/*")).stdout == b""


def test_pinned_private_ca(host: LabHost, shown: Identity) -> None:
    checks = run(host, Trust(pins=frozenset({pin(shown.pem)})))
    assert {check.step for check in checks if not check.ok} == {"chain"}
    assert not any(check.failed for check in checks)


def test_key_that_does_not_match(host: LabHost, shown: Identity) -> None:
    good = host.read("/etc/mail.pem")
    host.write("/etc/mail.pem", identity().key_pem.encode() + shown.pem.encode(), 0o600)
    host.run(("systemctl", "reload", "dovecot", "postfix"))
    try:
        checks = run(host, Trust(pins=frozenset({pin(shown.pem)})))
    finally:
        host.write("/etc/mail.pem", good, 0o600)
        host.run(("systemctl", "reload", "dovecot", "postfix"))
    failed = {check.endpoint.port: (check.step, check.cause) for check in checks if check.failed}
    assert set(failed) == {25, 110, 143, 465, 587, 993, 995}
    assert not any(cause is Cause.OTHER for _, cause in failed.values()), failed


def test_wrong_password(host: LabHost, shown: Identity) -> None:
    checks = run(host, Trust(pins=frozenset({pin(shown.pem)})), Account(ALICE.address, Secret("wrong")))
    refused = [check for check in checks if check.step == "login"]
    assert [check.cause for check in refused] == [Cause.LOGIN_REFUSED, *[Cause.NOT_TESTED] * 5]
    assert checks[-1].step == "send" and checks[-1].warns
