"""OpenSSH's known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): which key a host must show."""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mailprov import local_files
from mailprov.connection.patterns import matches
from mailprov.errors import ConnectError, FileError, visible

Marker = Literal["", "@revoked", "@cert-authority"]
HostStatus = Literal["known", "unknown", "changed", "revoked"]

_PLAIN = re.compile(r"[^|!*?]+")
"""names that stand for themselves"""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host's public key: its `kind` ("ssh-ed25519") and its wire form."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint as OpenSSH prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def label(self) -> str:
        """The kind as ssh-keygen -l names it."""
        return {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}.get(
            self.kind, "ECDSA" if self.kind.startswith("ecdsa-") else self.kind
        )

    def __str__(self) -> str:
        return f"{self.label} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file."""

    file: Path
    line: int
    marker: Marker
    hosts: str
    key: HostKey

    def covers(self, name: str) -> bool:
        """Whether the line speaks of the host `name` ("host" or "[host]:port")."""
        if self.hosts.startswith("|1|"):
            return _hashed(self.hosts, name)
        return matches(self.hosts.split(","), name)

    def __str__(self) -> str:
        return f"{visible(self.file)}:{self.line}"


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """Every entry of the files that were read, in order."""

    entries: tuple[Entry, ...] = ()
    _named: Mapping[str, Sequence[int]] = field(init=False, repr=False, compare=False)
    """where the entries for each plain name are, by name"""
    _others: Sequence[int] = field(init=False, repr=False, compare=False)
    """where those are that only a look tells of which hosts they speak: patterns and hashes"""

    def __post_init__(self) -> None:
        # A fleet's file has a line for each of its hosts, and each of them is looked up: not by going through all.
        named, others = defaultdict[str, list[int]](list), list[int]()
        for at, entry in enumerate(self.entries):
            if _PLAIN.fullmatch(entry.hosts):
                for name in set(entry.hosts.lower().split(",")):
                    named[name].append(at)
            else:
                others.append(at)
        object.__setattr__(self, "_named", dict(named))
        object.__setattr__(self, "_others", others)

    def of(self, host: str, port: int) -> tuple[Entry, ...]:
        """The entries for a host; where it has none under its port, those under its bare name, as ssh(1) does."""
        exact = self._covering(name_of(host, port))
        if port == 22 or any(not entry.marker for entry in exact):
            return exact
        return exact + tuple(entry for entry in self._covering(host) if entry not in exact)

    def _covering(self, name: str) -> tuple[Entry, ...]:
        found = [at for at in self._others if self.entries[at].covers(name)]
        return tuple(self.entries[at] for at in sorted((*self._named.get(name.lower(), ()), *found)))

    def judge(self, host: str, port: int, key: HostKey) -> tuple[HostStatus, tuple[Entry, ...]]:
        """What is to be thought of `key` shown by a host, and the entries that say so."""
        entries = self.of(host, port)
        if revoked := tuple(e for e in entries if e.marker == "@revoked" and e.key == key):
            return "revoked", revoked
        plain = tuple(entry for entry in entries if not entry.marker)
        if known := tuple(entry for entry in plain if entry.key == key):
            return "known", known
        if port != 22 and not any(entry.covers(name_of(host, port)) for entry in plain):
            # An entry for the bare name vouches for its own key and says nothing against another port's.
            return "unknown", ()
        return ("changed", plain) if plain else ("unknown", ())

    def kinds(self, host: str, port: int) -> tuple[str, ...]:
        """The kinds of key that are known for a host, in file order."""
        return tuple(dict.fromkeys(entry.key.kind for entry in self.of(host, port) if not entry.marker))


def name_of(host: str, port: int) -> str:
    """The name under which known_hosts keeps a host."""
    return host if port == 22 else f"[{host}]:{port}"


def parse(text: str, file: Path) -> tuple[Entry, ...]:
    """The entries of one file's text; comments and lines that cannot be read are left out, as ssh(1) does."""
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        marker: Marker = ""
        if fields and fields[0] in ("@revoked", "@cert-authority"):
            marker = "@revoked" if fields.pop(0) == "@revoked" else "@cert-authority"
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        entries.append(Entry(file, number, marker, fields[0], HostKey(fields[1], blob)))
    return tuple(entries)


def load(files: Sequence[Path], where: str = "") -> KnownHosts:
    """The entries of every file; a missing one is empty.

    Raises ConnectError for one that exists and cannot be read.
    """
    there: list[tuple[Path, _State]] = []
    file = Path()
    try:
        for file in files:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                status = file.stat()
                there.append((file, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)))
        return _loaded(tuple(there))
    except (OSError, FileError) as error:
        raise ConnectError(
            "cannot read the known host keys",
            where=where,
            why=error.what if isinstance(error, FileError) else f"{visible(file)}: {error.strerror or error}",
            fix="make the file readable, or name another one in ssh.known_hosts",
        ) from None


