"""Which SSH algorithms mailprov agrees to, in order of preference. SHA-1, CBC and 3DES are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

_KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
KEY_KINDS: dict[str, tuple[str, ...]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""the signatures that a host key of each kind may give"""
SCANNED = (("ssh-ed25519",), tuple(kind for kind in KEY_KINDS if kind.startswith("ecdsa-")), ("ssh-rsa",))
"""the kinds of host key to ask for, one connection each"""


class Options(Protocol):
    """What is used of paramiko's SecurityOptions."""

    kex: Sequence[str]
    ciphers: Sequence[str]
    digests: Sequence[str]
    key_types: Sequence[str]


def restrict(options: Options, kinds: Iterable[str]) -> None:
    """Cut `options` down to what is agreed to and the installed paramiko knows; `kinds` are the host key's, in order.

    A host key is asked for by the kinds that are known already: else a server that prefers another kind would show one
    about which known_hosts says nothing.
    """
    options.kex = [name for name in _KEX if name in options.kex]
    options.ciphers = [name for name in _CIPHERS if name in options.ciphers]
    options.digests = [name for name in _MACS if name in options.digests]
    wanted = dict.fromkeys(name for kind in kinds for name in KEY_KINDS.get(kind, ()))
    options.key_types = [name for name in wanted if name in options.key_types]
