"""SMTP and submission as a client speaks them (RFC 5321, RFC 6409; STARTTLS: RFC 3207; AUTH: RFC 4954)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailprov.checks import sasl
from mailprov.checks.cause import Cause, ServerError, clean
from mailprov.checks.check import Account
from mailprov.checks.wire import Wire

_LINES = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its code (100–599) and its lines without the code, as the server sent them."""

    code: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return clean(f"{self.code} {' '.join(self.lines)}")

    @property
    def error(self) -> ServerError:
        """The error for where this reply is a no; 4yz is temporary (RFC 5321 §4.2.1)."""
        return ServerError(Cause.TEMPORARY if self.code // 100 == 4 else Cause.PERMANENT, str(self))


class Smtp:
    """An SMTP session; see `mailprov.checks.session.Session` for what raises when."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def greet(self) -> str:
        """Reads the greeting: 220, or a refusal (RFC 5321 §3.1)."""
        return str(self._expect(220))

    def capabilities(self) -> frozenset[str]:
        """EHLO with this end's address literal (RFC 5321 §4.1.3), which needs no name in DNS."""
        address = self.wire.local_address
        self.wire.send(f"EHLO [{'IPv6:' if ':' in address else ''}{address}]")
        found: set[str] = set()
        for line in self._expect(250).lines[1:]:
            name, *arguments = line.upper().split() or [""]
            found.add(name)
            if name == "AUTH":
                found.update(f"AUTH={mechanism}" for mechanism in arguments)
        return frozenset(found)

    def ask_tls(self) -> None:
        """STARTTLS (RFC 3207 §4)."""
        reply = self._command("STARTTLS")
        if reply.code != 220:
            raise ServerError(Cause.NO_STARTTLS, str(reply))

    def cleartext_login(self) -> str:
        """Asks EHLO and AUTH PLAIN; RFC 4954 §4: 334 would ask for the password, "*" cancels."""
        offered = self.capabilities()
        reply = self._command("AUTH PLAIN")
        if reply.code == 334:
            self._command("*")
            return "AUTH PLAIN is accepted"
        shown = sorted(capability for capability in offered if capability.startswith("AUTH"))
        return f"EHLO offers {', '.join(shown)}" if shown else ""

    def missing(self, offered: frozenset[str]) -> tuple[str, ...]:
        """AUTH PLAIN; on port 25 nobody logs in, and nobody asks this."""
        return () if "AUTH=PLAIN" in offered else ("AUTH PLAIN",)

    def login(self, account: Account) -> None:
        """AUTH PLAIN (RFC 4954 §4)."""
        if "AUTH=PLAIN" not in self.capabilities():
            raise ServerError(Cause.NO_MECHANISM)
        reply = self._command(f"AUTH PLAIN {sasl.plain(account, self.wire)}")
        if reply.code != 235:
            raise sasl.refusal(f"{reply.code} {' '.join(reply.lines)}", account)

    def send(self, address: str, message: bytes) -> str:
        """Sends `message` (lines end in CRLF) from `address` to itself; returns the server's last reply.

        Raises ServerError for the first reply that is not positive.
        """
        self._positive(f"MAIL FROM:<{address}>")
        self._positive(f"RCPT TO:<{address}>")
        reply = self._command("DATA")
        if reply.code != 354:
            raise reply.error
        # RFC 5321 §4.5.2: a line that begins with a dot gets another.
        body = re.sub(rb"(?m)^\.", b"..", message)
        self.wire.send_raw(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return str(self._expect(250))

    def enter(self) -> str:
        """Nothing: whoever only sends has no mailbox to open."""
        return ""

    def recipient(self, sender: str, recipient: str) -> Reply:
        """The server's answer to an envelope, taken back with RSET before any message could follow."""
        reply = self._command(f"MAIL FROM:<{sender}>")
        if reply.code == 250:
            reply = self._command(f"RCPT TO:<{recipient}>")
            self._positive("RSET")
        return reply

    def quit(self) -> None:
        """QUIT."""
        self._command("QUIT")

    def _command(self, line: str) -> Reply:
        self.wire.send(line)
        return self._reply()

    def _positive(self, line: str) -> None:
        reply = self._command(line)
        if reply.code // 100 != 2:
            raise reply.error

    def _expect(self, code: int) -> Reply:
        reply = self._reply()
        if reply.code != code:
            raise reply.error
        return reply

    def _reply(self) -> Reply:
        lines: list[str] = []
        while len(lines) < _LINES:
            line = self.wire.line()
            parts = re.match(rb"([1-5]\d\d)([ -]|$)(.*)", line)
            if parts is None:
                raise ServerError(Cause.GARBLED, clean(line))
            lines.append(parts[3].decode("utf-8", "replace"))
            if parts[2] != b"-":
                return Reply(int(parts[1]), tuple(lines))
        raise ServerError(Cause.GARBLED, f"a reply of more than {_LINES} lines")
