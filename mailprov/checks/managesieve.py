"""ManageSieve as a client speaks it (RFC 5804)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailprov.checks import sasl
from mailprov.checks.cause import Cause, ServerError, clean
from mailprov.checks.check import Account
from mailprov.checks.wire import Wire

_LITERAL = re.compile(rb"\{(\d{1,9})\+?\}$")
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|(\((?:[^()"]|"(?:[^"\\]|\\.)*")*\))|([^\s"()]+)')
_LINES = 1000
_NEEDED = ("fileinto", "vacation")
"""what users write scripts for"""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: OK, NO or BYE, its response code ("" for none), what it says, and the strings of its lines."""

    word: str
    code: str
    text: str
    lines: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return clean(" ".join(filter(None, (self.word, self.code, self.text))))


class ManageSieve:
    """A ManageSieve session; see `mailprov.checks.session.Session` for what raises when."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._told_in_tls = False

    def greet(self) -> str:
        """Reads the greeting: the capabilities, and OK (RFC 5804 §1.7)."""
        reply = self._good(self._reply())
        return " ".join(filter(None, (reply.word, _said(reply.lines).get("IMPLEMENTATION", ""), reply.text)))

    def capabilities(self) -> frozenset[str]:
        """CAPABILITY (RFC 5804 §2.4): names, and AUTH= and SIEVE= for what SASL and SIEVE list."""
        said = _said(self._good(self._command("CAPABILITY")).lines)
        found = set(said)
        found.update(f"AUTH={mechanism}" for mechanism in said.get("SASL", "").upper().split())
        found.update(f"SIEVE={extension.upper()}" for extension in said.get("SIEVE", "").split())
        return frozenset(found)

    def ask_tls(self) -> None:
        """STARTTLS (RFC 5804 §2.2)."""
        reply = self._command("STARTTLS")
        if reply.word != "OK":
            raise ServerError(Cause.NO_STARTTLS, str(reply))

    def cleartext_login(self) -> str:
        """Asks CAPABILITY and AUTHENTICATE PLAIN; a challenge would be an empty string, and "*" cancels (§2.1)."""
        offered = self.capabilities()
        self.wire.send('AUTHENTICATE "PLAIN"')
        first = self._tokens()
        if _word(first) is None:
            self.wire.send('"*"')
            self._reply()
            return "AUTHENTICATE PLAIN is accepted"
        shown = sorted(capability for capability in offered if capability.startswith("AUTH="))
        return f"CAPABILITY offers {', '.join(shown)}" if shown else ""

    def missing(self, offered: frozenset[str]) -> tuple[str, ...]:
        """A way to log in, and what users write scripts for."""
        wanted = ("AUTH=PLAIN", *(f"SIEVE={name.upper()}" for name in _NEEDED))
        return tuple(name for name in wanted if name not in offered)

    def login(self, account: Account) -> None:
        """AUTHENTICATE PLAIN with an initial response (RFC 5804 §2.1)."""
        if "AUTH=PLAIN" not in self.capabilities():
            raise ServerError(Cause.NO_MECHANISM)
        reply = self._command(f'AUTHENTICATE "PLAIN" "{sasl.plain(account, self.wire)}"')
        if reply.word == "OK":
            return
        refusal = sasl.refusal(f"{reply.word} {reply.text}", account)
        if reply.word == "BYE" or "TRYLATER" in reply.code.upper():
            raise ServerError(Cause.TEMPORARY, refusal.reply)
        raise refusal

    def enter(self) -> str:
        """LISTSCRIPTS (RFC 5804 §2.7)."""
        names = self._good(self._command("LISTSCRIPTS")).lines
        return f"{len(names)} script{'' if len(names) == 1 else 's'}"

    def quit(self) -> None:
        """LOGOUT."""
        self._good(self._command("LOGOUT"))

    def _command(self, line: str) -> Reply:
        if self.wire.encrypted and not self._told_in_tls:
            # RFC 5804 §2.2: once TLS is up, the server says again what it offers, unasked
            self._good(self._reply())
            self._told_in_tls = True
        self.wire.send(line)
        return self._reply()

    def _reply(self) -> Reply:
        lines: list[tuple[str, ...]] = []
        while (word := _word(tokens := self._tokens())) is None:
            if len(lines) >= _LINES:
                raise ServerError(Cause.GARBLED, f"an answer of more than {_LINES} lines")
            lines.append(tuple(text for _, text in tokens))
        code = next((text for kind, text in tokens[1:2] if kind == "code"), "")
        text = " ".join(text for kind, text in tokens[1:] if kind == "string")
        return Reply(word, code, text, tuple(lines))

    def _tokens(self) -> list[tuple[str, str]]:
        """One line, with the literals in it: each token with what it is (atom, string, code)."""
        found: list[tuple[str, str]] = []
        while True:
            line = self.wire.line()
            announced = _LITERAL.search(line)
            found += _split(line[: announced.start()] if announced else line)
            if announced is None:
                return found
            found.append(("string", self.wire.exactly(int(announced[1])).decode("utf-8", "replace")))

    def _good(self, reply: Reply) -> Reply:
        if reply.word == "OK":
            return reply
        raise ServerError(Cause.TEMPORARY if reply.word == "BYE" else Cause.PERMANENT, str(reply))


def _split(line: bytes) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for match in _TOKEN.finditer(line):
        kind = ("string", "code", "atom")[(match.lastindex or 1) - 1]
        raw = match[match.lastindex or 1]
        text = re.sub(rb"\\(.)", rb"\1", raw) if kind == "string" else raw
        found.append((kind, text.decode("utf-8", "replace")))
    if not found and line.strip():
        raise ServerError(Cause.GARBLED, clean(line))
    return found


def _word(tokens: Sequence[tuple[str, str]]) -> str | None:
    """OK, NO or BYE, which end a reply; None for a line before that. Raises ServerError for anything else."""
    if not tokens or tokens[0][0] == "string":
        return None
    word = tokens[0][1].upper()
    if word not in ("OK", "NO", "BYE"):
        raise ServerError(Cause.GARBLED, clean(" ".join(text for _, text in tokens)))
    return word


def _said(lines: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """The capabilities, by name in upper case."""
    return {line[0].upper(): line[1] if len(line) > 1 else "" for line in lines if line}
