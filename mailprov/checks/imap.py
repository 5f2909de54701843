"""IMAP as a client speaks it (RFC 3501 and RFC 9051; SASL-IR: RFC 4959; UID EXPUNGE: RFC 4315)."""

from __future__ import annotations

import re

from mailprov.checks import sasl
from mailprov.checks.cause import Cause, ServerError, clean
from mailprov.checks.check import Account
from mailprov.checks.wire import Wire

_LITERAL = re.compile(rb"\{(\d{1,9})\}$")


class Imap:
    """An IMAP session; see `mailprov.checks.session.Session` for what raises when."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._sent = 0

    def greet(self) -> str:
        """Reads the greeting: OK or PREAUTH are good, BYE is not (RFC 9051 §7.1)."""
        text = clean(self.wire.line())
        match text.split(maxsplit=2)[:2]:
            case ["*", "OK" | "PREAUTH"]:
                return text
            case ["*", "BYE"]:
                raise ServerError(Cause.TEMPORARY, text)
        raise ServerError(Cause.GARBLED, text)

    def capabilities(self) -> frozenset[str]:
        """CAPABILITY (RFC 9051 §6.1.1)."""
        words: set[str] = set()
        for line, *_ in self._command("CAPABILITY"):
            if line.upper().startswith(b"* CAPABILITY "):
                words.update(word.decode("ascii", "replace") for word in line.upper().split()[2:])
        return frozenset(words)

    def ask_tls(self) -> None:
        """STARTTLS (RFC 9051 §6.2.1)."""
        try:
            self._command("STARTTLS")
        except ServerError as error:
            raise ServerError(Cause.NO_STARTTLS, error.reply) from None

    def cleartext_login(self) -> str:
        """Asks CAPABILITY and AUTHENTICATE PLAIN; LOGINDISABLED must be shown before TLS (RFC 9051 §6.2.3)."""
        offered = self.capabilities()
        tag = self._send("AUTHENTICATE PLAIN")
        for line, *_ in self._until(tag):
            if line.startswith(b"+"):
                # RFC 9051 §6.2.2: "*" cancels, so no password has to be made up.
                self.wire.send("*")
                self._drain(tag)
                return "AUTHENTICATE PLAIN is accepted"
        shown = sorted(offered & {"AUTH=PLAIN", "AUTH=LOGIN"})
        if shown:
            return f"CAPABILITY offers {', '.join(shown)}"
        return "" if "LOGINDISABLED" in offered else "CAPABILITY lacks LOGINDISABLED"

    def missing(self, offered: frozenset[str]) -> tuple[str, ...]:
        """IMAP itself and a way to log in."""
        spoken = () if offered & {"IMAP4REV1", "IMAP4REV2"} else ("IMAP4rev1",)
        return spoken + (() if "AUTH=PLAIN" in offered or "LOGINDISABLED" not in offered else ("AUTH=PLAIN",))

    def login(self, account: Account) -> None:
        """AUTHENTICATE PLAIN where offered, otherwise LOGIN with literals, which carry any byte."""
        offered = self.capabilities()
        if "AUTH=PLAIN" in offered:
            response = sasl.plain(account, self.wire)
            if "SASL-IR" in offered:
                self._login_end(self._send(f"AUTHENTICATE PLAIN {response}"), account)
                return
            tag = self._send("AUTHENTICATE PLAIN")
            self._go_on(account)
            self.wire.send(response)
            self._login_end(tag, account)
            return
        if "LOGINDISABLED" in offered or not self.wire.encrypted:
            raise ServerError(Cause.NO_MECHANISM)
        user, password = account.address.encode(), account.password.reveal().encode()
        tag = self._send(f"LOGIN {{{len(user)}}}")
        self._go_on(account)
        self.wire.send_raw(user + b" {%d}\r\n" % len(password))
        self._go_on(account)
        self.wire.send_raw(password + b"\r\n")
        self._login_end(tag, account)

    def enter(self) -> str:
        """Opens INBOX without touching it: EXAMINE (RFC 9051 §6.3.3)."""
        for line, *_ in self._command("EXAMINE INBOX"):
            if found := re.fullmatch(rb"\* (\d{1,10}) EXISTS", line.upper()):
                return f"{int(found[1])} messages"
        return "open"

    def find(self, token: str) -> tuple[str, ...]:
        """The UIDs of the messages in INBOX with `token` in their Subject (UID SEARCH, RFC 9051 §6.4.9)."""
        self._command("SELECT INBOX")
        found: list[str] = []
        for line, *_ in self._command(f'UID SEARCH HEADER Subject "{token}"'):
            if line.upper().startswith(b"* SEARCH"):
                found += [word.decode() for word in line.split()[2:] if word.isdigit()]
        return tuple(found)

    def read(self, message: str) -> bytes:
        """One whole message by UID, without marking it as seen (BODY.PEEK[]); b"" where it is gone."""
        for response in self._command(f"UID FETCH {message} (BODY.PEEK[])"):
            if len(response) > 1:
                return response[1]
        return b""

    def delete(self, messages: tuple[str, ...]) -> None:
        """Removes messages by UID, and only these.

        A plain EXPUNGE would also remove what the user marked; so raises ServerError without UIDPLUS (RFC 4315).
        """
        if "UIDPLUS" not in self.capabilities():
            raise ServerError(Cause.PERMANENT, "the server lacks UIDPLUS")
        uids = ",".join(messages)
        self._command(f"UID STORE {uids} +FLAGS.SILENT (\\Deleted)")
        self._command(f"UID EXPUNGE {uids}")

    def quit(self) -> None:
        """LOGOUT."""
        self._command("LOGOUT")

    def _send(self, command: str) -> bytes:
        self._sent += 1
        self.wire.send(f"V{self._sent} {command}")
        return b"V%d " % self._sent

    def _response(self) -> list[bytes]:
        """One response: its text, and between pieces of text the literals that it announces."""
        pieces = [self.wire.line()]
        while announced := _LITERAL.search(pieces[-1]):
            pieces += [self.wire.exactly(int(announced[1])), self.wire.line()]
        return pieces

    def _until(self, tag: bytes) -> list[list[bytes]]:
        """Every response up to the tagged one or a continuation request, which is the last."""
        found = [self._response()]
        while not found[-1][0].startswith((tag, b"+")):
            found.append(self._response())
        return found

    def _drain(self, tag: bytes) -> None:
        while not self._response()[0].startswith(tag):
            pass

    def _command(self, command: str) -> list[list[bytes]]:
        tag = self._send(command)
        *found, last = self._until(tag)
        if not last[0].upper().startswith(tag + b"OK"):
            text = clean(last[0])
            raise ServerError(Cause.GARBLED if last[0].startswith(b"+") else Cause.PERMANENT, text)
        return found

    def _go_on(self, account: Account) -> None:
        last = self._until(b"V%d " % self._sent)[-1][0]
        if not last.startswith(b"+"):
            raise sasl.refusal(last.partition(b" ")[2], account)

    def _login_end(self, tag: bytes, account: Account) -> None:
        last = self._until(tag)[-1][0]
        if not last.upper().startswith(tag + b"OK"):
            raise sasl.refusal(last.removeprefix(tag), account)