_State = tuple[int, int, int, int]
"""device, inode, bytes and time of change of a file: what differs when it was written since"""


@lru_cache(maxsize=4)
def _loaded(files: tuple[tuple[Path, _State], ...]) -> KnownHosts:
    entries: list[Entry] = []
    for file, _ in files:
        try:
            data = local_files.contents(file, local_files.MAX_CONFIG)
        except FileError as error:
            if not error.absent:
                raise
        else:
            entries += parse(data.decode(errors="replace"), file)
    return KnownHosts(tuple(entries))


def record(file: Path, host: str, port: int, keys: Sequence[HostKey], *, replace: bool = False) -> tuple[HostKey, ...]:
    """Make `keys` known for a host, and return those that were not before.

    The file is made (mode 0600, its directory 0700) where it is missing. Nothing is written twice. With `replace`, keys
    that the file holds for this host and that are not among `keys` are dropped.

    Raises ConnectError for a revoked key, for a file that cannot be written, and, without `replace`, for a host that is
    known by other keys.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with local_files.descriptor(file, os.O_RDWR | os.O_CREAT | os.O_APPEND) as number:
            fcntl.flock(number, fcntl.LOCK_EX)
            old = local_files.remaining(number, file, local_files.MAX_CONFIG)
            return _record(file, number, old, (host, port), keys, replace)
    except (OSError, FileError) as error:
        raise ConnectError(
            f"cannot record the host key in {visible(file)}",
            why=error.what if isinstance(error, FileError) else error.strerror or str(error),
            fix="make the file writable, or name another one in ssh.known_hosts",
        ) from error


def _record(
    file: Path, descriptor: int, old: bytes, at: tuple[str, int], keys: Sequence[HostKey], replace: bool
) -> tuple[HostKey, ...]:
    name = name_of(*at)
    entries = [entry for entry in parse(old.decode(errors="replace"), file) if entry.covers(name)]
    plain = [entry for entry in entries if not entry.marker]
    for key in keys:
        for entry in entries:
            if entry.marker == "@revoked" and entry.key == key:
                fix = "give the host a new key; the revoked one may be in other hands"
                raise ConnectError(f"the key {key} is revoked", where=name, why=f"by {entry}", fix=fix)
    known = {entry.key for entry in plain}
    other = [entry for entry in plain if entry.key not in keys]
    if other and not replace and (not known & set(keys) or {e.key.kind for e in other} & {k.kind for k in keys}):
        raise ConnectError(
            "the host is known by another key",
            where=name,
            why="; ".join(f"{entry} has {entry.key}" for entry in other) + f"; it shows {', '.join(map(str, keys))}",
            fix="find out why the key changed; if it is meant, add --replace",
        )
    new = tuple(key for key in keys if key not in known)
    lines = b"".join(f"{name} {key.kind} {base64.b64encode(key.blob).decode()}\n".encode() for key in new)
    if other and replace:
        # Who keeps the file elsewhere, and a link to it here, goes on to do so.
        local_files.replace(Path(os.path.realpath(file)), _without(old, other, name) + lines)
    elif lines:
        # One write in append mode: another writer cannot come in between.
        os.write(descriptor, (b"" if not old or old.endswith(b"\n") else b"\n") + lines)
        os.fsync(descriptor)
    return new


def _without(text: bytes, entries: Sequence[Entry], name: str) -> bytes:
    lines = text.split(b"\n")
    dropped = set()
    for entry in entries:
        names = [entry.hosts] if entry.hosts.startswith("|1|") else entry.hosts.split(",")
        rest = [other for other in names if other.lower() != name.lower()] if len(names) > 1 else []
        if "*" in entry.hosts or "?" in entry.hosts or (len(names) > 1 and len(rest) == len(names)):
            raise ConnectError(
                "the other key is recorded for a pattern of hosts",
                where=name,
                why=f"{entry} covers {entry.hosts}",
                fix=f"edit {entry} by hand",
            )
        if rest:
            old = lines[entry.line - 1]
            lines[entry.line - 1] = old.replace(entry.hosts.encode(), ",".join(rest).encode(), 1)
        else:
            dropped.add(entry.line)
    kept = b"\n".join(line for number, line in enumerate(lines, 1) if number not in dropped)
    return kept if not kept or kept.endswith(b"\n") else kept + b"\n"


def _hashed(hosts: str, name: str) -> bool:
    salt, digest = _salted(hosts)
    # SHA-1 is the format's own choice; it hides the name and protects no key.
    return hmac.digest(salt, name.lower().encode(), "sha1") == digest


@lru_cache(maxsize=1 << 16)
def _salted(hosts: str) -> tuple[bytes, bytes]:
    """The salt and the digest in a hashed name; no digest where it cannot be read."""
    parts = hosts.split("|")
    try:
        return base64.b64decode(parts[2]), base64.b64decode(parts[3]) if len(parts) == 4 else b""
    except (binascii.Error, ValueError, IndexError):
        return b"", b""
