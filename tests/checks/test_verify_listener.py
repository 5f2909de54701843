"""Each symptom of a broken listener is made by a real server and named rightly."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest
from verify_minimail import MiniMail
from verify_servers import DAY, NAME, NOW, Identity, Peer, identity

from mailprov.checks import Cause, Check, Endpoint, Trust, check_listener, fingerprint

# Offering TLS 1.1, to see it refused, is deprecated for good reason.
pytestmark = pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")

PROTOCOLS = ("pop3", "imap", "submission", "smtp")


def look(endpoint: Endpoint, trust: Trust, timeout: float = 10.0) -> dict[str, Check]:
    checks = check_listener(endpoint, trust, now=NOW, timeout=timeout)
    return {check.step: check for check in checks}


def faults(checks: dict[str, Check]) -> dict[str, Cause]:
    return {step: check.cause for step, check in checks.items() if check.failed}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("mode", ["tls", "starttls"])
def test_right_listener(serve, mail: MiniMail, roots: Path, protocol: str, mode: str) -> None:
    endpoint, server = serve(mail.script(protocol, mode), protocol, mode)
    seen: list[Check] = []
    checks = check_listener(endpoint, Trust(roots=roots), now=NOW, timeout=10, on_check=seen.append)
    assert [check for check in checks if not check.ok] == []
    assert tuple(seen) == checks
    steps = [check.step for check in checks]
    before = ["greeting", "cleartext login refused", "starttls"] if mode == "starttls" else []
    after = ["greeting", "capability"] if mode == "tls" else ["capability"]
    assert steps == ["connect", *before, "tls", "certificate", "name", "chain", *after, "old tls refused"]
    assert "TLSv1.3" in checks[steps.index("tls")].detail
    assert b"PASS" not in server.received


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pinned_certificate_of_a_private_ca_warns(serve, mail: MiniMail, good: Identity, protocol: str) -> None:
    endpoint, _ = serve(mail.script(protocol, "starttls"), protocol, "starttls")
    checks = look(endpoint, Trust(pins=frozenset({fingerprint(good.der)})))
    assert faults(checks) == {}
    assert checks["declared certificate"].ok
    assert checks["chain"].warns and checks["chain"].cause is Cause.UNKNOWN_CA
    assert checks["capability"].ok


@pytest.mark.parametrize(
    ("kind", "step", "cause"),
    [
        ("expired", "certificate", Cause.EXPIRED),
        ("future", "certificate", Cause.NOT_YET_VALID),
        ("other name", "name", Cause.WRONG_NAME),
        ("self-signed", "chain", Cause.SELF_SIGNED),
        ("unknown ca", "chain", Cause.UNKNOWN_CA),
        ("missing intermediate", "chain", Cause.UNKNOWN_CA),
    ],
)
def test_bad_certificate(serve, ca: Identity, roots: Path, tmp_path: Path, kind: str, step: str, cause: Cause) -> None:
    intermediate = identity(("Intermediate",), issuer=ca, ca=True)
    shown = {
        "expired": lambda: identity(issuer=ca, end=NOW - DAY),
        "future": lambda: identity(issuer=ca, start=NOW + DAY),
        "other name": lambda: identity(("other.example.com",), issuer=ca),
        "self-signed": lambda: identity(),
        "unknown ca": lambda: identity(issuer=identity(("Stranger",), ca=True)),
        "missing intermediate": lambda: identity(issuer=intermediate),
    }[kind]()
    mail = MiniMail(shown.context(tmp_path))
    endpoint, server = serve(mail.script("imap", "tls"), "imap", "tls")
    checks = look(endpoint, Trust(roots=roots))
    assert faults(checks) == {step: cause}
    assert checks["capability"].cause is Cause.NOT_TESTED
    assert server.received.strip(b"\0") == b""


def test_sent_intermediate_verifies(serve, ca: Identity, roots: Path, tmp_path: Path) -> None:
    shown = identity(issuer=identity(("Intermediate",), issuer=ca, ca=True), send_issuer=True)
    endpoint, _ = serve(MiniMail(shown.context(tmp_path)).script("imap", "tls"), "imap", "tls")
    assert look(endpoint, Trust(roots=roots))["chain"].ok


def test_expiring_soon_warns(serve, ca: Identity, roots: Path, tmp_path: Path) -> None:
    shown = identity(issuer=ca, end=NOW + 5 * DAY + DAY / 2)
    endpoint, _ = serve(MiniMail(shown.context(tmp_path)).script("imap", "tls"), "imap", "tls")
    check = look(endpoint, Trust(roots=roots))["certificate"]
    assert check.warns and check.cause is Cause.EXPIRES_SOON and "5 days left" in check.detail


def test_another_certificate_than_declared(serve, mail: MiniMail, roots: Path) -> None:
    endpoint, _ = serve(mail.script("pop3", "tls"))
    checks = look(endpoint, Trust(pins=frozenset({"0" * 64}), roots=roots))
    assert faults(checks) == {"declared certificate": Cause.PIN_MISMATCH}


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    checks = look(Endpoint("pop3", "tls", "127.0.0.1", port, NAME), Trust())
    assert faults(checks) == {"connect": Cause.REFUSED}


def test_no_such_name() -> None:
    checks = look(Endpoint("pop3", "tls", "no-such-host.invalid", 995, NAME), Trust())
    assert faults(checks) == {"connect": Cause.DNS}


def test_plain_port_where_tls_was_expected(serve) -> None:
    endpoint, _ = serve(lambda peer: (peer.say("+OK ready"), peer.line()))
    assert faults(look(endpoint, Trust())) == {"tls": Cause.NOT_TLS}


def test_tls_port_where_starttls_was_expected(serve, mail: MiniMail) -> None:
    endpoint, _ = serve(mail.script("pop3", "tls"), "pop3", "starttls")
    assert faults(look(endpoint, Trust(), timeout=1)) == {"greeting": Cause.TLS_EXPECTED}


@pytest.mark.parametrize(("mode", "step"), [("tls", "tls"), ("starttls", "greeting")])
def test_silent_server(serve, mode: str, step: str) -> None:
    endpoint, _ = serve(lambda peer: time.sleep(2), "imap", mode)
    assert faults(look(endpoint, Trust(), timeout=0.3)) == {step: Cause.SILENT}


def test_slow_drip_does_not_outlast_the_timeout(serve) -> None:
    def drip(peer: Peer) -> None:
        for _ in range(100):
            peer.sock.sendall(b"x")
            time.sleep(0.05)

    endpoint, _ = serve(drip, "imap", "starttls")
    begun = time.monotonic()
    assert faults(look(endpoint, Trust(), timeout=0.5)) == {"greeting": Cause.SILENT}
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_closed_before_the_banner(serve, protocol: str) -> None:
    endpoint, _ = serve(lambda peer: None, protocol, "starttls")
    assert faults(look(endpoint, Trust())) == {"greeting": Cause.CLOSED}


def test_reset_before_tls(serve) -> None:
    def reset(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    endpoint, _ = serve(reset)
    assert faults(look(endpoint, Trust())) == {"tls": Cause.RESET}


def test_closed_before_tls(serve) -> None:
    endpoint, _ = serve(lambda peer: peer.sock.recv(4096) and None)
    assert faults(look(endpoint, Trust())) in ({"tls": Cause.CLOSED}, {"tls": Cause.RESET})


def test_only_tls_1_1(serve, good: Identity, tmp_path: Path) -> None:
    context = good.context(tmp_path)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    endpoint, _ = serve(lambda peer: peer.tls(context))
    assert faults(look(endpoint, Trust())) == {"tls": Cause.SERVER_TLS_OLD}


def test_tls_1_1_accepted_too(serve, good: Identity, roots: Path, tmp_path: Path) -> None:
    context = good.context(tmp_path)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    endpoint, _ = serve(MiniMail(context).script("submission", "starttls"), "submission", "starttls")
    assert faults(look(endpoint, Trust(roots=roots))) == {"old tls refused": Cause.OLD_TLS}
    assert faults(look(endpoint, Trust())) == {"chain": Cause.UNKNOWN_CA, "old tls refused": Cause.OLD_TLS}


def test_tls_1_2_accepted_where_1_3_is_the_oldest(serve, mail: MiniMail, roots: Path) -> None:
    endpoint, _ = serve(mail.script("pop3", "tls"))
    assert faults(look(endpoint, Trust(roots=roots, min_version="TLSv1.3"))) == {"old tls refused": Cause.OLD_TLS}
    mail.context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert faults(look(endpoint, Trust(roots=roots, min_version="TLSv1.3"))) == {}


def test_no_shared_cipher(serve, good: Identity, tmp_path: Path) -> None:
    context = good.context(tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    endpoint, _ = serve(lambda peer: peer.tls(context))
    assert faults(look(endpoint, Trust())) == {"tls": Cause.NO_SHARED_CIPHER}


def test_client_certificate_demanded(serve, good: Identity, roots: Path, tmp_path: Path) -> None:
    context = good.context(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(roots)
    endpoint, _ = serve(MiniMail(context).script("pop3", "tls"))
    assert faults(look(endpoint, Trust(roots=roots)))["greeting"] is Cause.CLIENT_CERTIFICATE


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_starttls_missing(serve, mail: MiniMail, protocol: str) -> None:
    mail.starttls = False
    endpoint, _ = serve(mail.script(protocol, "starttls"), protocol, "starttls")
    assert faults(look(endpoint, Trust())) == {"starttls": Cause.NO_STARTTLS}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cleartext_login(serve, mail: MiniMail, roots: Path, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mail.cleartext = True
    endpoint, _ = serve(mail.script(protocol, "starttls"), protocol, "starttls")
    check = look(endpoint, Trust(roots=roots))["cleartext login refused"]
    # Dovecot lets its own host log in in the clear, so from the loopback this proves nothing; Postfix does not.
    assert check.warns is (protocol in ("pop3", "imap"))
    monkeypatch.setattr("mailprov.checks.wire.Wire.same_host", property(lambda wire: False))
    checks = look(endpoint, Trust(roots=roots))
    assert faults(checks) == {"cleartext login refused": Cause.CLEARTEXT_LOGIN}
    assert mail.logins == 0


def test_cleartext_after_the_upgrade_command_is_not_taken_for_tls(serve) -> None:
    def inject(peer: Peer) -> None:
        peer.say("220 ready")
        while not peer.line().startswith("STARTTLS"):
            peer.say("250-hello", "250 STARTTLS")
        peer.say("220 go", "250 injected")
        peer.line()

    endpoint, _ = serve(inject, "smtp", "starttls")
    assert faults(look(endpoint, Trust()))["tls"] is Cause.INJECTION


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("garbage", [b"\x1b[31m\xff\0garbage\r\n", b"x" * 100_000, b"\r\n\r\n", b"220-a\r\n" * 1000])
def test_garbage(serve, protocol: str, garbage: bytes) -> None:
    endpoint, _ = serve(lambda peer: (peer.sock.sendall(garbage), peer.line()), protocol, "starttls")
    check = look(endpoint, Trust())["greeting"]
    assert check.failed and check.cause is Cause.GARBLED
    assert check.detail.isprintable() and len(check.detail) <= 200


def test_endless_answer(serve) -> None:
    def endless(peer: Peer) -> None:
        peer.say("+OK ready")
        peer.line()
        while True:
            peer.say("+OK", *["CAPABILITY" * 50] * 100)

    endpoint, _ = serve(endless, "pop3", "starttls")
    assert faults(look(endpoint, Trust())) == {"cleartext login refused": Cause.GARBLED}


def test_server_name_may_be_an_address(serve, ca: Identity, roots: Path, tmp_path: Path) -> None:
    shown = identity(("127.0.0.1",), issuer=ca)
    endpoint, _ = serve(MiniMail(shown.context(tmp_path)).script("pop3", "tls"))
    by_address = Endpoint("pop3", "tls", "127.0.0.1", endpoint.port, "127.0.0.1")
    assert faults(look(by_address, Trust(roots=roots))) == {}
    assert faults(look(endpoint, Trust(roots=roots))) == {"name": Cause.WRONG_NAME}
