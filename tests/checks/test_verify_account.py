"""Logins, the message on its way, the relay test and verify as a whole, against scripted servers."""

from __future__ import annotations

import base64
import email
import email.policy
import time
from pathlib import Path

import pytest
from verify_minimail import MiniMail
from verify_servers import NAME, NOW, Identity, Peer, identity

from mailprov.checks import (
    Account,
    Cause,
    Check,
    Endpoint,
    Trust,
    check_delivery,
    check_login,
    check_relay,
    endpoints,
    fingerprint,
    verify,
)
from mailprov.checks.delivery import message
from mailprov.model import Listener, Secret, Services

pytestmark = pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")

PASSWORD = 'pa ss"w\\ö'
ALICE = Account("alice@example.com", Secret(PASSWORD))
MANNERS = [(protocol, mode) for protocol in ("pop3", "imap", "submission") for mode in ("tls", "starttls")]


def login(endpoint: Endpoint, trust: Trust, account: Account = ALICE, timeout: float = 10.0) -> Check:
    (check,) = check_login(endpoint, trust, account, timeout=timeout)
    return check


def leaks(received: bytes, password: str = PASSWORD) -> bool:
    """Whether a password, or the beginning of a login, is in what a server received."""
    forms = [password.encode(), base64.b64encode(f"\0{ALICE.address}\0{password}".encode()), b"AUTH", b"PASS", b"LOGIN"]
    return any(form in received for form in forms)


@pytest.mark.parametrize(("protocol", "mode"), MANNERS)
def test_login(serve, mail: MiniMail, roots: Path, protocol: str, mode: str) -> None:
    endpoint, _ = serve(mail.script(protocol, mode), protocol, mode)
    assert login(endpoint, Trust(roots=roots)).ok
    assert mail.logins == 1


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_login_without_sasl(serve, mail: MiniMail, roots: Path, protocol: str) -> None:
    mail.sasl = False
    endpoint, server = serve(mail.script(protocol, "tls"), protocol)
    assert login(endpoint, Trust(roots=roots)).ok
    assert b"AUTH" not in server.received


def test_long_password_goes_as_a_continuation(serve, mail: MiniMail, roots: Path) -> None:
    mail.password = "x" * 300
    endpoint, server = serve(mail.script("pop3", "tls"))
    assert login(endpoint, Trust(roots=roots), Account(ALICE.address, Secret("x" * 300))).ok
    assert b"AUTH PLAIN\r\n" in server.received


@pytest.mark.parametrize(("protocol", "mode"), MANNERS)
def test_wrong_password_is_sent_once(serve, mail: MiniMail, roots: Path, protocol: str, mode: str) -> None:
    endpoint, _ = serve(mail.script(protocol, mode), protocol, mode)
    check = login(endpoint, Trust(roots=roots), Account(ALICE.address, Secret("wrong")))
    assert check.failed and check.cause is Cause.LOGIN_REFUSED
    assert mail.logins == 1


@pytest.mark.parametrize("sasl", [True, False])
def test_echoed_password_does_not_show(serve, mail: MiniMail, roots: Path, sasl: bool) -> None:
    secret = "Canary  \t42"
    mail.sasl = sasl
    payload = base64.b64encode(f"\0{ALICE.address}\0{secret}".encode()).decode()
    mail.refusal = f"[AUTH] {'x' * 140} you said {secret} and {payload}"
    endpoint, _ = serve(mail.script("pop3", "tls"))
    check = login(endpoint, Trust(roots=roots), Account(ALICE.address, Secret(secret)))
    assert check.failed and "Canary" not in check.detail and payload[:12] not in check.detail


@pytest.mark.parametrize(("protocol", "mode"), MANNERS)
def test_unpinned_peer_gets_nothing(serve, mail: MiniMail, roots: Path, protocol: str, mode: str) -> None:
    endpoint, server = serve(mail.script(protocol, mode), protocol, mode)
    for trust, cause in (
        (Trust(pins=frozenset({"0" * 64}), roots=roots), Cause.PIN_MISMATCH),
        (Trust(), Cause.UNKNOWN_CA),
    ):
        check = login(endpoint, trust)
        assert check.failed and check.cause is cause
    time.sleep(0.1)
    assert not leaks(server.received)
    if mode == "tls":
        assert server.received.strip(b"\0") == b""
    assert mail.logins == 0


@pytest.mark.parametrize(("protocol", "mode"), MANNERS)
def test_chain_without_the_name_gets_nothing(
    serve, ca: Identity, roots: Path, tmp_path: Path, protocol: str, mode: str
) -> None:
    mail = MiniMail(identity(("other.example.com",), issuer=ca).context(tmp_path))
    endpoint, server = serve(mail.script(protocol, mode), protocol, mode)
    assert login(endpoint, Trust(roots=roots)).cause is Cause.WRONG_NAME
    assert not leaks(server.received)


