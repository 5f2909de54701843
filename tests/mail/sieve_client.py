"""A ManageSieve client of sockets (RFC 5804), apart from the one that mailprov has."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from mail_clients import TIMEOUT, trusting
from mail_machine import HOSTNAME, PASSWORDS, Machine

PORT = 4190


class Refused(Exception):
    """The server said NO or BYE."""


class SieveClient:
    """A session over TLS."""

    def __init__(self, mail: Machine) -> None:
        self.sock = socket.create_connection((mail.address, PORT), TIMEOUT)
        self.file = self.sock.makefile("rb")
        self.offered = self.answer()
        self.before_tls = self.offered
        self.command("STARTTLS")
        self.sock = trusting(mail).wrap_socket(self.sock, server_hostname=HOSTNAME)
        self.file = self.sock.makefile("rb")
        self.offered = self.answer()

    def answer(self) -> str:
        """All lines up to OK, literals included; raises Refused with what is said."""
        said = ""
        while True:
            line = self.file.readline().decode()
            if not line:
                raise Refused("the connection was closed")
            said += line
            if found := re.search(r"\{(\d+)\}\r\n$", line):
                said += self.file.read(int(found[1])).decode()
                rest = self.file.readline().decode()
                said += rest
            if line.startswith(("NO", "BYE")):
                raise Refused(said)
            if line.startswith("OK"):
                return said

    def command(self, line: str) -> str:
        self.sock.sendall(line.encode() + b"\r\n")
        return self.answer()

    def login(self, user: str, password: str) -> None:
        response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.command(f'AUTHENTICATE "PLAIN" "{response}"')

    def put(self, name: str, script: str) -> None:
        """Upload a script and make it the one that runs."""
        data = script.encode()
        self.command(f'PUTSCRIPT "{name}" {{{len(data)}+}}\r\n{script}')
        self.command(f'SETACTIVE "{name}"')


@contextmanager
def managesieve(mail: Machine, user: str, password: str | None = None) -> Iterator[SieveClient]:
    """A session, logged in."""
    client = SieveClient(mail)
    try:
        client.login(user, PASSWORDS[user] if password is None else password)
        yield client
    finally:
        client.sock.close()
