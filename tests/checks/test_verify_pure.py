"""The pure parts: naming causes, cleaning texts, judging certificates."""

from __future__ import annotations

import errno
import ssl
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verify_servers import DAY, NOW, identity

from mailprov.checks import Account, Cause, fingerprint, pin
from mailprov.checks.cause import CAUGHT, EXPLANATIONS, ServerError, cause_of, clean, explanation, login_cause
from mailprov.checks.certificate import dates, name, sent_alone, summary
from mailprov.checks.imap import Imap
from mailprov.checks.managesieve import ManageSieve
from mailprov.checks.pop3 import Pop3
from mailprov.checks.sasl import refusal
from mailprov.checks.smtp import Smtp
from mailprov.checks.wire import Wire
from mailprov.model import Secret


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


class Tape:
    """A socket whose other end has said everything in advance, and then closed."""

    def __init__(self, said: bytes) -> None:
        self.said = said

    def recv(self, size: int) -> bytes:
        found, self.said = self.said[:size], self.said[size:]
        return found

    def sendall(self, data: bytes) -> None: ...

    def settimeout(self, timeout: float) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return "192.0.2.1", 1


WORDS = (
    b"+OK|+OK 1 2|+OK x y|-ERR|+|.|* OK|* BYE|V1 OK|V2 OK|V1 NO|* SEARCH 1 x|* CAPABILITY X \xff|* 1 FETCH {3}|"
    b'* 1 FETCH {999999999}|OK|NO (A "b") {3}|BYE|"SASL" "PLAIN"|{2+}|220 x|250-x|250 AUTH|334 |SASL|554|999 x|'
)
LINES = st.sampled_from(WORDS.split(b"|")) | st.binary(max_size=20)


@given(st.lists(LINES, max_size=12))
def test_no_server_text_breaks_a_session(lines: list[bytes]) -> None:
    said = b"\r\n".join(lines)
    for make in (Pop3, Imap, Smtp, ManageSieve):
        session = make(Wire(Tape(said), 1.0))  # type: ignore[arg-type]
        session.wire.send_raw(b"")
        calls = [session.greet, session.capabilities, session.cleartext_login, session.ask_tls]
        if isinstance(session, Pop3 | Imap):
            calls += [partial(session.find, "token"), partial(session.read, "1"), partial(session.delete, ("1",))]
        for call in calls:
            try:
                call()
            except (ServerError, *CAUGHT) as error:
                assert explanation(error).isprintable()


@pytest.mark.parametrize("count", ["1" * 5000, "\u0661", "x"])
def test_a_count_of_messages_that_is_none(count: str) -> None:
    session = Pop3(Wire(Tape(f"+OK {count} 1\r\n".encode()), 1.0))  # type: ignore[arg-type]
    with pytest.raises(ServerError) as garbled:
        session.enter()
    assert garbled.value.cause is Cause.GARBLED
    assert len(explanation(garbled.value)) < 400