@pytest.mark.parametrize(("protocol", "mode"), MANNERS)
def test_pinned_self_signed_certificate_is_enough(serve, tmp_path: Path, protocol: str, mode: str) -> None:
    shown = identity()
    mail = MiniMail(shown.context(tmp_path))
    endpoint, _ = serve(mail.script(protocol, mode), protocol, mode)
    assert login(endpoint, Trust(pins=frozenset({fingerprint(shown.der)}))).ok


@pytest.mark.parametrize("protocol", ["pop3", "imap", "submission"])
def test_stripped_starttls_gets_nothing(serve, mail: MiniMail, roots: Path, protocol: str) -> None:
    mail.starttls, mail.cleartext = False, True
    endpoint, server = serve(mail.script(protocol, "starttls"), protocol, "starttls")
    assert login(endpoint, Trust(roots=roots)).cause is Cause.NO_STARTTLS
    assert not leaks(server.received)


def several(serve, mail: MiniMail, *manners: tuple[str, str]) -> list[Endpoint]:
    return [serve(mail.script(protocol, mode), protocol, mode)[0] for protocol, mode in manners]


def deliver(found: list[Endpoint], roots: Path, wait: float = 1.0, account: Account = ALICE) -> dict[str, Check]:
    checks = check_delivery(found, Trust(roots=roots), account, now=NOW, timeout=10, wait=wait)
    return {f"{check.step} {check.endpoint.protocol}": check for check in checks}


def test_delivery(serve, mail: MiniMail, roots: Path) -> None:
    mail.mailbox = {1: b"Subject: old\r\n\r\nkeep me\r\n", 2: b"Subject: mailprov verify 123\r\n\r\nme too\r\n"}
    before = dict(mail.mailbox)
    found = several(serve, mail, ("submission", "starttls"), ("pop3", "tls"), ("imap", "tls"))
    checks = deliver(found, roots)
    assert list(checks) == ["send submission", "fetch pop3", "fetch imap", "clean up imap"]
    assert all(check.ok for check in checks.values()), checks
    assert mail.mailbox == before


@pytest.mark.parametrize("boxes", [[("pop3", "tls")], [("imap", "starttls"), ("pop3", "starttls")]])
def test_delivery_without_uidplus_deletes_by_pop3(
    serve, mail: MiniMail, roots: Path, boxes: list[tuple[str, str]]
) -> None:
    mail.uidplus = False
    checks = deliver(several(serve, mail, ("submission", "tls"), *boxes), roots)
    assert all(check.ok for check in checks.values()), checks
    assert mail.mailbox == {}


def test_message_that_cannot_be_deleted_is_named(serve, mail: MiniMail, roots: Path) -> None:
    mail.uidplus = False
    check = deliver(several(serve, mail, ("submission", "tls"), ("imap", "tls")), roots)["clean up imap"]
    assert check.warns and check.cause is Cause.LEFT_BEHIND and "mailprov verify" in check.detail
    assert len(mail.mailbox) == 1


def test_lost_message(serve, mail: MiniMail, roots: Path) -> None:
    mail.lose = True
    checks = deliver(several(serve, mail, ("submission", "tls"), ("pop3", "tls"), ("imap", "tls")), roots, wait=0.6)
    assert checks["send submission"].ok
    assert {checks[f"fetch {box}"].cause for box in ("pop3", "imap")} == {Cause.NOT_DELIVERED}
    assert checks["clean up imap"].warns


