"""The keys that ssh-agent holds (draft-ietf-sshm-ssh-agent): to list, and to sign with. Never forwarded."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
_LISTING = 5.0
_SIGNING = 60.0
"""seconds: a key may wait for a touch or a confirmation"""
_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """A key in the agent behind `socket`."""

    socket: Path
    blob: bytes
    comment: str

    @property
    def kind(self) -> str:
        """The key's kind, "ssh-ed25519" for one."""
        return _string(self.blob)[0].decode("ascii", "replace")

    def sign(self, data: bytes, algorithm: str) -> bytes:
        """The agent's signature over `data`, or nothing where it declines."""
        flags = _FLAGS.get(algorithm.removesuffix("-cert-v01@openssh.com"), 0)
        body = struct.pack(">I", len(self.blob)) + self.blob + struct.pack(">I", len(data)) + data
        with contextlib.suppress(OSError, ValueError, struct.error):
            kind, answer = _ask(self.socket, _SIGN_REQUEST, body + struct.pack(">I", flags), _SIGNING)
            if kind == _SIGN_RESPONSE:
                return _string(answer)[0]
        return b""


def identities(path: Path) -> Sequence[Identity]:
    """The keys in the agent that listens on the socket `path`.

    Raises OSError or ValueError when no agent answers there.
    """
    try:
        kind, answer = _ask(path, _REQUEST_IDENTITIES, b"", _LISTING)
        if kind != _IDENTITIES_ANSWER:
            raise ValueError("the agent does not list its keys")
        (count,) = struct.unpack_from(">I", answer)
        rest = answer[4:]
        found = []
        for _ in range(count):
            blob, rest = _string(rest)
            comment, rest = _string(rest)
            found.append(Identity(path, blob, comment.decode(errors="replace")))
        return found
    except struct.error as error:
        raise ValueError("the agent's answer is cut short") from error


def _ask(path: Path, kind: int, body: bytes, timeout: float) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(timeout)
        agent.connect(str(path))
        agent.sendall(struct.pack(">IB", len(body) + 1, kind) + body)
        (size,) = struct.unpack(">I", _exactly(agent, 4))
        if not 0 < size <= _LIMIT:
            raise ValueError("the agent's answer has no sensible size")
        answer = _exactly(agent, size)
        return answer[0], answer[1:]


def _exactly(agent: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := agent.recv(size - len(data))):
            raise ValueError("the agent hung up")
        data += more
    return data


def _string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    if len(data) < 4 + size:
        raise ValueError("the agent's answer is cut short")
    return data[4 : 4 + size], data[4 + size :]
