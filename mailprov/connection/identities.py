"""Which keys to show to an SSH server, in which order; passphrases are asked for only when nothing else is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailprov import local_files
from mailprov.connection import agent, connect_errors, keyfile
from mailprov.connection.agent import Identity
from mailprov.connection.keyfile import KeyFile, PrivateKey
from mailprov.connection.output import printable
from mailprov.connection.sshconfig import Target
from mailprov.errors import ConnectError, FileError
from mailprov.model import Secret

Ask = Callable[[str], Secret]
"""asks the user for the secret that the text names; the text is the same for the same key"""

_PASSPHRASES = 3


@dataclass(frozen=True, slots=True)
class Credential:
    """One key to try, and how errors call it. `certificate` is OpenSSH's text of one for this key, or empty."""

    label: str
    source: PrivateKey | Identity
    certificate: str = ""


def credentials(target: Target, ask: Ask | None, tried: list[str]) -> Iterator[Credential]:
    """The keys to try: a declared one alone; else the agent's, those of ~/.ssh/config or the default ones.

    What cannot be tried is told to `tried`. A declared key asks no agent, unless it is encrypted.

    Raises ConnectError where a declared key cannot be used.
    """
    files = tuple(_files(target, tried))
    held: dict[bytes, Identity] = {}
    if not target.explicit or any(file.encrypted for file in files):
        held = _held(target, tried)
    publics = [file.public for file in files]
    offered = [held[public] for public in publics if public in held]
    if not target.explicit and not target.identities_only:
        # Those that ~/.ssh/config names come first: a server gives up after six.
        offered += [identity for public, identity in held.items() if public not in publics]
    for identity in offered:
        yield Credential(f"{printable(identity.comment, 80) or identity.kind} in the agent", identity)
    for file in sorted(files, key=lambda file: file.encrypted):
        if file.public in held:
            continue
        if (private := _unlocked(file, target, ask, tried)) is not None:
            for certificate in (*target.certificates, Path(f"{file.path}-cert.pub")):
                if text := _certificate(certificate, file):
                    yield Credential(str(certificate), private, text)
            yield Credential(str(file.path), private)


def _files(target: Target, tried: list[str]) -> Iterator[KeyFile]:
    for path in target.identities:
        try:
            yield keyfile.read(path)
        except ConnectError as error:
            if target.explicit:
                raise _at(target, error) from error
            if os.path.lexists(path):
                tried.append(error.what)


def _held(target: Target, tried: list[str]) -> dict[bytes, Identity]:
    if target.agent is None:
        return {}
    try:
        return {identity.blob: identity for identity in agent.identities(target.agent)}
    except (OSError, ValueError) as error:
        tried.append(f"the agent at {target.agent} cannot be reached ({error})")
        return {}


def _unlocked(file: KeyFile, target: Target, ask: Ask | None, tried: list[str]) -> PrivateKey | None:
    try:
        if not file.encrypted:
            return keyfile.unlock(file, None)
        for _ in range(_PASSPHRASES if ask is not None else 0):
            if ask is not None and (private := keyfile.unlock(file, ask(f"passphrase of {file.path}"))) is not None:
                return private
        raise connect_errors.locked_key(target, str(file.path), wrong=ask is not None)
    except ConnectError as error:
        # One bad key among many is no reason to leave the others untried; it is told when all of them fail.
        if target.explicit:
            raise _at(target, error) from error
        tried.append(error.what)
        return None


def _at(target: Target, error: ConnectError) -> ConnectError:
    return ConnectError(error.what, where=target.where, why=error.why, fix=error.fix)


def _certificate(path: Path, file: KeyFile) -> str:
    try:
        text = local_files.contents(path, local_files.MAX_KEY).decode()
    except (FileError, UnicodeError):
        return ""
    return text if keyfile.certifies(text, file) else ""
