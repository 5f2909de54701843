"""The walk of a mail program against scripted servers: from the name to the open mailbox, and no further than right."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from verify_minimail import MiniMail
from verify_servers import NAME, NOW, Identity, identity

from mailprov.checks import Account, Cause, Endpoint, Trust
from mailprov.checks.certificate import leaves_out
from mailprov.checks.connection_trace import ConnectionTrace, addresses, traced
from mailprov.model import Secret
from mailprov.workflows import doctor

ALICE = Account("alice@example.com", Secret('pa ss"w\\ö'))


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Which names there are; the servers' own is one."""
    known = {NAME: "127.0.0.1"}
    ask = socket.getaddrinfo

    def answer(host: str, *more: Any, **rest: Any) -> Any:
        return ask(known.get(host, host), *more, **rest)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


def go(
    trust: Trust, *endpoints: Endpoint, account: Account | None = ALICE, encrypted: bool = True
) -> tuple[ConnectionTrace, ...]:
    return traced(endpoints, trust, account, now=datetime.now(UTC), encrypted=encrypted, timeout=5)


def steps(made: ConnectionTrace) -> list[str]:
    return [check.step for check in made.checks if check.ok]


@pytest.mark.parametrize("protocol", ["pop3", "imap", "submission"])
@pytest.mark.parametrize("mode", ["tls", "starttls"])
def test_all_the_way(serve, mail: MiniMail, roots: Path, protocol: str, mode: str) -> None:
    endpoint, _ = serve(mail.script(protocol, mode), protocol, mode)
    (made,) = go(Trust(roots=roots), endpoint)
    assert [check for check in made.checks if not check.ok] == []
    assert steps(made)[:3] == ["dns", "route", "connect"]
    assert steps(made)[-1] == ("login" if protocol == "submission" else "mailbox")
    assert (made.resolved, made.source, mail.logins) == (("127.0.0.1",), "127.0.0.1", 1)


def test_a_refused_password_is_not_sent_again(serve, mail: MiniMail, roots: Path) -> None:
    ends = [serve(mail.script(protocol, "tls"), protocol, "tls")[0] for protocol in ("pop3", "imap", "submission")]
    made = go(Trust(roots=roots), *ends, account=Account(ALICE.address, Secret("wrong")))
    logins = [[check.cause for check in each.checks if check.step == "login"] for each in made]
    assert logins == [[Cause.LOGIN_REFUSED], [Cause.NOT_TESTED], [Cause.NOT_TESTED]]
    assert mail.logins == 1


def test_no_password_goes_where_nobody_is_trusted(serve, mail: MiniMail) -> None:
    endpoint, server = serve(mail.script("pop3", "tls"))
    (made,) = go(Trust(), endpoint)
    assert made.checks[-1].cause is Cause.NOT_TESTED and mail.logins == 0
    assert b"AUTH" not in server.received


@pytest.mark.parametrize("protocol", ["pop3", "imap", "submission"])
def test_without_tls_no_password_goes_out(serve, mail: MiniMail, roots: Path, protocol: str) -> None:
    endpoint, server = serve(mail.script(protocol, "starttls"), protocol, "starttls")
    (made,) = go(Trust(roots=roots), endpoint, encrypted=False)
    assert [check.cause for check in made.checks if not check.ok] == [Cause.LOGIN_NEEDS_TLS]
    mail.cleartext = True
    (made,) = go(Trust(roots=roots), endpoint, encrypted=False)
    # On the loopback it counts as not tested: Dovecot takes its own machine for secured.
    assert [check.severity for check in made.checks if not check.ok] == ["warning"]
    assert mail.logins == 0 and b"alice" not in server.received


