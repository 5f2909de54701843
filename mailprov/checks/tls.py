"""TLS as a mail client makes it, and what the server shows of itself on the way.

There are two ways to a socket that a secret may travel on: `verified` (chain and name, by OpenSSL) and `inspect`
(the leaf is one of the pins). Nothing else in mailprov.checks makes a TLS socket, except to see it refused.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mailprov import local_files
from mailprov.checks.cause import Cause, ServerError, explanation
from mailprov.checks.certificate import fingerprint
from mailprov.checks.check import Trust


@dataclass(frozen=True, slots=True)
class Served:
    """What a server showed in a handshake: its leaf (DER), the TLS version and the cipher that were agreed.

    `chain` is every certificate that it sent (DER, leaf first), or () where this Python cannot tell.
    """

    leaf: bytes
    version: str
    cipher: str
    chain: tuple[bytes, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the leaf's DER in lower-case hex."""
        return fingerprint(self.leaf)


def trusted(sock: socket.socket, server_name: str, trust: Trust) -> tuple[ssl.SSLSocket, Served]:
    """A TLS socket fit for a password, and what the server showed; closes `sock` where there is none.

    Raises ServerError (PIN_MISMATCH) when there are pins and the leaf is none of them,
    ssl.SSLCertVerificationError when there are none and chain or name does not verify (RFC 8314 §4.4: a session is
    not confidential then), OSError when the handshake fails.
    """
    if not trust.pins:
        secured = verified(sock, server_name, trust.roots)
        return secured, _served(secured)
    pinned, served = inspect(sock, server_name, trust.pins)
    if pinned is None:
        raise ServerError(Cause.PIN_MISMATCH, f"it serves SHA-256 {served.fingerprint}")
    return pinned, served


def verified(sock: socket.socket, server_name: str, roots: Path | None) -> ssl.SSLSocket:
    """A TLS socket whose chain and name were verified against the system's roots and `roots` (a PEM bundle).

    Raises ssl.SSLCertVerificationError when they do not verify, OSError when the handshake fails or
    `roots` has no certificate, FileError when it cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if roots is not None:
        context.load_verify_locations(cadata=local_files.certificates(roots))
    return context.wrap_socket(sock, server_hostname=server_name)


def inspect(sock: socket.socket, server_name: str, pins: frozenset[str]) -> tuple[ssl.SSLSocket | None, Served]:
    """Looks at a server's certificate whatever it is; returns the socket only where its leaf is one of `pins`.

    This is the only place where OpenSSL is told not to verify, and it is safe because the socket of a peer that is
    not pinned is closed here, before a byte of the protocol is sent: a caller cannot get hold of it. (The handshake
    still proves that the peer owns the leaf's private key.) An expired or private certificate can be read, and a
    pinned self-signed one used, in no other way. Raises OSError when the handshake fails.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    looked = context.wrap_socket(sock, server_hostname=server_name)
    try:
        served = _served(looked)
    except BaseException:
        looked.close()
        raise
    if served.fingerprint in pins:
        return looked, served
    looked.close()
    return None, served


OldTls = Literal["refused", "accepted", "unable"]


def old_tls(sock: socket.socket, server_name: str, oldest: Literal["TLSv1.2", "TLSv1.3"]) -> tuple[OldTls, str]:
    """Offers only the version just below `oldest` and tells what the server does about it; closes `sock`.

    "unable": this OpenSSL cannot offer that version, or the server did not answer, so nothing is known. The second
    item is the evidence. TLS 1.1 and below are forbidden for mail (RFC 8997).
    """
    return _only(sock, server_name, ssl.TLSVersion.TLSv1_1 if oldest == "TLSv1.2" else ssl.TLSVersion.TLSv1_2)


VERSIONS = {
    "TLS 1.0": ssl.TLSVersion.TLSv1,
    "TLS 1.1": ssl.TLSVersion.TLSv1_1,
    "TLS 1.2": ssl.TLSVersion.TLSv1_2,
    "TLS 1.3": ssl.TLSVersion.TLSv1_3,
}


def spoken(connect: Callable[[], socket.socket], server_name: str) -> tuple[str, ...]:
    """Those of VERSIONS to which the server agrees when each is offered alone, on a connection of its own.

    A failed handshake gives the same alert whichever side is too old (RFC 8446 §6.2, protocol_version): this tells.
    Raises what `connect` raises.
    """
    return tuple(name for name, version in VERSIONS.items() if _only(connect(), server_name, version)[0] == "accepted")


def _only(sock: socket.socket, server_name: str, version: ssl.TLSVersion) -> tuple[OldTls, str]:
    try:
        context = ssl.create_default_context()
        # Debian's OpenSSL has TLS 1.1 built in, but disabled by its security level.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    except (ssl.SSLError, ValueError) as error:
        sock.close()
        return "unable", type(error).__name__
    return _offer(lambda: context.wrap_socket(sock, server_hostname=server_name))


def _offer(handshake: Callable[[], ssl.SSLSocket]) -> tuple[OldTls, str]:
    try:
        handshake().close()
    except ssl.SSLCertVerificationError:
        # The certificate comes after the server has agreed to the version.
        return "accepted", "the server went on to its certificate"
    except ssl.SSLError as error:
        local = error.reason in ("NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE")
        return "unable" if local else "refused", error.reason or type(error).__name__
    except TimeoutError as error:
        return "unable", explanation(error)
    except OSError as error:
        return "refused", explanation(error)
    return "accepted", "the handshake succeeded"


def _served(sock: ssl.SSLSocket) -> Served:
    leaf, cipher = sock.getpeercert(binary_form=True), sock.cipher()
    if leaf is None or cipher is None:
        raise ServerError(Cause.TLS, "the server showed no certificate")
    return Served(leaf, sock.version() or "", cipher[0], _sent(sock))


def _sent(sock: ssl.SSLSocket) -> tuple[bytes, ...]:
    """Every certificate that the peer sent: a method of the socket since Python 3.13, one of its inside before."""
    public: Callable[[], list[bytes]] | None = getattr(sock, "get_unverified_chain", None)
    if public is not None:
        return tuple(public())
    inner = getattr(getattr(sock, "_sslobj", None), "get_unverified_chain", None)
    encoding = getattr(getattr(ssl, "_ssl", None), "ENCODING_DER", None)
    if inner is None or encoding is None:
        return ()
    return tuple(bytes(each.public_bytes(encoding)) for each in inner() or ())
