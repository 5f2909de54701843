"""The words of `mailprov.checks`: where a client connects, what it accepts, and what it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from mailprov.checks.cause import CAUGHT, Cause, ServerError, cause_of, clean, explanation
from mailprov.model import PROTOCOLS, Network, Secret, Services, may_use

Protocol = Literal["pop3", "imap", "submission", "smtp", "sieve"]
Mode = Literal["tls", "starttls"]
Severity = Literal["error", "warning"]
Step = Literal[
    "dns",
    "route",
    "connect",
    "greeting",
    "cleartext login refused",
    "starttls",
    "tls",
    "certificate",
    "name",
    "declared certificate",
    "chain",
    "old tls refused",
    "capability",
    "login",
    "mailbox",
    "send",
    "fetch",
    "clean up",
    "relay refused",
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One declared listener as a client reaches it.

    `address` is what TCP connects to (a name or an IP address); `server_name` is sent as SNI and must be in the
    certificate. Mail from other servers (`smtp`, port 25) is always `starttls`; whoever is in the `networks` may send
    there without a login, as a declared address.
    """

    protocol: Protocol
    mode: Mode
    address: str
    port: int
    server_name: str
    networks: tuple[Network, ...] = ()

    def __str__(self) -> str:
        return f"{self.protocol}/{self.mode} {self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Trust:
    """What the client accepts as the server's certificate.

    `pins`: SHA-256 of the leaf's DER, lower-case hex. With pins the leaf must be one of them, and no CA is needed;
    without, chain and name must verify against the system's roots plus `roots` (a PEM bundle).
    `known`: certificates (PEM) that nobody trusts for being here, and that may show what a server leaves out.
    `min_version`: the oldest TLS version that the server was declared to accept.
    """

    pins: frozenset[str] = frozenset()
    roots: Path | None = None
    min_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    known: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox to log in with, on the `protocols` that it may use. `password` leaves only over verified TLS."""

    address: str
    password: Secret
    protocols: frozenset[str] = frozenset(PROTOCOLS)

    def may(self, protocol: str) -> bool:
        """Whether it may log in by that one."""
        return may_use(self.protocols, protocol)


@dataclass(frozen=True, slots=True)
class Check:
    """One step at one endpoint, and how it went.

    `seconds` is wall time. `severity` is what `ok=False` means: an "error" (not what was declared) or a "warning"
    (works, but clients will notice; or could not be tested). `detail` is one clean line, `cause` a stable word.
    `until` is when a certificate ends (UTC), of the step that looks at it.
    """

    endpoint: Endpoint
    step: Step
    ok: bool
    seconds: float
    detail: str
    severity: Severity = "error"
    cause: Cause = Cause.NONE
    until: datetime | None = None

    @property
    def failed(self) -> bool:
        """True where the host does not serve what was declared."""
        return not self.ok and self.severity == "error"

    @property
    def warns(self) -> bool:
        """True where the host serves, but something should be known."""
        return not self.ok and self.severity == "warning"


OnCheck = Callable[[Check], None]
"""Called with each check as it is made, for live progress."""


def endpoints(
    services: Services, address: str, server_name: str, networks: tuple[Network, ...] = ()
) -> tuple[Endpoint, ...]:
    """Every declared listener of `services` at `address`, in the order of `Services.ports()`."""
    found: list[Endpoint] = []
    for listener, mode, port in services.ports():
        protocol: Protocol = "sieve" if listener == "sieve" else "smtp"
        for known in PROTOCOLS:
            protocol = known if listener == known else protocol
        trusted = networks if protocol == "smtp" else ()
        found.append(Endpoint(protocol, "tls" if mode == "tls" else "starttls", address, port, server_name, trusted))
    return tuple(found)


class Stopped(Exception):
    """A step failed, and its check is recorded: the steps that build on it cannot run."""


class Note:
    """What a running step will say when it ends."""

    def __init__(self) -> None:
        self.ok = True
        self.detail = ""
        self.severity: Severity = "error"
        self.cause = Cause.NONE
        self.until: datetime | None = None

    def fail(self, cause: Cause, detail: str, severity: Severity = "error") -> None:
        """The step ends not ok, and the ones after it still run."""
        self.ok, self.cause, self.detail, self.severity = False, cause, detail, severity


class Log:
    """The checks of one endpoint, in the order in which they were made."""

    def __init__(self, endpoint: Endpoint, on_check: OnCheck | None = None) -> None:
        self.endpoint = endpoint
        self._on_check = on_check
        self._checks: list[Check] = []

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything recorded so far."""
        return tuple(self._checks)

    @contextmanager
    def step(self, name: Step) -> Iterator[Note]:
        """Times and records one step.

        Raises Stopped when the body raised a network or server error, after recording what it means.
        """
        note = Note()
        begun = time.monotonic()
        stopped = False
        try:
            yield note
        except (ServerError, *CAUGHT) as error:
            connecting = name == "connect"
            note.fail(cause_of(error, connecting), explanation(error, connecting))
            stopped = True
        seconds = time.monotonic() - begun
        said = clean(note.detail)
        self.add(Check(self.endpoint, name, note.ok, seconds, said, note.severity, note.cause, note.until))
        if stopped:
            raise Stopped(name)

    def skip(self, name: Step, why: str) -> None:
        """Records that a step could not be tested, as a warning."""
        self.add(Check(self.endpoint, name, False, 0.0, f"not tested: {why}", "warning", Cause.NOT_TESTED))

    def add(self, check: Check) -> None:
        """Records a check and reports it."""
        self._checks.append(check)
        if self._on_check is not None:
            self._on_check(check)
