"""A mail server of one mailbox in three protocols, to be got wrong on purpose."""

from __future__ import annotations

import base64
import ssl
import threading
from dataclasses import dataclass, field

from verify_servers import Peer, Script


@dataclass
class MiniMail:
    """A mail server of one mailbox in three protocols, right by default, with switches for what can be wrong."""

    context: ssl.SSLContext
    user: str = "alice@example.com"
    password: str = 'pa ss"w\\ö'
    mailbox: dict[int, bytes] = field(default_factory=dict)
    starttls: bool = True
    cleartext: bool = False
    sasl: bool = True
    relay: str = "554 5.7.1 Relay access denied"
    lose: bool = False
    uidplus: bool = True
    logins: int = 0
    refusal: str = "[AUTH] Authentication failed."
    lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, protocol: str, mode: str) -> Script:
        def run(peer: Peer) -> None:
            if mode == "tls":
                peer.tls(self.context)
            {"pop3": self.pop3, "imap": self.imap, "submission": self.smtp, "smtp": self.smtp25}[protocol](
                peer, mode == "tls"
            )

        return run

    def _plain(self, response: str) -> bool:
        with self.lock:
            self.logins += 1
        return base64.b64decode(response) == f"\0{self.user}\0{self.password}".encode()

    def _deliver(self, message: bytes) -> None:
        with self.lock:
            if not self.lose:
                self.mailbox[max(self.mailbox, default=0) + 1] = message

    # --- POP3 -------------------------------------------------------------------------------------------------------

    def pop3(self, peer: Peer, tls: bool) -> None:
        peer.say("+OK ready")
        doomed: list[int] = []
        shown: list[int] = []
        user = ""
        while True:
            verb, _, rest = peer.line().partition(" ")
            safe = tls or self.cleartext
            match verb:
                case "CAPA":
                    lines = ["+OK", "UIDL", "TOP", "SASL PLAIN" if safe and self.sasl else "SASL"]
                    lines += ["USER"] if safe else []
                    peer.say(*lines, *(["STLS"] if self.starttls and not tls else []), ".")
                case "STLS":
                    peer.say("+OK go")
                    peer.tls(self.context)
                    tls = True
                case "AUTH" | "USER" if not safe:
                    peer.say("-ERR [AUTH] Plaintext authentication disallowed")
                case "AUTH":
                    response = rest.partition(" ")[2]
                    if not response:
                        peer.say("+ ")
                        response = peer.line()
                    if response == "*":
                        peer.say("-ERR cancelled")
                        continue
                    right = self._plain(response)
                    peer.say("+OK in" if right else f"-ERR {self.refusal}")
                    shown = sorted(self.mailbox)
                case "USER":
                    user = rest
                    peer.say("+OK")
                case "PASS":
                    self.logins += 1
                    right = (user, rest) == (self.user, self.password)
                    peer.say("+OK in" if right else f"-ERR {self.refusal}")
                    shown = sorted(self.mailbox)
                case "STAT":
                    peer.say(f"+OK {len(shown)} 1000")
                case "TOP" | "RETR":
                    peer.say("+OK")
                    peer.sock.sendall(self.mailbox[shown[int(rest.split()[0]) - 1]] + b".\r\n")
                case "DELE":
                    doomed.append(shown[int(rest) - 1])
                    peer.say("+OK")
                case "QUIT":
                    for key in doomed:
                        self.mailbox.pop(key, None)
                    peer.say("+OK bye")
                    return
                case _:
                    peer.say("-ERR what")

    # --- IMAP -------------------------------------------------------------------------------------------------------

    def imap(self, peer: Peer, tls: bool) -> None:
        peer.say("* OK ready")
        while True:
            tag, _, command = peer.line().partition(" ")
            verb, _, rest = command.partition(" ")
            safe = tls or self.cleartext
            match verb:
                case "CAPABILITY":
                    words = ["IMAP4rev1", "SASL-IR"] + (["UIDPLUS"] if self.uidplus else [])
                    words += ["STARTTLS"] if self.starttls and not tls else []
                    words += (["AUTH=PLAIN"] if self.sasl else []) if safe else ["LOGINDISABLED"]
                    peer.say(f"* CAPABILITY {' '.join(words)}", f"{tag} OK done")
                case "STARTTLS":
                    peer.say(f"{tag} OK go")
                    peer.tls(self.context)
                    tls = True
                case "AUTHENTICATE" if not safe:
                    peer.say(f"{tag} NO [PRIVACYREQUIRED] not without TLS")
                case "AUTHENTICATE":
                    response = rest.partition(" ")[2]
                    if not response:
                        peer.say("+ ")
                        response = peer.line()
                    right = response != "*" and self._plain(response)
                    peer.say(f"{tag} OK in" if right else f"{tag} NO [AUTHENTICATIONFAILED] no")
                case "LOGIN":
                    words = []
                    for _ in range(2):
                        size = int(rest.rpartition("{")[2].rstrip("}"))
                        peer.say("+ go")
                        rest = peer.line()
                        words.append(rest.encode()[:size].decode())
                        rest = rest.encode()[size:].decode()
                    self.logins += 1
                    peer.say(f"{tag} OK in" if words == [self.user, self.password] else f"{tag} NO no")
                case "SELECT" | "EXAMINE":
                    peer.say(f"* {len(self.mailbox)} EXISTS", f"{tag} OK")
                case "UID":
                    self._uid(peer, tag, rest)
                case "LOGOUT":
                    peer.say("* BYE", f"{tag} OK")
                    return
                case _:
                    peer.say(f"{tag} BAD what")

    def _uid(self, peer: Peer, tag: str, rest: str) -> None:
        match rest.split():
            case ["SEARCH", "HEADER", "Subject", token]:
                found = [str(k) for k, m in self.mailbox.items() if token.strip('"').encode() in m]
                peer.say(f"* SEARCH {' '.join(found)}".rstrip())
            case ["FETCH", uid, _]:
                content = self.mailbox[int(uid)]
                peer.sock.sendall(b"* 1 FETCH (UID %s BODY[] {%d}\r\n%s)\r\n" % (uid.encode(), len(content), content))
            case ["EXPUNGE", uids]:
                for uid in uids.split(","):
                    self.mailbox.pop(int(uid), None)
        peer.say(f"{tag} OK")

    # --- SMTP -------------------------------------------------------------------------------------------------------

    def smtp25(self, peer: Peer, tls: bool) -> None:
        self.smtp(peer, tls, incoming=True)

    def smtp(self, peer: Peer, tls: bool, incoming: bool = False) -> None:
        peer.say("220 ready")
        known = False
        while True:
            verb, _, rest = peer.line().partition(" ")
            offers = self.cleartext or (tls and not incoming)
            match verb:
                case "EHLO":
                    lines = ["hello", *(["AUTH PLAIN"] if offers else [])]
                    lines += ["STARTTLS"] if self.starttls and not tls else []
                    peer.say(*(f"250-{line}" for line in lines), "250 8BITMIME")
                case "STARTTLS":
                    peer.say("220 go")
                    peer.tls(self.context)
                    tls = True
                case "AUTH" if not offers:
                    peer.say("530 5.7.0 Must issue a STARTTLS command first")
                case "AUTH":
                    response = rest.partition(" ")[2]
                    if not response:
                        peer.say("334 ")
                        peer.line()
                        peer.say("501 cancelled")
                        continue
                    known = self._plain(response)
                    peer.say("235 in" if known else "535 5.7.8 Error: authentication failed")
                case "RCPT":
                    peer.say("250 ok" if known or self.user in rest else self.relay)
                case "DATA":
                    peer.say("354 go")
                    lines = []
                    while (line := peer.line()) != ".":
                        lines.append(line.removeprefix("."))
                    self._deliver("".join(f"{line}\r\n" for line in lines).encode())
                    peer.say("250 queued")
                case "QUIT":
                    peer.say("221 bye")
                    return
                case _:
                    peer.say("250 ok")