def test_late_message_is_waited_for(serve, mail: MiniMail, roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive = time.monotonic() + 0.8
    find = MiniMail._uid
    monkeypatch.setattr(
        MiniMail,
        "_uid",
        lambda self, peer, tag, rest: (
            find(self, peer, tag, rest) if time.monotonic() > arrive else peer.say("* SEARCH", f"{tag} OK")
        ),
    )
    assert deliver(several(serve, mail, ("submission", "tls"), ("imap", "tls")), roots, wait=5)["fetch imap"].ok


def test_one_broken_fetch_does_not_keep_the_message(serve, mail: MiniMail, roots: Path) -> None:
    broken = MiniMail(mail.context, password="changed")
    found = several(serve, mail, ("submission", "tls"), ("pop3", "tls")) + several(serve, broken, ("imap", "tls"))
    checks = deliver(found, roots)
    assert checks["fetch imap"].cause is Cause.LOGIN_REFUSED and broken.logins == 1
    assert checks["clean up imap"].ok and mail.mailbox == {}


def test_refused_sending_ends_it(serve, mail: MiniMail, roots: Path) -> None:
    checks = deliver(
        several(serve, mail, ("submission", "tls"), ("imap", "tls")), roots, account=Account("a@b", Secret("no"))
    )
    assert list(checks) == ["send submission"] and mail.logins == 1


def test_message() -> None:
    raw = message("alice@example.com", "token", NOW)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"] == "mailprov verify token"
    assert mail["Message-ID"] == "<token@example.com>"
    assert mail["Date"].datetime == NOW.replace(microsecond=0)
    assert mail["Auto-Submitted"] == "auto-generated"


def relay(endpoint: Endpoint, roots: Path) -> Check:
    (check,) = check_relay(endpoint, Trust(roots=roots), timeout=10)
    return check


@pytest.mark.parametrize(
    ("protocol", "mode"), [("smtp", "starttls"), ("submission", "starttls"), ("submission", "tls")]
)
def test_relay(serve, mail: MiniMail, roots: Path, protocol: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, server = serve(mail.script(protocol, mode), protocol, mode)
    assert relay(endpoint, roots).ok
    mail.relay = "454 4.7.1 try again"
    assert relay(endpoint, roots).warns
    mail.relay = "250 welcome"
    assert relay(endpoint, roots).warns  # from the mail host itself
    monkeypatch.setattr("mailprov.checks.wire.Wire.same_host", property(lambda wire: False))
    assert relay(endpoint, roots).cause is Cause.OPEN_RELAY
    assert mail.mailbox == {} and b"DATA" not in server.received


ALL = (*MANNERS, ("smtp", "starttls"))


def test_verify(serve, mail: MiniMail, roots: Path) -> None:
    found = several(serve, mail, *ALL)
    seen: list[Check] = []
    checks = verify(found, Trust(roots=roots), ALICE, now=NOW, timeout=10, wait=5, on_check=seen.append)
    assert [check for check in checks if not check.ok] == []
    assert sorted(map(str, seen)) == sorted(map(str, checks))
    again = verify(found, Trust(roots=roots), ALICE, now=NOW, timeout=10, wait=5)
    assert [(c.endpoint, c.step) for c in again] == [(c.endpoint, c.step) for c in checks]
    order = [check.endpoint for check in checks if check.step == "connect"]
    assert order == found
    assert mail.mailbox == {}
    assert PASSWORD not in repr(checks)


def test_verify_without_trust_sends_no_password(serve, mail: MiniMail) -> None:
    endpoint_servers = [serve(mail.script(protocol, mode), protocol, mode) for protocol, mode in ALL]
    checks = verify([e for e, _ in endpoint_servers], Trust(), ALICE, now=NOW, timeout=10, wait=1)
    assert mail.logins == 0
    assert not any(PASSWORD.encode() in server.received for _, server in endpoint_servers)
    logins = [check for check in checks if check.step == "login"]
    assert len(logins) == 6 and all(check.cause is Cause.NOT_TESTED for check in logins)
    assert [check.step for check in checks][-1] == "send" and checks[-1].warns


def test_verify_sends_a_wrong_password_once(serve, mail: MiniMail, roots: Path) -> None:
    found = several(serve, mail, *ALL)
    checks = verify(found, Trust(roots=roots), Account(ALICE.address, Secret("wrong")), now=NOW, timeout=10)
    assert mail.logins == 1
    assert [c.cause for c in checks if c.step == "login"] == [Cause.LOGIN_REFUSED, *[Cause.NOT_TESTED] * 5]


def test_verify_keeps_to_the_protocols_of_the_account(serve, mail: MiniMail, roots: Path) -> None:
    found = several(serve, mail, *ALL)
    pop_only = Account(ALICE.address, ALICE.password, frozenset({"pop3"}))
    checks = verify(found, Trust(roots=roots), pop_only, now=NOW, timeout=10)
    assert [c.endpoint.protocol for c in checks if c.step == "login"] == ["pop3", "pop3"]
    assert not any(check.step in ("send", "fetch") for check in checks)


def test_verify_of_dead_ports_ends(serve) -> None:
    def silent(peer: Peer) -> None:
        time.sleep(3)

    found = [serve(silent, protocol, mode)[0] for protocol, mode in ALL]
    checks = verify(found, Trust(), ALICE, now=NOW, timeout=0.3)
    assert sum(check.cause is Cause.SILENT for check in checks) == 7


def test_endpoints() -> None:
    services = Services(Listener(110, 995), Listener(None, 993), Listener(587, 465), 25)
    assert [(e.protocol, e.mode, e.port) for e in endpoints(services, "192.0.2.1", NAME)] == [
        ("pop3", "starttls", 110),
        ("pop3", "tls", 995),
        ("imap", "tls", 993),
        ("submission", "starttls", 587),
        ("submission", "tls", 465),
        ("smtp", "starttls", 25),
    ]
