"""The ManageSieve client against what servers say (RFC 5804), and what none should."""

from __future__ import annotations

import pytest

from mailprov.checks import Account, Cause
from mailprov.checks.cause import ServerError
from mailprov.checks.managesieve import ManageSieve
from mailprov.checks.wire import Wire
from mailprov.model import Secret

GREETING = (
    b'"IMPLEMENTATION" "Dovecot Pigeonhole"\r\n"SIEVE" "fileinto vacation x-y"\r\n"NOTIFY" "mailto"\r\n'
    b'"SASL" ""\r\n"STARTTLS"\r\n"VERSION" "1.0"\r\nOK "Dovecot ready."\r\n'
)
OPEN = GREETING.replace(b'"SASL" ""', b'"SASL" "PLAIN LOGIN"').replace(b'"STARTTLS"\r\n', b"")
ME = Account("alice@example.com", Secret("correct horse"))


class Tape:
    """A socket that has said all that it will say."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.heard = b""

    def recv(self, count: int) -> bytes:
        part, self.said = self.said[:count], self.said[count:]
        return part

    def sendall(self, data: bytes) -> None:
        self.heard += data

    def settimeout(self, seconds: float) -> None: ...


class Secured(Wire):
    """As if TLS were up."""

    @property
    def encrypted(self) -> bool:
        return True


def session(said: bytes, *, encrypted: bool = False) -> tuple[ManageSieve, Tape]:
    tape = Tape(said)
    return ManageSieve((Secured if encrypted else Wire)(tape, 1.0)), tape  # type: ignore[arg-type]


def test_what_is_offered() -> None:
    talk, _ = session(GREETING + GREETING)
    assert talk.greet() == "OK Dovecot Pigeonhole Dovecot ready."
    offered = talk.capabilities()
    assert {"STARTTLS", "SIEVE=FILEINTO", "SIEVE=VACATION", "IMPLEMENTATION"} <= offered
    assert talk.missing(offered) == ("AUTH=PLAIN",)
    secured, _ = session(OPEN + OPEN, encrypted=True)
    assert secured.missing(secured.capabilities()) == ()


def test_without_tls_no_login_is_taken() -> None:
    talk, tape = session(GREETING + b'NO (ENCRYPT-NEEDED) "Plaintext authentication disabled."\r\n')
    assert talk.cleartext_login() == ""
    assert tape.heard == b'CAPABILITY\r\nAUTHENTICATE "PLAIN"\r\n'
    talk, _ = session(OPEN + b'NO "later"\r\n')
    assert talk.cleartext_login() == "CAPABILITY offers AUTH=LOGIN, AUTH=PLAIN"
    for challenge in (b'""\r\n', b"{0}\r\n\r\n"):
        talk, tape = session(GREETING + challenge + b'NO "aborted"\r\n')
        assert talk.cleartext_login() == "AUTHENTICATE PLAIN is accepted"
        assert tape.heard.endswith(b'"*"\r\n')


def test_a_login_and_the_scripts() -> None:
    listed = b'"mine" ACTIVE\r\n{5}\r\nother\r\n"OK"\r\nOK "done"\r\n'
    talk, tape = session(OPEN + OPEN + b'OK "Logged in."\r\n' + listed + b"OK\r\n", encrypted=True)
    talk.login(ME)
    assert b"correct horse" not in tape.heard and b'AUTHENTICATE "PLAIN" "AGFs' in tape.heard
    assert talk.enter() == "3 scripts"
    talk.quit()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b'NO "Authentication failed."\r\n', Cause.LOGIN_REFUSED),
        (b"NO {12}\r\nnot like this\r\n"[:8] + b"\r\nnot so today\r\n", Cause.LOGIN_REFUSED),
        (b'NO (TRYLATER) "busy"\r\n', Cause.TEMPORARY),
        (b'BYE "too many"\r\n', Cause.TEMPORARY),
        (b"+ go on\r\n", Cause.GARBLED),
    ],
)
def test_a_refused_login(answer: bytes, cause: Cause) -> None:
    talk, _ = session(OPEN + OPEN + answer, encrypted=True)
    with pytest.raises(ServerError) as raised:
        talk.login(ME)
    assert raised.value.cause is cause and "correct" not in raised.value.reply


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (b"* OK IMAP4rev1 ready\r\n", Cause.GARBLED),
        (b"+OK POP3 ready\r\n", Cause.GARBLED),
        (b"220 mail.example.com ESMTP\r\n", Cause.GARBLED),
        (b'BYE "not now"\r\n', Cause.TEMPORARY),
        (b'NO "never"\r\n', Cause.PERMANENT),
        (b'"x"\r\n' * 2000, Cause.GARBLED),
        (b"{999999999}\r\n", Cause.GARBLED),
        (b"()" * 10 + b"\r\n", Cause.GARBLED),
    ],
)
def test_a_greeting_that_is_none(said: bytes, cause: Cause) -> None:
    talk, _ = session(said)
    with pytest.raises(ServerError) as raised:
        talk.greet()
    assert raised.value.cause is cause
    assert raised.value.reply.isprintable()


def test_tls_that_is_refused() -> None:
    talk, _ = session(b'NO "no TLS here"\r\n')
    with pytest.raises(ServerError) as raised:
        talk.ask_tls()
    assert raised.value.cause is Cause.NO_STARTTLS
