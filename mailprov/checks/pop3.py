"""POP3 as a client speaks it (RFC 1939; CAPA: RFC 2449; STLS: RFC 2595; AUTH: RFC 5034)."""

from __future__ import annotations

import re

from mailprov.checks import sasl
from mailprov.checks.cause import Cause, ServerError, clean
from mailprov.checks.check import Account
from mailprov.checks.wire import Wire

# RFC 2449 §4: a command line has at most 255 octets, CRLF included.
_COMMAND_LIMIT = 255
_NEWEST = 50


class Pop3:
    """A POP3 session; see `mailprov.checks.session.Session` for what raises when."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._codes = False

    def greet(self) -> str:
        """Reads the greeting (RFC 1939 §4)."""
        return self._answer()

    def capabilities(self) -> frozenset[str]:
        """CAPA (RFC 2449 §5); empty where the server does not know it."""
        try:
            lines = self._lines("CAPA")
        except ServerError as error:
            if error.cause is not Cause.PERMANENT:
                raise
            return frozenset()
        found: set[str] = set()
        for line in lines:
            name, *arguments = clean(line).upper().split() or [""]
            found.add("STARTTLS" if name == "STLS" else name)
            if name == "SASL":
                found.update(f"AUTH={mechanism}" for mechanism in arguments)
        return frozenset(found)

    def ask_tls(self) -> None:
        """STLS (RFC 2595 §4)."""
        try:
            self._command("STLS")
        except ServerError as error:
            raise ServerError(Cause.NO_STARTTLS, error.reply) from None

    def cleartext_login(self) -> str:
        """Asks CAPA, AUTH PLAIN and USER; RFC 2595 §4: without TLS a server may refuse all three."""
        offered = self.capabilities()
        self.wire.send("AUTH PLAIN")
        if self.wire.line().startswith(b"+"):
            # RFC 5034 §4: a lone "*" cancels the exchange, so no password has to be made up.
            self.wire.send("*")
            self.wire.line()
            return "AUTH PLAIN is accepted"
        try:
            self._command("USER mailprov-verify")
        except ServerError as error:
            if error.cause is not Cause.PERMANENT:
                raise
            shown = sorted(offered & {"USER", "AUTH=PLAIN", "AUTH=LOGIN"})
            return f"CAPA offers {', '.join(shown)}" if shown else ""
        return "USER is accepted"

    def missing(self, offered: frozenset[str]) -> tuple[str, ...]:
        """A way to log in, and UIDL (RFC 1939 §7), without which clients cannot leave mail on the server."""
        login = () if offered & {"USER", "AUTH=PLAIN"} else ("USER or SASL PLAIN",)
        return login + (() if "UIDL" in offered else ("UIDL",))

    def login(self, account: Account) -> None:
        """AUTH PLAIN where offered (any password), otherwise USER and PASS, in UTF-8."""
        offered = self.capabilities()
        self._codes = "AUTH-RESP-CODE" in offered
        if "AUTH=PLAIN" in offered:
            response = sasl.plain(account, self.wire)
            whole = f"AUTH PLAIN {response}"
            if len(whole) + 2 > _COMMAND_LIMIT:
                self._login_step("AUTH PLAIN", account)
                whole = response
            self._login_step(whole, account)
            return
        if "USER" not in offered or not self.wire.encrypted:
            raise ServerError(Cause.NO_MECHANISM)
        self._login_step(f"USER {account.address}", account)
        self._login_step(f"PASS {account.password.reveal()}", account)

    def enter(self) -> str:
        """Opens the mailbox: STAT (RFC 1939 §5)."""
        return f"{self._count()} messages"

    def find(self, token: str) -> tuple[str, ...]:
        """The numbers of the messages whose header holds `token`, among the newest 50 (TOP, RFC 1939 §7)."""
        count = self._count()
        numbers = range(count, max(0, count - _NEWEST), -1)
        return tuple(str(number) for number in numbers if token.encode() in b"\n".join(self._lines(f"TOP {number} 0")))

    def read(self, message: str) -> bytes:
        """One whole message (RETR), its lines ending in CRLF."""
        return b"".join(line + b"\r\n" for line in self._lines(f"RETR {message}"))

    def delete(self, messages: tuple[str, ...]) -> None:
        """Marks and, by QUIT, removes messages (RFC 1939 §6: they go in the UPDATE state only)."""
        for message in messages:
            self._command(f"DELE {message}")
        self._command("QUIT")

    def quit(self) -> None:
        """QUIT."""
        self._command("QUIT")

    def _count(self) -> int:
        answer = self._command("STAT").split()
        if len(answer) < 2 or not re.fullmatch("[0-9]{1,10}", answer[1]):
            raise ServerError(Cause.GARBLED, clean(" ".join(answer)))
        return int(answer[1])

    def _login_step(self, line: str, account: Account) -> None:
        self.wire.send(line)
        answer = self.wire.line()
        if not answer.startswith(b"+"):
            refusal = sasl.refusal(answer, account)
            if self._codes and refusal.cause is Cause.LOGIN_REFUSED and not answer.upper().startswith(b"-ERR [AUTH]"):
                # RFC 3206 §6: who offers AUTH-RESP-CODE marks every refusal of a user's credentials. Dovecot 2.4 says
                # without a code that there are too many connections.
                raise ServerError(Cause.PERMANENT, refusal.reply)
            raise refusal

    def _command(self, line: str) -> str:
        self.wire.send(line)
        return self._answer()

    def _answer(self) -> str:
        line = self.wire.line()
        text = clean(line)
        if line.startswith(b"+OK"):
            return text
        if line.startswith(b"-ERR"):
            raise ServerError(Cause.PERMANENT, text)
        raise ServerError(Cause.GARBLED, text)

    def _lines(self, command: str) -> list[bytes]:
        self._command(command)
        found: list[bytes] = []
        while (line := self.wire.line()) != b".":
            found.append(line.removeprefix(b"."))
        return found
