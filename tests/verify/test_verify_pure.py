"""The pure parts: naming causes, cleaning texts, judging certificates."""

from __future__ import annotations

import errno
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verify_servers import DAY, NOW, identity

from mailprov.model import Secret
from mailprov.verify import Account, Cause, fingerprint, pin
from mailprov.verify.cause import EXPLANATIONS, ServerError, cause_of, clean, explanation, login_cause
from mailprov.verify.certificate import dates, name, sent_alone, summary
from mailprov.verify.sasl import refusal


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "whatever")
    error.verify_code, error.verify_message = code, "words"
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (certificate_error(9), Cause.NOT_YET_VALID),
        (certificate_error(10), Cause.EXPIRED),
        (certificate_error(18), Cause.SELF_SIGNED),
        (certificate_error(20), Cause.UNKNOWN_CA),
        (certificate_error(62), Cause.WRONG_NAME),
        (certificate_error(64), Cause.WRONG_NAME),
        (certificate_error(79), Cause.CERTIFICATE),
        (ssl.SSLError(1, "whatever"), Cause.TLS),
        (ssl.SSLEOFError(8, "whatever"), Cause.CLOSED),
        (EOFError(), Cause.CLOSED),
        (TimeoutError("timed out"), Cause.SILENT),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), Cause.REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "no"), Cause.RESET),
        (BrokenPipeError(errno.EPIPE, "no"), Cause.RESET),
        (OSError(errno.EHOSTUNREACH, "no"), Cause.UNREACHABLE),
        (OSError(errno.EIO, "no"), Cause.OTHER),
        (UnicodeError("label too long"), Cause.DNS),
        (ServerError(Cause.IN_USE, "-ERR busy"), Cause.IN_USE),
    ],
)
def test_cause_of(error: Exception, cause: Cause) -> None:
    assert cause_of(error) is cause
    assert explanation(error).isprintable()


def test_timeout_while_connecting() -> None:
    assert cause_of(TimeoutError(), connecting=True) is Cause.CONNECT_TIMEOUT


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        ("-ERR [AUTH] Authentication failed.", Cause.LOGIN_REFUSED),
        ("-ERR no", Cause.LOGIN_REFUSED),
        ("-ERR [SYS/TEMP] Temporary authentication failure. [mail:2026]", Cause.TEMPORARY),
        ("-ERR [SYS/PERM] broken", Cause.PERMANENT),
        ("-ERR [IN-USE] Maximum number of connections", Cause.IN_USE),
        ("NO [AUTHENTICATIONFAILED] Authentication failed.", Cause.LOGIN_REFUSED),
        ("NO [UNAVAILABLE] later", Cause.TEMPORARY),
        ("NO [LIMIT] too many", Cause.IN_USE),
        ("NO no", Cause.LOGIN_REFUSED),
        ("535 5.7.8 Error: authentication failed", Cause.LOGIN_REFUSED),
        ("454 4.7.0 Temporary authentication failure", Cause.TEMPORARY),
        ("503 5.5.1 authentication not enabled", Cause.PERMANENT),
    ],
)
def test_login_cause(reply: str, cause: Cause) -> None:
    assert login_cause(reply) is cause


def test_every_explanation_is_one_short_line() -> None:
    assert all(clean(text) == text for text in EXPLANATIONS.values())


@given(st.binary(max_size=1000))
def test_clean_is_bounded_and_inert(data: bytes) -> None:
    text = clean(data)
    assert len(text) <= 200 and text.isprintable()


@given(st.text(min_size=4, alphabet=st.characters(exclude_categories=["Cs"]), max_size=20), st.text(max_size=150))
def test_echoed_password_is_taken_out(password: str, around: str) -> None:
    account = Account("a@example.com", Secret(password))
    error = refusal(f"-ERR {around}{password}{around}".encode("utf-8", "replace"), account)
    shown = clean(password)
    if len(shown) > 3 and shown not in f"-ERR {clean(around)} <secret> {clean(around)}":
        assert shown not in error.reply


def test_dates() -> None:
    der = identity(start=NOW - 30 * DAY, end=NOW + 60 * DAY).der
    assert dates(der, NOW).cause is Cause.NONE
    assert dates(der, NOW - 31 * DAY).cause is Cause.NOT_YET_VALID
    assert dates(der, NOW + 61 * DAY).cause is Cause.EXPIRED
    assert dates(der, NOW + 47 * DAY).cause is Cause.EXPIRES_SOON
    short = identity(start=NOW, end=NOW + 6 * DAY).der
    assert dates(short, NOW + 3 * DAY).cause is Cause.NONE
    assert dates(short, NOW + 5 * DAY).cause is Cause.EXPIRES_SOON


@pytest.mark.parametrize(
    ("pattern", "asked", "covered"),
    [
        ("mail.example.com", "MAIL.example.com", True),
        ("mail.example.com", "mail.example.com.", True),
        ("*.example.com", "mail.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.com", "example.com", False),
        ("m*.example.com", "mail.example.com", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8:0::1", True),
        ("mail.example.com", "192.0.2.1", False),
    ],
)
def test_name(pattern: str, asked: str, covered: bool) -> None:
    assert (name(identity((pattern,)).der, asked).cause is Cause.NONE) is covered


def test_name_needs_a_subject_alternative_name() -> None:
    assert name(identity(("mail.example.com",), ca=True).der, "mail.example.com").cause is Cause.WRONG_NAME


def test_pin_is_the_fingerprint_of_the_leaf() -> None:
    issuer = identity(("CA",), ca=True)
    leaf = identity(issuer=issuer, send_issuer=True)
    assert pin(leaf.pem) == fingerprint(leaf.der)
    assert fingerprint(leaf.der) in summary(leaf.der)
    assert sent_alone((leaf.der,)) and not sent_alone((issuer.der,)) and not sent_alone((leaf.der, issuer.der))
    with pytest.raises(ValueError, match="PEM"):
        pin("no certificate")
