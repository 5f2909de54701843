"""What age does (C2SP age.md): the only file that imports pyrage, which is an extra: mailprov[age].

An identity opens what is encrypted for its recipient: an X25519 one of age's own, or an SSH key (ed25519, RSA).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from mailprov import extras
from mailprov.errors import FileError
from mailprov.model import Secret

SECRET_KEY: Final = "AGE-SECRET-KEY-1"  # noqa: S105 - how one begins
_KINDS: Final = "an age recipient (age1…) or an SSH key (ssh-ed25519 …, ssh-rsa …)"
_NOT_YOURS: Final = (
    "give the right one: --identity FILE; or have somebody who can open it add your recipient to .age-recipients and "
    "run `mailprov secret rekey`"
)
_DAMAGED: Final = "take it from the Git history, or encrypt the secret anew: mailprov secret encrypt"


@dataclass(frozen=True, slots=True)
class Identity:
    """What opens age files, and where it came from."""

    where: str
    keys: tuple[Any, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody for whom secrets are encrypted: as written, and as pyrage has it."""

    text: str
    key: Any = field(repr=False, compare=False)


def generated() -> tuple[Secret, str]:
    """A new identity, and its recipient. Raises FileError without pyrage."""
    made = _pyrage().x25519.Identity.generate()
    return Secret(str(made)), str(made.to_public())


def identity(text: Secret, where: str) -> Identity:
    """The identity in a text: age's own lines, or one SSH key. Raises FileError, which shows none of it."""
    pyrage, plain = _pyrage(), text.reveal()
    if "PRIVATE KEY-----" in plain:
        return Identity(where, (_ssh_identity(pyrage, plain, where),))
    if plain.lstrip().startswith(("age-encryption.org/", "-----BEGIN AGE")):
        raise _unusable(where, "is encrypted itself", "decrypt it into a file that only you can read")
    lines = [(number, line.strip()) for number, line in enumerate(plain.splitlines(), start=1)]
    told = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not told:
        raise _unusable(where, "holds no identity", "name a file with AGE-SECRET-KEY-1…, or an SSH key")
    keys = []
    for number, line in told:
        try:
            keys.append(pyrage.x25519.Identity.from_str(line))
        except pyrage.IdentityError:
            what = f"holds no age identity in line {number}"
            raise _unusable(where, what, "name a file with AGE-SECRET-KEY-1…, or an SSH key") from None
    return Identity(where, tuple(keys))


def _ssh_identity(pyrage: ModuleType, text: str, where: str) -> Any:
    try:
        return pyrage.ssh.Identity.from_buffer(text.encode())
    except pyrage.IdentityError as error:
        if "decrypted first" in str(error) or "ENCRYPTED" in text:
            what, fix = "is an SSH key with a passphrase", "use an identity of its own: mailprov secret init"
        else:
            what, fix = "is no SSH key that age knows", "use an ed25519 or RSA key, or an age identity"
        raise _unusable(where, what, fix) from None


def recipient(text: str) -> Recipient:
    """Who `text` is. Raises FileError for what is no recipient, and without pyrage."""
    pyrage = _pyrage()
    read = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return Recipient(text, read.from_str(text))
    except pyrage.RecipientError:
        if text.upper().startswith("AGE-SECRET-KEY-") or "PRIVATE KEY" in text:
            what = "this is an identity, which is a secret, and no recipient"
            fix = "take it away and make a new one: who has seen it can open everything that is encrypted for it"
            raise FileError(what, fix=fix) from None
        raise FileError("this is no recipient", fix=f"write {_KINDS}") from None


def recipients_of(text: Secret, where: str) -> tuple[str, ...]:
    """The recipients for which the identity in a text opens files. Raises as `identity` does."""
    found = identity(text, where)
    if "PRIVATE KEY-----" in text.reveal():
        return (_ssh_public(text.reveal(), where),)
    return tuple(str(key.to_public()) for key in found.keys)


def _ssh_public(text: str, where: str) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
        load_ssh_private_key,
    )

    for load in (load_ssh_private_key, load_pem_private_key):
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):
            key = load(text.encode(), None)
            return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    raise _unusable(where, "is no SSH key that age knows", "use an ed25519 or RSA key, or an age identity")


def encrypted(data: bytes, recipients: Sequence[Recipient]) -> bytes:
    """`data` as an age file that the identities of these recipients open. Raises FileError without pyrage."""
    made: bytes = _pyrage().encrypt(data, [each.key for each in recipients])
    return made


def decrypted(data: bytes, by: Identity) -> bytes:
    """What is in an age file (binary). Raises FileError, `denied` where it is for other identities."""
    pyrage = _pyrage()
    try:
        plain: bytes = pyrage.decrypt(data, list(by.keys))
    except pyrage.DecryptError as error:
        if b"\n-> scrypt " in data[:200]:
            what = "this is encrypted with a passphrase, which nobody is asked for"
            raise FileError(what, fix="encrypt it for recipients: mailprov secret encrypt") from None
        if "matching keys" in str(error):
            what = f"this is encrypted for other identities than the one in {by.where}"
            raise FileError(what, fix=_NOT_YOURS, denied=True) from None
        raise FileError("this age text or file is damaged", fix=_DAMAGED) from None
    return plain


def _unusable(where: str, what: str, fix: str) -> FileError:
    return FileError(f"the age identity in {where} {what}", fix=fix, denied=True)


def _pyrage() -> ModuleType:
    try:
        import pyrage
        import pyrage.ssh
        import pyrage.x25519
    except ImportError:
        raise FileError("age needs pyrage, which is not installed", fix=extras.install("age"), denied=True) from None
    found: ModuleType = pyrage
    return found