def test_a_name_that_is_not_there(serve, mail: MiniMail, roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The declared address is walked to all the same."""

    def answer(host: str, *more: Any, **rest: Any) -> Any:
        if host == NAME:
            raise socket.gaierror(socket.EAI_NONAME, "whatever")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", more[0] or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    endpoint, _ = serve(mail.script("pop3", "tls"))
    (made,) = go(Trust(roots=roots), endpoint)
    assert [check.cause for check in made.checks if not check.ok] == [Cause.DNS]
    assert steps(made)[-1] == "mailbox" and made.resolved == ()


def test_a_mailbox_that_cannot_be_opened(serve, mail: MiniMail, roots: Path) -> None:
    def busy(peer: Any) -> None:
        peer.tls(mail.context)
        peer.say("+OK ready")
        while verb := peer.line().partition(" ")[0]:
            if verb == "CAPA":
                peer.say("+OK", "USER", "UIDL", "SASL PLAIN", ".")
            else:
                peer.say({"STAT": "-ERR [IN-USE] busy"}.get(verb, "+OK"))

    endpoint, _ = serve(busy)
    (made,) = go(Trust(roots=roots), endpoint)
    assert (made.checks[-1].step, made.checks[-1].cause) == ("mailbox", Cause.IN_USE)


@pytest.mark.parametrize(
    ("offered", "reply", "cause"),
    [
        (("AUTH-RESP-CODE",), "-ERR [AUTH] no", Cause.LOGIN_REFUSED),
        (("AUTH-RESP-CODE",), "-ERR Maximum number of connections exceeded", Cause.PERMANENT),
        (("AUTH-RESP-CODE",), "-ERR [IN-USE] later", Cause.IN_USE),
        ((), "-ERR no", Cause.LOGIN_REFUSED),
    ],
)
def test_who_promises_codes_is_held_to_it(
    serve, mail: MiniMail, roots: Path, offered: tuple[str, ...], reply: str, cause: Cause
) -> None:
    """RFC 3206 §6: with AUTH-RESP-CODE, what has no [AUTH] is no wrong password."""

    def refuse(peer: Any) -> None:
        peer.tls(mail.context)
        peer.say("+OK ready")
        while verb := peer.line().partition(" ")[0]:
            if verb == "CAPA":
                peer.say("+OK", "USER", "UIDL", "SASL PLAIN", *offered, ".")
            else:
                peer.say(reply)

    endpoint, _ = serve(refuse)
    (made,) = go(Trust(roots=roots), endpoint)
    assert (made.checks[-1].step, made.checks[-1].cause) == ("login", cause)


def test_addresses_are_each_told_once() -> None:
    assert addresses("127.0.0.1") == ("127.0.0.1",)


def test_a_place_that_is_not_declared(serve, mail: MiniMail, roots: Path) -> None:
    """Where the endpoint comes from is all one: a server that is not ours is looked at from here."""
    endpoint, _ = serve(mail.script("imap", "tls"), "imap", "tls")
    place = doctor.Place("provider", (endpoint,), Trust(roots=roots))
    how = doctor.How(user=ALICE.address)
    assert doctor.examine(place, ALICE, how).found.causes == ()
    wrong = doctor.examine(place, Account(ALICE.address, Secret("wrong")), how).found
    assert [finding.cause.name for finding in wrong.causes] == ["login-refused"]
    assert len(wrong.undetermined) == 4


# --- what is missing of a chain


def child(issuer: Identity, *, published: bool) -> bytes:
    made = identity(issuer=issuer)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    builder = x509.CertificateBuilder(
        issuer.certificate.subject, subject, made.key.public_key(), 7, NOW, made.certificate.not_valid_after_utc
    )
    if published:
        place = x509.UniformResourceIdentifier("http://ca.example.com/ca.der")
        about = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
        builder = builder.add_extension(x509.AuthorityInformationAccess([about]), critical=False)
    return Identity(builder.sign(issuer.key, hashes.SHA256()), made.key).der


def test_what_a_server_leaves_out(ca: Identity) -> None:
    middle = identity(("Intermediate",), issuer=ca, ca=True)
    impostor = identity(("Intermediate",), issuer=ca, ca=True)
    told, silent = child(middle, published=True), child(middle, published=False)
    assert "is published at http://ca.example.com/ca.der" in leaves_out((told,))
    assert "is known here" in leaves_out((silent,), ca.pem + middle.pem)
    assert leaves_out((silent,)) == leaves_out((silent,), impostor.pem) == leaves_out((silent,), "no PEM") == ""
    # With the intermediate, nothing but the root is left out, which nobody sends.
    assert leaves_out((told, middle.der)) == leaves_out((told, ca.der, middle.der)) == ""
    assert leaves_out((child(ca, published=False),), ca.pem) == ""
    assert leaves_out((ca.der,)) == leaves_out(()) == leaves_out((b"no certificate",)) == ""
