"""A private key's file, as far as it can be read without its passphrase."""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    SSHCertificate,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_identity,
    load_ssh_public_key,
)

from mailprov import local_files
from mailprov.errors import ConnectError, FileError, visible
from mailprov.model import Secret

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

_MAGIC = b"openssh-key-v1\0"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key as it lies on disk. `public` is its public half, empty where the file does not tell."""

    path: Path
    text: bytes
    encrypted: bool
    public: bytes

    def __repr__(self) -> str:
        return f"KeyFile({self.path})"


def read(path: Path) -> KeyFile:
    """The private key in `path`.

    Raises ConnectError for a file that is missing, unreadable, open to others, or no private key.
    """
    try:
        with local_files.opened(path, local_files.MAX_KEY) as stream:
            status = os.fstat(stream.fileno())
            text = stream.read()
    except FileError as error:
        if error.absent:
            raise ConnectError(
                f"there is no SSH key {visible(path)}",
                fix="correct ssh.identity_file, or make a key with ssh-keygen -t ed25519",
            ) from None
        raise ConnectError(
            f"cannot read the SSH key {visible(path)}",
            why=error.what,
            fix="make the file readable, or correct ssh.identity_file",
        ) from None
    # ssh(1) refuses such a key too, and only where the file is the user's own to mend.
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise ConnectError(
            f"the SSH key {visible(path)} is open to other users (mode {status.st_mode & 0o777:04o})",
            why="a private key that others can read is no secret, and ssh refuses it as well",
            fix=f"chmod 600 {visible(path)}",
        )
    return _parse(path, text)


def unlock(file: KeyFile, passphrase: Secret | None) -> PrivateKey | None:
    """The private key itself, or None where the passphrase is wrong.

    Raises ConnectError for a key that is damaged or of a kind that cannot be used.
    """
    password = passphrase.reveal().encode() if passphrase is not None else None
    load = load_ssh_private_key if b"BEGIN OPENSSH" in file.text else load_pem_private_key
    try:
        key = load(file.text, password)
    except (ValueError, TypeError, InvalidTag) as error:
        if file.encrypted:
            return None
        raise ConnectError(f"the SSH key {file.path} is damaged", fix="restore the file from a copy") from error
    except UnsupportedAlgorithm as error:
        raise _unusable(file, str(error)) from error
    if not isinstance(key, PrivateKey):
        raise _unusable(file, "it is neither Ed25519 nor ECDSA nor RSA")
    return key


def certifies(text: str, file: KeyFile) -> bool:
    """Whether `text` is an OpenSSH certificate for this key."""
    try:
        certificate = load_ssh_public_identity(text.encode())
        if not isinstance(certificate, SSHCertificate):
            return False
        public = load_ssh_public_key(f"{_kind(file)} {base64.b64encode(file.public).decode()}".encode())
        return certificate.public_key() == public
    except (ValueError, UnsupportedAlgorithm, struct.error):
        return False


def _kind(file: KeyFile) -> str:
    return _string(file.public)[0].decode()


def _unusable(file: KeyFile, why: str) -> ConnectError:
    return ConnectError(
        f"the SSH key {file.path} cannot be used by mailprov",
        why=why,
        fix="add it to ssh-agent, or make another: ssh-keygen -t ed25519",
    )


def _parse(path: Path, text: bytes) -> KeyFile:
    found = re.search(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----\s(.*?)-----END", text, re.DOTALL)
    if found is None:
        raise ConnectError(
            f"{visible(path)} is not a private SSH key",
            why="it holds a public key" if re.match(rb"(ssh-|ecdsa-|sk-)", text) else "",
            fix="name the private key, the file without .pub",
        )
    if found[1] != b"OPENSSH ":
        encrypted = found[1] == b"ENCRYPTED " or b"ENCRYPTED" in found[2]
        return KeyFile(path, text, encrypted, _public_beside(path))
    try:
        # PROTOCOL.key of OpenSSH: magic, cipher, kdf, kdf options, number of keys, public key, …
        body = base64.b64decode(found[2])
        cipher, rest = _string(body[len(_MAGIC) :])
        public, _ = _string(_string(_string(rest)[1])[1][4:])
    except (binascii.Error, struct.error, ValueError) as error:
        raise ConnectError(f"the SSH key {visible(path)} is damaged", fix="restore the file from a copy") from error
    return KeyFile(path, text, cipher != b"none", public)


def _string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    return data[4 : 4 + size], data[4 + size :]


def _public_beside(path: Path) -> bytes:
    try:
        text = local_files.contents(path.with_name(path.name + ".pub"), local_files.MAX_KEY)
        return base64.b64decode(text.split()[1])
    except (FileError, ValueError, IndexError):
        return b""
