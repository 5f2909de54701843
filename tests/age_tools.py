"""Identities, recipients and encrypted values for tests: real ones, made anew."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from mailprov.encrypted import age, armour


@dataclass(frozen=True)
class Person:
    """Somebody who can open what is encrypted for them."""

    identity: str
    recipient: str

    def write(self, path: Path) -> Path:
        """Their identity as a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.identity + "\n")
        path.chmod(0o600)
        return path


def person() -> Person:
    """Somebody new."""
    secret, recipient = age.generated()
    return Person(secret.reveal(), recipient)


def ssh_person(folder: Path, kind: str, passphrase: str = "") -> Person:
    """Somebody with an SSH key of that kind (ed25519, rsa, ecdsa), made by ssh-keygen."""
    path = folder / f"ssh-{kind}-{bool(passphrase)}"
    bits = ("-b", "2048") if kind == "rsa" else ()
    subprocess.run(("ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "a@b", "-f", path), check=True)
    return Person(path.read_text(), path.with_name(path.name + ".pub").read_text().strip())


def sealed(secret: str | bytes, *people: Person) -> bytes:
    """A secret as an age file (binary) for these people."""
    data = secret.encode() if isinstance(secret, str) else secret
    return age.encrypted(data, [age.recipient(each.recipient) for each in people])


def text(secret: str | bytes, *people: Person) -> str:
    """A secret as an age text for these people."""
    return armour.armoured(sealed(secret, *people))


def block(secret: str | bytes, *people: Person, indent: int) -> str:
    """A secret as it stands below `age: |`."""
    return "".join(f"{' ' * indent}{line}\n" for line in text(secret, *people).splitlines())
