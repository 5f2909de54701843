"""Small scripted servers on the loopback for the tests of mailprov.verify, and the certificates that they show."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NAME = "mail.example.com"
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@dataclass
class Identity:
    """A certificate with its key; `issuer` None is self-signed."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return "".join(c.public_bytes(Encoding.PEM).decode() for c in (self.certificate, *self.chain))

    def context(self, folder: Path) -> ssl.SSLContext:
        path = folder / f"{self.certificate.serial_number}.pem"
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        path.write_text(key + self.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def identity(
    names: tuple[str, ...] = (NAME,),
    issuer: Identity | None = None,
    ca: bool = False,
    start: dt.datetime = NOW - 30 * DAY,
    end: dt.datetime = NOW + 60 * DAY,
    send_issuer: bool = False,
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    sans: list[x509.GeneralName] = []
    for name in names:
        try:
            sans.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            sans.append(x509.DNSName(name))
    signer = issuer or Identity(None, key)  # type: ignore[arg-type]
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    certificate = builder.sign(signer.key, hashes.SHA256())
    chain = (issuer.certificate, *issuer.chain) if issuer and send_issuer else ()
    return Identity(certificate, key, chain)


class Peer:
    """The server's end of one connection; everything read is recorded."""

    def __init__(self, sock: socket.socket, record: bytearray) -> None:
        self.sock = sock
        self.record = record
        self.buffer = b""

    def tls(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def say(self, *lines: str) -> None:
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def line(self) -> str:
        while b"\n" not in self.buffer:
            data = self.sock.recv(4096)
            if not data:
                raise EOFError
            self.record += data
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(b"\n")
        return found.decode("utf-8", "replace").rstrip("\r")


Script = Callable[[Peer], None]


class Server:
    """Listens on a free port of 127.0.0.1; each connection runs `script` in a thread of its own."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.records: list[bytearray] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def received(self) -> bytes:
        return b"\0".join(self.records)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            record = bytearray()
            self.records.append(record)
            threading.Thread(target=self._serve, args=(sock, record), daemon=True).start()

    def _serve(self, sock: socket.socket, record: bytearray) -> None:
        sock.settimeout(10)
        peer = Peer(sock, record)
        with contextlib.suppress(OSError, EOFError):
            self.script(peer)
        peer.sock.close()

    def close(self) -> None:
        self.listener.close()


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
                case "SELECT":
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


@contextlib.contextmanager
def serving(script: Script) -> Iterator[Server]:
    server = Server(script)
    try:
        yield server
    finally:
        server.close()
