"""A look from outside that never stops: whether a host ever shows what nobody declared."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from cryptography import x509

from mailprov.lab.slots import Place

PORTS = (25, 110, 143, 993, 995)
"""on which Debian's packages serve as they come"""


class Watch:
    """Asks each port again and again; `seen` has what answered as nobody has declared it.

    What is ours is known by the ports themselves, by the certificate on those with TLS, and by the name in the SMTP
    greeting. Only what comes over the host's own link counts: while that is off, the network of this machine may answer
    for its address.
    """

    def __init__(self, place: Place, hostname: str, declared: Collection[int], fingerprints: Collection[str]) -> None:
        self.place = place
        self.hostname = hostname
        self.declared = frozenset(declared)
        self.fingerprints = frozenset(fingerprints)
        self.seen: set[str] = set()
        self.rounds = 0
        self._over = threading.Event()
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Inside the block it looks."""
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(30)

    def _look(self) -> None:
        while not self._over.is_set():
            for port in PORTS:
                with suppress(OSError):  # nobody is there
                    self._ask(port)
            self.rounds += 1
            time.sleep(0.03)

    def _ask(self, port: int) -> None:
        with socket.socket() as connection:
            connection.settimeout(2)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.place.name.encode())
            connection.connect((self.place.address, port))
            if port in (993, 995):
                with self._context.wrap_socket(connection) as tls:
                    der = tls.getpeercert(binary_form=True) or b""
                    shown = hashlib.sha256(der).hexdigest()
                if port not in self.declared or shown not in self.fingerprints:
                    self.seen.add(f"{port} shows the certificate {shown[:12]} ({_words(der)})")
                return
            greeting = connection.recv(200).decode("ascii", "replace").strip()
        if greeting and not (port in self.declared and (port != 25 or self.hostname in greeting)):
            self.seen.add(f"{port} says {greeting!r}")


def _words(der: bytes) -> str:
    """Whose certificate it is, and since when."""
    try:
        found = x509.load_der_x509_certificate(der)
    except ValueError:
        return "none"
    return f"{found.subject.rfc4514_string()}, since {found.not_valid_before_utc:%Y-%m-%d %H:%M:%S}"
